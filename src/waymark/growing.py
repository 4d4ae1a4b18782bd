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
from typing import Any

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


class Together:
    """Workers that grow trees from the tables of some files."""

    def __init__(self, engine: Workers, files: Sequence[Path], n: int | None) -> None:
        """Use `n` workers, by default all that there are."""
        self.files = [file.absolute() for file in files]
        self.n = n or len(engine.client.nthreads())
        self._client = engine.client

    def grow_for(self, columns: Sequence[str], rows: pd.DataFrame) -> Grow:
        """Return what grows trees on `columns` of some rows: each is the row `row` of the file `file`."""
        file, row = rows["file"].to_numpy(), rows["row"].to_numpy()

        def grow(task: Task) -> Booster:
            return self._watched(lambda client, workers: self._grow(client, workers, task, columns, file, row))

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

    def _grow(
        self, client: Client, workers: list[str], task: Task, columns: Sequence[str], file: np.ndarray, row: np.ndarray
    ) -> Booster:
        rows, scores = task.rows, task.rows.scores
        order = np.lexsort((row[rows.at], file[rows.at]))
        shares = [order[i :: len(workers)] for i in range(len(workers))]

        def dealt(values: np.ndarray | None) -> array.Array | None:
            """Return an array of which each worker holds its share."""
            if values is None:
                return None
            parts = [values[share] for share in shares]
            return _array([client.scatter(p, workers=[w]) for p, w in zip(parts, workers, strict=True)], parts)

        features = [
            _on(client, worker, read_rows, self.files, file[rows.at][share], row[rows.at][share], columns)
            for share, worker in zip(shares, workers, strict=True)
        ]
        shapes = [np.empty((len(share), 0), np.float32) for share in shares]
        n_classes = int(rows.codes.max()) + 1
        several = {"objective": "multiclass", "num_class": n_classes} if n_classes > 2 else {"objective": "binary"}
        # A classifier would number the classes anew on each worker, from those that its share has. The codes are
        # numbers already; the objective is what makes it one.
        trees = DaskLGBMRegressor(client=client, **several, **task.settings).fit(
            _array(features, shapes, len(columns)),
            dealt(rows.codes),
            sample_weight=dealt(rows.weight),
            init_score=dealt(scores),
            categorical_feature=task.categorical,
            callbacks=self._stop(task, columns, file, row),
        )
        booster = trees.booster_
        if f"[num_machines: {len(workers)}]" not in booster.model_to_string():
            raise RuntimeError("Dask moved rows between workers, and fewer of them grew the trees than should")
        plain = Booster(model_str=_NETWORK.sub("", booster.model_to_string(num_iteration=-1)))
        plain.best_iteration = trees.best_iteration_
        return plain

    def _stop(self, task: Task, columns: Sequence[str], file: np.ndarray, row: np.ndarray) -> list[Stop]:
        if task.judges is None:
            return []
        every = -(-len(task.judges.at) // MOST_JUDGES)
        judges = task.judges.only(np.arange(len(task.judges.at)) % every == 0)
        return [Stop(self.files, file[judges.at], row[judges.at], columns, judges, task.patience)]


class Stop:
    """Tells LightGBM to stop once the log loss of some rows has not fallen for some rounds, as `early_stopping` does.

    LightGBM judges a worker's own rows on each worker, and some would stop before others. This judges the same rows on
    all, which have the same trees; and it reads them itself, as `eval_X` would send all rows through the client.
    """

    def __init__(
        self,
        files: Sequence[Path],
        file: np.ndarray,
        row: np.ndarray,
        columns: Sequence[str],
        judges: Rows,
        patience: int,
    ) -> None:
        """Judge the rows `row` of the files `file`."""
        self.where = (files, file, row, columns)
        self.codes, self.weight, self.start = judges.codes, judges.weight, judges.scores
        self.patience, self.best, self.best_loss = patience, 0, np.inf
        self.x: np.ndarray | None = None

    def __call__(self, env: CallbackEnv) -> None:
        """Judge the newest trees."""
        if self.x is None:
            self.x = read_rows(*self.where)
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
