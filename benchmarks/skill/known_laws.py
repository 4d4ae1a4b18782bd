"""Journeys of a known law, whose best possible forecast can be computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skill.judging import compare, test_rows, train, with_mean
from skill.logs import Points, describe, settings_of
from waymark import promotion, schema
from waymark.bgnbd import p_none
from waymark.clock import TrainClock
from waymark.evaluation import aligned
from waymark.inputs import labels

START = pd.Timestamp("2025-01-06", tz="UTC")
BUYERS, DAYS, HORIZON, FIRST_DAYS = 3000, 330, 60, 120
LAW = np.array([0.7, 14.0, 0.8, 3.5])  # r, alpha in days, a, b
PERSONS, STEPS = 2000, 24
STAGES = ("browse", "compare", "cart", "order", "help")
CHAIN = np.array([
    [0.55, 0.25, 0.10, 0.02, 0.08],
    [0.20, 0.45, 0.25, 0.05, 0.05],
    [0.10, 0.20, 0.30, 0.35, 0.05],
    [0.50, 0.10, 0.05, 0.15, 0.20],
    [0.35, 0.15, 0.05, 0.05, 0.40],
])  # fmt: skip


def judge_buyers(logs: Path) -> dict[str, Any]:
    """Judge the churn of buyers against the forecast of who knows the law and each one's history."""
    rng = np.random.default_rng(11)
    who, day, what = [], [], []
    r, alpha, a, b = LAW
    for i in range(BUYERS):
        rate, leaves, now = rng.gamma(r, 1 / alpha), rng.beta(a, b), rng.uniform(0, FIRST_DAYS)
        while now < DAYS + HORIZON:
            who.append(i), day.append(now), what.append("order")
            now += rng.exponential(1 / rate)
            if len(who) > 1 and who[-2] == i and rng.random() < leaves:  # not after the first time
                break
    events = _events(np.array(who), START + pd.to_timedelta(np.array(day), unit="D"), what)
    settings = settings_of("cdnow", logs, targets={"horizon_days": HORIZON, "churn_event_types": ["order"]})
    cutoff = START + pd.Timedelta(days=DAYS)
    newest = cutoff - pd.Timedelta(days=HORIZON)
    nights = tuple(sorted((newest - pd.Timedelta(days=7 * k)).as_unit("us") for k in range(20)))
    end = (cutoff + pd.Timedelta(days=HORIZON)).as_unit("us")
    points = describe(events, TrainClock(end, nights, (cutoff.as_unit("us"),), ""), settings)
    test = test_rows(points, "churn")
    seen = events[events["event_time"] < cutoff].groupby("customer_id")["event_time"].agg(["min", "max", "count"])
    seen = seen.loc[test["person_id"].str.removeprefix("customer:")]
    T, t_x = ((later - seen["min"]) / pd.Timedelta(days=1) for later in (cutoff, seen["max"]))
    silent = p_none(LAW, seen["count"].to_numpy() - 1.0, t_x.to_numpy(), T.to_numpy(), HORIZON)
    bayes = np.column_stack([1 - silent, silent])
    return _judge(points, "churn", _train(points, "churn"), test, bayes, ["active", "silent"])


def judge_chain(logs: Path) -> dict[str, Any]:
    """Judge the next stage of a Markov chain against the forecast of who knows its chances; and whom the gate keeps."""
    points, test, p, classes = chain_points(logs)
    trained = _train(points, "next_stage")
    found = _judge(points, "next_stage", trained, test, p, classes)
    return found | {"gate": _gate(points, trained, test, found["ours"], found["best_baseline"])}


