"""Trees that workers of Dask grow together, each from a share of the rows. The only import of LightGBM's part for Dask.

The same number of workers grows the same trees: which rows are whose hangs on nothing else.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import pandas as pd
from dask import array, delayed
from dask.distributed import Client, Future
from lightgbm import Booster
from lightgbm.callback import CallbackEnv, EarlyStopException
from lightgbm.dask import DaskLGBMRegressor
from scipy.special import log_expit, log_softmax

from waymark.engine import START_SECONDS, Workers
from waymark.errors import InputError
from waymark.estimators import Grow, Rows, Task
from waymark.on_disk import read_rows
from waymark.period_rows import Clock

MOST_JUDGES = 50_000  # rows that tell when to stop: each worker asks each tree about all of them
_ATTEMPTS = 2
_WATCH_SECONDS = 0.5
# What a booster says of the machines that it was grown on: other ports each time.
_NETWORK = re.compile(r"^\[(machines|local_listen_port|num_machines|num_threads|time_out): .*\n", re.MULTILINE)

log = logging.getLogger(__name__)

# Here and in every worker, which imports this too: what is wrong comes as an exception, and the rest of what LightGBM
# says is how it connects.
lightgbm.register_logger(logging.getLogger(f"{__name__}.lightgbm"))
logging.getLogger(f"{__name__}.lightgbm").setLevel(logging.ERROR)


class Source(NamedTuple):
    """Rows of a fit on disk, which a worker reads."""

    files: Sequence[Path]
    file: np.ndarray  # position in `files`
    row: np.ndarray
    columns: Sequence[str]
    start: np.ndarray | None  # of points in periods, when the period of each starts: float32
    silence: int  # which column has the silence at the cut-off; -1 for none

    def only(self, at: np.ndarray) -> Source:
        """Return those at some positions."""
        start = None if self.start is None else self.start[at]
        return self._replace(file=self.file[at], row=self.row[at], start=start)

    @property
    def n_columns(self) -> int:
        """How many columns the matrix has."""
        return len(self.columns) + (0 if self.start is None else 2)


def read(source: Source) -> np.ndarray:
    """Return the matrix of some rows; of points in periods with the clock of `Hazard.set_clock` in its last columns."""
    x = read_rows(source.files, source.file, source.row, source.columns, source.n_columns - len(source.columns))
    if source.start is not None:
        x[:, -2] = source.start
        x[:, -1] = x[:, source.silence] + source.start if source.silence >= 0 else np.nan
    return x


class Together:
    """Workers that grow trees from the tables of some files."""

    def __init__(self, engine: Workers, files: Sequence[Path], n: int | None) -> None:
        """Use `n` workers, by default all that there are."""
        self.files = [file.absolute() for file in files]
        self.n = n or len(engine.client.nthreads())
        self._client = engine.client

    def grow_for(self, columns: Sequence[str], rows: pd.DataFrame, clock: Clock | None = None) -> Grow:
        """Return what grows trees on `columns` of some rows: each is the row `row` of the file `file`.

        With a `clock`, rows are those of points in periods: each of the clock's is one of `rows` at a time.
        """
        source = Source(self.files, rows["file"].to_numpy(), rows["row"].to_numpy(), columns, None, -1)
        if clock is not None:
            file, row = source.file[clock.point], source.row[clock.point]
            source = Source(self.files, file, row, columns, clock.start, clock.silence)

        def grow(task: Task) -> Booster:
            return self._watched(lambda client, workers: self._grow(client, workers, task, source))

        return grow

    def _watched(self, work: Callable[[Client, list[str]], Booster]) -> Booster:
        """Return what `work` does with a client and workers; where one of those dies, all is begun anew, once.

        LightGBM waits for ever for one of its machines that is gone.
        """
        for _ in range(_ATTEMPTS):
            workers = self._workers()
            with closing(_InOrder(self._client.scheduler.address, set_as_default=False)) as client:
                done: list[Booster | BaseException] = []
                thread = threading.Thread(target=_note, args=(done, work, client, workers), daemon=True)
                thread.start()
                while thread.is_alive() and set(workers) <= set(self._client.nthreads()):
                    thread.join(_WATCH_SECONDS)
                left = sorted(set(workers) & set(self._client.nthreads()))
            if done and isinstance(done[0], Booster):
                return done[0]
            if len(left) == len(workers):
                raise done[0]
            log.warning("a worker died while trees grew; they are begun anew")
            self._client.restart_workers(left)
        raise InputError(
            f"engine: in each of {_ATTEMPTS} attempts a worker died while trees grew; has it memory enough?"
        )

    def _workers(self) -> list[str]:
        """Return the addresses of the workers to use."""
        try:
            self._client.wait_for_workers(self.n, timeout=START_SECONDS)
        except TimeoutError:
            n = len(self._client.nthreads())
            raise InputError(f"engine.workers: {self.n} are to grow trees together, and there are {n}") from None
        return sorted(self._client.nthreads())[: self.n]

    def _grow(self, client: Client, workers: list[str], task: Task, source: Source) -> Booster:
        rows, scores, own = task.rows, task.rows.scores, source.only(task.rows.at)
        order = np.lexsort((own.row, own.file))
        shares = [order[i :: len(workers)] for i in range(len(workers))]

        def dealt(values: np.ndarray | None) -> array.Array | None:
            """Return an array of which each worker holds its share."""
            if values is None:
                return None
            parts = [values[share] for share in shares]
            return _array([client.scatter(p, workers=[w]) for p, w in zip(parts, workers, strict=True)], parts)

        features = [_on(client, worker, read, own.only(share)) for share, worker in zip(shares, workers, strict=True)]
        shapes = [np.empty((len(share), 0), np.float32) for share in shares]
        n_classes = int(rows.codes.max()) + 1
        several = {"objective": "multiclass", "num_class": n_classes} if n_classes > 2 else {"objective": "binary"}
        # A classifier would number the classes anew on each worker, from those that its share has. The codes are
        # numbers already; the objective is what makes it one.
        trees = DaskLGBMRegressor(client=client, **several, **task.settings).fit(
            _array(features, shapes, own.n_columns),
            dealt(rows.codes),
            sample_weight=dealt(rows.weight),
            init_score=dealt(scores),
            categorical_feature=task.categorical,
            callbacks=_stop(task, source),
        )
        booster = trees.booster_
        if f"[num_machines: {len(workers)}]" not in booster.model_to_string():
            raise RuntimeError("Dask moved rows between workers, and fewer of them grew the trees than should")
        plain = Booster(model_str=_NETWORK.sub("", booster.model_to_string(num_iteration=-1)))
        plain.best_iteration = trees.best_iteration_
        return plain


class Stop:
    """Tells LightGBM to stop once the log loss of some rows has not fallen for some rounds, as `early_stopping` does.

    LightGBM judges a worker's own rows on each worker, and some would stop before others. This judges the same rows on
    all, which have the same trees; and it reads them itself, as `eval_X` would send all rows through the client.
    """

    def __init__(self, source: Source, judges: Rows, patience: int) -> None:
        """Judge the rows of `source`."""
        self.source = source
        self.codes, self.weight, self.start = judges.codes, judges.weight, judges.scores
        self.patience, self.best, self.best_loss = patience, 0, np.inf
        self.x: np.ndarray | None = None

    def __call__(self, env: CallbackEnv) -> None:
        """Judge the newest trees."""
        if self.x is None:
            self.x = read(self.source)
            self.score = 0.0 if self.start is None else self.start
        self.score = self.score + env.model.predict(
            self.x, raw_score=True, start_iteration=env.iteration, num_iteration=1
        )
        loss = self._loss()
        if loss < self.best_loss:
            self.best, self.best_loss = env.iteration, loss
        elif env.iteration - self.best >= self.patience:
            raise EarlyStopException(self.best, [])
        if env.iteration == env.end_iteration - 1:
            raise EarlyStopException(self.best, [])

    def _loss(self) -> float:
        if self.score.ndim == 1:
            log_p = log_expit(np.where(self.codes == 1, self.score, -self.score))
        else:
            log_p = log_softmax(self.score, axis=1)[np.arange(len(self.codes)), self.codes]
        return -float(np.average(log_p, weights=self.weight))


def _stop(task: Task, source: Source) -> list[Stop]:
    if task.judges is None:
        return []
    every = -(-len(task.judges.at) // MOST_JUDGES)
    judges = task.judges.only(np.arange(len(task.judges.at)) % every == 0)
    return [Stop(source.only(judges.at), judges, task.patience)]


class _InOrder(Client):
    """A client that tells who has what in the order asked for: LightGBM numbers its machines by it."""

    def who_has(self, futures: Sequence[Future] | None = None, **kwargs: Any) -> Any:
        """See `Client`."""
        found = super().who_has(futures, **kwargs)
        return found if futures is None else {future.key: found[future.key] for future in futures}


def _on(client: Client, worker: str, work: Callable[..., Any], *arguments: Any) -> Future:
    return client.submit(work, *arguments, workers=[worker], allow_other_workers=False, pure=False)


def _array(futures: Sequence[Future], parts: Sequence[np.ndarray], n_columns: int | None = None) -> array.Array:
    """Return what lies with the workers as one array of Dask; `parts` have its lengths and its type."""
    shapes = [p.shape if n_columns is None else (len(p), n_columns) for p in parts]
    return array.concatenate(
        [array.from_delayed(delayed(f), shape, p.dtype) for f, shape, p in zip(futures, shapes, parts, strict=True)]
    )


def _note(done: list[Any], work: Callable[..., Booster], *arguments: Any) -> None:
    try:
        done.append(work(*arguments))
    except BaseException as error:  # raised again by who waits
        done.append(error)
