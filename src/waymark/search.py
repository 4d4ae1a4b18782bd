"""An Optuna search for the settings of a model, judged on held-out training rows; test rows are never looked at.

As a command: `python src/run.py waymark.search target=churn n_trials=30 name=found`. A study lives in `optuna.db` and
goes on where it was stopped; its name tells target, model, data and all else that it hangs on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState
from sklearn.base import ClassifierMixin

from waymark import arguments, config, held_out, metrics, model_file, models, tracking, workbench
from waymark.catalogue import Feature
from waymark.comparison import Comparison
from waymark.config import Range
from waymark.console import timed
from waymark.errors import InputError
from waymark.periods import Horizons

log = logging.getLogger(__name__)

DATABASE = Path("optuna.db")
_N_DRAWN = 10  # trials that are drawn at random before the sampler learns from them
_N_UNPRUNED = 5  # trials that go to their end, whatever they promise
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_DIGITS = 4  # of a setting: what is tried is what is written


@dataclass(frozen=True)
class Objective:
    """Log loss of a model's settings, the mean over folds of training rows."""

    rows: pd.DataFrame  # of `held_out.labelled`, test rows not among them
    folds: Sequence[held_out.Fold]
    target: str
    model: str
    settings: Mapping[str, Any]  # those that the search starts from
    ranges: Mapping[str, Range]
    catalogue: Sequence[Feature]
    groups: Sequence[str]
    horizons: Horizons
    seed: int

    def __call__(self, trial: optuna.Trial) -> float:
        """Judge what `trial` suggests fold by fold, the oldest first; stop one that does worse than half of the others.

        Older folds are smaller, and so cheaper.
        """
        made = self.maker({name: _suggest(trial, name, r) for name, r in self.ranges.items()})
        losses: list[float] = []
        for i, fold in enumerate(self.folds):
            exam = held_out.Exam.of(self.rows, [fold])
            losses.append(metrics.log_loss(exam.y, held_out.forecast(made, self.rows, fold, exam.classes)))
            trial.report(float(np.mean(losses)), i)
            if i + 1 < len(self.folds) and trial.should_prune():
                raise optuna.TrialPruned
        return float(np.mean(losses))

    def maker(self, params: Mapping[str, Any]) -> Callable[[], ClassifierMixin]:
        """Return what makes the model with these of its settings."""
        settings = self.settings_with(params)
        made = (self.model, settings, self.catalogue, self.seed, self.groups, self.target, self.horizons)
        return lambda: models.make(*made)

    def settings_with(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings of the model, with those that a trial suggests, as they are tried and written."""
        return {**self.settings, **{k: _rounded(v) for k, v in params.items()}}

    @property
    def start(self) -> dict[str, Any]:
        """The values that the search starts from: those the model has now, where the ranges hold them."""
        now = self.maker({})().get_params()
        return {name: now[name] for name, r in self.ranges.items() if _holds(r, now[name])}


def _suggest(trial: optuna.Trial, name: str, r: Range) -> Any:
    if r.choices is not None:
        return trial.suggest_categorical(name, r.choices)
    suggest = trial.suggest_int if r.is_whole else trial.suggest_float
    return suggest(name, r.low, r.high, log=r.log)


def _holds(r: Range, value: Any) -> bool:
    if r.choices is not None:
        return value in r.choices
    return value is not None and r.low <= value <= r.high


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def objective(
    features: pd.DataFrame,
    targets: pd.DataFrame,
    catalogue: Sequence[Feature],
    target: str,
    model: config.Estimator,
    settings: config.Settings,
) -> Objective:
    """Return the objective for a model: the rows of `features` that train, dealt to folds.

    Raises
    ------
    InputError
        The model has no ranges, a range is of no setting, or a fold has too few rows.
    """
    ranges = dict(settings.search.ranges.get(model.name, {}))
    if target == "churn":
        ranges.pop("start_order", None)  # its trees start from no table
    if not ranges:
        known = ", ".join(name for name, found in settings.search.ranges.items() if found)
        raise InputError(f"search.ranges has none for {model.name}; there are {known}")
    split, groups, horizons = settings.split, settings.features.groups, workbench.horizons(settings)
    lowest = {name: r.low if r.choices is None else r.choices[0] for name, r in ranges.items()}
    models.make(model.name, {**model.settings, **lowest}, catalogue, settings.seed, groups, target, horizons)
    rows = held_out.labelled(
        features, targets, target, split=split, horizon_days=settings.targets.horizon_days, with_test=False
    )
    found = held_out.folds(rows, split, settings.search.n_folds, settings.search.min_train_nights)
    found = held_out.judged(rows, found, target, settings.targets.end_of_case)
    for fold in found:
        held_out.check_enough(rows, fold, target)
    seed = settings.seed
    return Objective(rows, found, target, model.name, model.settings, ranges, catalogue, groups, horizons, seed)


@contextmanager
def opened(database: Path, name: str) -> Iterator[optuna.Study]:
    """Yield the study `name`, new or as it was left; nobody else works on the database meanwhile."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with FileLock(f"{database}.lock", timeout=0):
            storage = optuna.storages.RDBStorage(f"sqlite:///{database}")
            try:
                pruner = optuna.pruners.MedianPruner(n_startup_trials=_N_UNPRUNED)
                yield optuna.create_study(study_name=name, storage=storage, pruner=pruner, load_if_exists=True)
            finally:
                storage.engine.dispose()
    except Timeout:
        raise InputError(f"another search works on {database}; wait for it") from None


def go_on(study: optuna.Study, judge: Objective, n_trials: int, after_each: Callable[[], None] | None = None) -> None:
    """Add trials to `study` until `n_trials` have come to an end.

    A trial hangs on the seed and on those that came to an end before it, and on nothing else: a search that was stopped
    and goes on tries what one without a stop tries.
    """
    for trial in study.get_trials(states=(TrialState.RUNNING,)):  # of a search that was killed
        study.tell(trial.number, state=TrialState.FAIL)
    while (n_done := len(study.get_trials(states=_DONE))) < n_trials:
        if not n_done and not study.get_trials(states=(TrialState.WAITING,)):
            study.enqueue_trial(judge.start)
        seed = int(np.random.SeedSequence([judge.seed, n_done]).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=_N_DRAWN, seed=seed)
        trial = study.ask()
        try:
            study.tell(trial, judge(trial))
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except BaseException:
            study.tell(trial, state=TrialState.FAIL)
            raise
        done = study.get_trials(deepcopy=False)[trial.number]
        log.info("trial %d of %d: %s", n_done + 1, n_trials, _outcome(done))
        if after_each is not None:
            after_each()


def _outcome(trial: FrozenTrial) -> str:
    if trial.state == TrialState.PRUNED:
        n = len(trial.intermediate_values)
        return f"stopped after fold {n} at log loss {trial.intermediate_values[n - 1]:.4f}"
    return f"log loss {trial.value:.4f}"


def study_name(judge: Objective, data_version: str, rows_version: str) -> str:
    """Return a name that another target, model, data set, feature set, range or seed changes."""
    hangs_on = {
        "rows": rows_version,
        "settings": dict(judge.settings),
        "ranges": {name: r.model_dump(mode="json") for name, r in judge.ranges.items()},
        "groups": list(judge.groups),
        "folds": [[f.origin, len(f.train), len(f.test)] for f in judge.folds],
        "seed": judge.seed,
    }
    rest = hashlib.sha256(json.dumps(hangs_on, sort_keys=True).encode()).hexdigest()[:8]
    return f"{judge.target}-{judge.model}-{data_version}-{rest}"


def gain_of_best(study: optuna.Study, judge: Objective, n_bootstrap: int, coverage: float) -> str:
    """Say how much log loss the best settings save against those that the search started from, on the same rows."""
    best = study.best_params
    if judge.settings_with(best) == judge.settings_with(judge.start):
        return "nothing better than the settings it started from"
    exam = held_out.Exam.of(judge.rows, judge.folds)
    made = {"best": judge.maker(best), "start": judge.maker(judge.start)}
    predictions = {
        name: np.concatenate([held_out.forecast(make, judge.rows, f, exam.classes) for f in judge.folds])
        for name, make in made.items()
    }
    settings = {"n_bootstrap": n_bootstrap, "coverage": coverage, "seed": judge.seed}
    compared = Comparison(exam.y, predictions, exam.persons, [metrics.log_loss], **settings)
    gain = compared.between("start", "best")["log_loss"]
    proof = "" if gain["low"] > 0 else ": no proven difference"
    return f"{gain['value']:.4f} [{gain['low']:.4f}, {gain['high']:.4f}] less than the settings it started from{proof}"


def as_part(trial: FrozenTrial, judge: Objective) -> tracking.Part:
    """Return a trial as a run below that of its study."""
    losses = {f"log_loss_to_{judge.folds[i].origin}": loss for i, loss in trial.intermediate_values.items()}
    value = {} if trial.value is None or trial.state != TrialState.COMPLETE else {"log_loss": trial.value}
    return tracking.Part(
        f"trial {trial.number}",
        {f"model.{k}": v for k, v in judge.settings_with(trial.params).items()},
        value | losses,
        {"state": trial.state.name.lower()},
    )


def main(typed: Sequence[str]) -> None:
    """Search, and write the best settings as a file of `conf/model/`."""
    bench = workbench.read()
    settings = bench.settings
    known = {"target": "churn", "model": "", "n_trials": str(settings.search.n_trials), "name": "", "overwrite": "no"}
    given = arguments.read(typed, known)
    target, n_trials = arguments.target(given["target"]), arguments.whole("n_trials", given["n_trials"])
    name = given["name"] or f"found_{target}"
    path = model_file.place(config.CONF, name, arguments.yes("overwrite", given["overwrite"]))
    model = workbench.model(given["model"]) if given["model"] else settings.model
    judge = objective(bench.features, bench.targets, bench.catalogue, target, model.of(target), settings)
    title = study_name(judge, bench.clock.data_version, bench.rows_version)
    with timed(log, f"search {title}") as facts, opened(DATABASE, title) as study:

        def remember() -> None:
            parts = [as_part(t, judge) for t in study.get_trials(states=_DONE)]
            best = {"best_log_loss": study.best_value} if study.get_trials(states=(TrialState.COMPLETE,)) else {}
            params = {"target": target, "model": judge.model, "study": title}
            result = tracking.Result({}, params, best, bench.clock.data_version, (), identity=f"search {title}")
            tracking.track_parts(result, parts, settings.tracking.experiment, f"search {title}")

        go_on(study, judge, n_trials, remember)
        n_done = len(study.get_trials(states=_DONE))
        gain = gain_of_best(study, judge, settings.evaluate.n_bootstrap, settings.evaluate.interval)
        chosen = f" model={given['model']}" if given["model"] else ""
        comment = (
            f'Found by `make search ARGS="target={target}{chosen} n_trials={n_done} '
            f'name={name}"` in the {settings.source.name} data as of {bench.clock.as_of:%Y-%m-%d} (study {title}): the '
            f"best of {n_done} trials, log loss {study.best_value:.4f} on {len(judge.folds)} held-out parts of the "
            f"training rows ({', '.join(f.origin for f in judge.folds)}), {gain}. It was chosen on those rows; what it "
            "is worth on others, `make backtest` and the test rows say."
        )
        best = config.Estimator(name=judge.model, settings=judge.settings_with(study.best_params))
        model_file.write(path, comment, model_file.with_estimator(model, target, best))
        facts.append(f"log loss {study.best_value:.4f}, {gain}; written to {path}, `model={name}` chooses it")


if __name__ == "__main__":
    main(sys.argv[1:])