def chain_points(logs: Path) -> tuple[Points, pd.DataFrame, np.ndarray, list[str]]:
    """Return the points of a Markov chain, those that test, and the chances of each class there."""
    rng = np.random.default_rng(12)
    stage = np.empty((PERSONS, STEPS), int)
    stage[:, 0] = rng.integers(0, len(STAGES), PERSONS)
    for k in range(1, STEPS):
        stage[:, k] = (rng.random(PERSONS)[:, None] > CHAIN.cumsum(axis=1)[stage[:, k - 1]]).sum(axis=1)
    begin = rng.uniform(0, 200, PERSONS)
    time = begin[:, None] + rng.exponential(1.0, (PERSONS, STEPS)).cumsum(axis=1)
    who = np.repeat(np.arange(PERSONS), STEPS)
    times = START + pd.to_timedelta(time.ravel(), unit="D")
    events = _events(who, times, np.array(STAGES)[stage.ravel()])
    settings = settings_of("tax2017_bpi_12_w", logs, split={"order": "first_event", "min_prefix": 1})
    end = (START + pd.Timedelta(days=400)).as_unit("us")
    points = describe(events, TrainClock(end, (), (), ""), settings)
    test = test_rows(points, "next_stage")
    present = pd.Index(STAGES).get_indexer(test["stage"])
    classes = sorted([*STAGES, "stay"])
    p = np.zeros((len(test), len(classes)))
    for k, name in enumerate(STAGES):
        p[:, classes.index(name)] = np.where(present == k, 0, CHAIN[present, k])
    p[:, classes.index("stay")] = CHAIN[present, present]
    return points, test, p, classes


def _train(points: Points, target: str) -> dict[str, promotion.Model]:
    """Train ours and the baselines."""
    cfg = points.settings
    ours = cfg.model.of(target).name
    names = dict.fromkeys([ours, *(("hazard",) if target == "churn" else ()), *cfg.evaluate.baselines[target]])
    return {name: train(points, target, name) for name in names}


def _judge(
    points: Points,
    target: str,
    trained: Mapping[str, promotion.Model],
    test: pd.DataFrame,
    bayes: np.ndarray,
    classes: list[str],
) -> dict[str, Any]:
    cfg = points.settings
    predictions = with_mean({name: aligned(model, test, classes) for name, (model, _) in trained.items()})
    y = np.searchsorted(classes, labels(test["label"]))
    n_train = int((points.truth["fold"] == "train").sum())
    ours, baselines = cfg.model.of(target).name, cfg.evaluate.baselines[target]
    return compare(target, y, predictions | {"bayes": bayes}, test["person_id"], ours, baselines, n_train)


def _gate(
    points: Points, trained: Mapping[str, promotion.Model], test: pd.DataFrame, ours: str, best: str
) -> dict[str, str]:
    """Return whom promotion makes champion where ours challenges the best baseline: reigning, and before any reign."""
    cfg, out = points.settings, {}
    for case, rival in (("reigning", promotion.CHAMPION), ("before any reign", promotion.BASELINE)):
        roles = {promotion.CANDIDATE: ours, rival: best}
        contenders = {
            role: (model, card | {"version": name}) for role, name in roles.items() for model, card in (trained[name],)
        }
        contest = promotion.Contest("next_stage", test, points.catalogue, contenders, {}, {})
        out[case] = roles[promotion.decide(contest, cfg.promote, cfg.evaluate.n_calibration_bins, cfg.seed)["champion"]]
    return out


def _events(who: np.ndarray, times: pd.DatetimeIndex, what: Any) -> pd.DataFrame:
    """Return rows of `schema.EVENTS`."""
    n = len(who)
    columns = {
        "event_id": np.char.add("e", np.arange(n).astype(str)),
        "event_time": pd.DatetimeIndex(times).as_unit("us"),
        "known_time": pd.DatetimeIndex(times).as_unit("us"),
        "superseded_time": None,
        "sequence": np.arange(n),
        "source": "law",
        "anonymous_id": None,
        "customer_id": np.char.mod("c%05d", who),
        "event_type": what,
        "actor": "customer",
        "channel": "web",
        "session_id": None,
        "value_cents": None,
    }
    return schema.to_arrow(pd.DataFrame(columns), schema.EVENTS).to_pandas()
