"""Everything that the report of one night is made from, small, drawn with a fixed seed."""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd

from waymark import schema

NIGHT = datetime(2025, 9, 28, tzinfo=UTC)
HORIZON_DAYS = 30
PATH = ("awareness", "consideration", "purchase")
STAGES = (*PATH, "trouble <&>")
_ALLOWED = {("awareness", "consideration"), ("consideration", "purchase"), ("purchase", "consideration")}


def journeys_of(*walks: str, start: datetime = NIGHT - timedelta(days=100), step_days: int = 10) -> pd.DataFrame:
    """Turn `"ann awareness consideration"` into visits, ten days each; the last one goes on."""
    rows = []
    for walk in walks:
        person, *stages = walk.split()
        for i, stage in enumerate(stages):
            before = stages[i - 1] if i else None
            rows.append(
                {
                    "person_id": person,
                    "visit": i + 1,
                    "stage": stage,
                    "entered_time": start + timedelta(days=step_days * i),
                    "left_time": start + timedelta(days=step_days * (i + 1)) if i + 1 < len(stages) else None,
                    "n_events": 2,
                    "is_regression": before in PATH and stage in PATH and PATH.index(stage) < PATH.index(before),
                    "is_reentry": stage in stages[:i],
                    "is_detour": before is not None and (before, stage) not in _ALLOWED,
                }
            )
    columns = ["person_id", "visit", "stage", "entered_time", "left_time", "n_events"]
    frame = pd.DataFrame(rows, columns=[*columns, "is_regression", "is_reentry", "is_detour"])
    times = {c: pd.to_datetime(frame[c], utc=True).astype("datetime64[us, UTC]") for c in ("entered_time", "left_time")}
    flags = {c: frame[c].astype(bool) for c in ("is_regression", "is_reentry", "is_detour")}
    return frame.assign(**times, **flags).astype({"person_id": "str", "stage": "str", "visit": "int32"})


def random_journeys(n: int, stages: tuple[str, ...] = PATH, seed: int = 7) -> pd.DataFrame:
    """Draw `n` journeys over `stages`, whose names must hold no space."""
    rng = np.random.default_rng(seed)
    walks = []
    for i in range(n):
        at, walk = 0, [stages[0]]
        for _ in range(rng.integers(0, 6)):
            at = (at + rng.choice([1, 1, 1, 2, len(stages) - 1])) % len(stages)
            walk.append(stages[at])
        walks.append(f"p{i:04d} {' '.join(walk)}")
    return journeys_of(*walks)


def forecast(
    persons: list[str], night: datetime = NIGHT, seed: int = 3, stages: tuple[str, ...] = STAGES
) -> pd.DataFrame:
    """Draw a coherent forecast for each person."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([2.0, 1.5, *([0.5] * len(stages))], len(persons))
    outcomes = np.array(["silent", "stay", *stages], object)
    slugs = ["".join(c if c.isalnum() else "_" for c in s).strip("_") for s in stages]
    stage_since = pd.Timestamp(night) - pd.to_timedelta(rng.integers(1, 90, len(persons)), unit="D")
    return pd.DataFrame(
        {
            "person_id": pd.array(persons, "str"),
            "cutoff_time": pd.Series(pd.Timestamp(night), index=range(len(persons)), dtype="datetime64[us, UTC]"),
            "stage": pd.array(rng.choice(stages, len(persons)), "str"),
            "stage_since": pd.DatetimeIndex(stage_since),
            f"p_silent_{HORIZON_DAYS}d": p[:, 0],
            f"p_silent_{3 * HORIZON_DAYS}d": p[:, 0] ** 2,
            "return_days": 20 * p[:, 1],
            "return_days_low": 10 * p[:, 1],
            "return_days_high": 30 * p[:, 1],
            "p_stay": p[:, 1],
            **{f"p_next_{slug}": p[:, 2 + i] for i, slug in enumerate(slugs)},
            "next_stage": pd.array(outcomes[p.argmax(axis=1)], "str"),
            "model_version_next_stage": "next-4",
            "model_version_churn": "churn-9",
            "data_version": "d41d8cd9",
            "mlflow_run_id_next_stage": "run-77",
            "mlflow_run_id_churn": "run-78",
        }
    )


def estimate(value: float, half: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def judged(model_loss: float, baselines: dict[str, float], metrics: tuple[str, ...], model: str = "lightgbm") -> dict:
    """One target of an evaluation, whose losses are given and whose other measures are made up from them."""
    losses = {model: model_loss, **baselines}
    scores = {
        m: {k: estimate(loss if k == "log_loss" else 1 - loss / 2) for k in metrics} for m, loss in losses.items()
    }
    best = min(baselines, key=baselines.get)
    bins = [{"bin": i, "predicted": 0.05 + 0.1 * i, "observed": 0.08 + 0.09 * i, "n": 200 - 15 * i} for i in range(10)]
    return {
        "n_train": 41233,
        "n_test": 8120,
        "n_test_persons": 2290,
        "test_cutoffs": ["2025-08-04T00:00:00+00:00", "2025-08-25T00:00:00+00:00"],
        "classes": [*STAGES, "stay"],
        "base_rates": {},
        "models": {m: {"role": "baseline" if m in baselines else "model", "metrics": s} for m, s in scores.items()},
        "differences": {
            b: {k: estimate(scores[model][k]["value"] - scores[b][k]["value"]) for k in metrics} for b in baselines
        },
        "best_baseline": best,
        "verdict": f"{model} against {best}: judged",
        "slices": [
            {"by": "stage", "value": s, "n": 900 - i, "n_persons": 90 - i, "metrics": {"log_loss": 0.5}}
            | {"difference": None if i > 2 else estimate((i - 1) / 10)}
            for i, s in enumerate(STAGES)
        ],
        "calibration": dict.fromkeys(losses, bins),
        "importance": [
            {"feature": "n_visits_30d", "words": "visits in the last 30 days", "gain_share": 0.6},
            {"feature": "days_since_last", "words": "days since the last <visit>", "gain_share": 0.3},
        ],
        "reasons": REASONS,
    }


REASONS = {
    "n_persons": 400,
    "groups": [
        {"group": "recency", "words": "how long ago the last activities were", "share": 0.7},
        {"group": "journey", "words": "where on the journey, and the way there", "share": 0.3},
    ],
    "features": [
        {
            **{"feature": "days_since_last", "words": "days since the last <visit>", "group": "recency"},
            **{"share": 0.6, "outcome": "silent", "likelier": "more"},
        },
        {
            **{"feature": "stage", "words": "the present stage", "group": "journey"},
            **{"share": 0.25, "outcome": "purchase", "likelier": "intent"},
        },
        {
            **{"feature": "n_visits_30d", "words": "visits in the last 30 days", "group": "frequency"},
            **{"share": 0.1, "outcome": "stay", "likelier": None},
        },
    ],
    "removal": [{"rank": 1, "n": 400, "share": 0.9725}, {"rank": 2, "n": 390, "share": 0.95}],
}

EVALUATION = {
    "targets": {
        "next_stage": judged(0.90, {"back_off": 0.95, "chain": 0.99}, ("log_loss", "accuracy", "top_3_accuracy")),
        "churn": judged(0.500, {"rfm_logistic": 0.505, "recency": 0.53}, ("log_loss", "auc", "ece")),
    }
}

# Of the champions: the next stage is forecast by the model trained last, churn by an earlier one.
JUDGED = {
    "targets": {
        "next_stage": EVALUATION["targets"]["next_stage"] | {"champion": {"name": "lightgbm", "version": "next-4"}},
        "churn": judged(0.520, {"rfm_logistic": 0.525, "recency": 0.54}, ("log_loss", "auc", "ece"), "logistic")
        | {"champion": {"name": "logistic", "version": "churn-9"}},
    }
}


def account(
    delivered: int,
    accepted: int,
    duplicates: int,
    rejected: int,
    *,
    left_out: int,
    events: int,
    empty_columns: tuple = (),
) -> dict:
    counts = {"delivered": delivered, "accepted": accepted, "duplicates": duplicates, "rejected": rejected}
    return {**counts, "left_out": left_out, "events": events, "empty_columns": list(empty_columns)}


INGEST = {
    "source": "simulated",
    **account(1284551, 1279008, 4211, 1332, left_out=200, events=1099008),
    "rejects_by_rule": {"no_person": 402, "time_not_parsed": 730, "left_out": 200},
    "feeds": {
        "web": account(984551, 980008, 3411, 1132, left_out=0, events=980008)
        | {"known_time_from": ["delivered"], "known_delay_minutes": 0},
        "shop <b>": account(300000, 299000, 800, 200, left_out=200, events=119000, empty_columns=("campaign",))
        | {"known_time_from": ["column", "event_time"], "known_delay_minutes": 1439},
    },
    "first_event_time": "2025-01-01T03:00:00+00:00",
    "last_event_time": "2025-09-27T23:10:00+00:00",
}

EXPOSURE = {
    "in_force": {"shared_devices": "device_split", "max_persons_per_id": 20},
    "n_events": 1099008,
    "n_shared_devices": 1204,
    "n_crowded_ids": 3,
    "rules": [
        {
            "shared_devices": rule,
            "max_persons_per_id": limit,
            "n_persons": 48210 - n,
            "n_events_moved": 20 * n,
            "n_persons_concerned": 2 * n,
            "n_stages_changed": n,
        }
        for rule, limit, n in (
            ("device_split", 20, 0),
            ("last_auth", 20, 411),
            ("none", 20, 1204),
            ("device_split", None, 3),
        )
    ],
}

LEAKCHECK = {
    "n_alarms": 0,
    "findings": [
        {"check": check, "name": "all features", "verdict": verdict, "detail": detail}
        for check, verdict, detail in (
            ("future", "ok", "1,000 rows stay as they are"),
            ("late_arrival", "ok", "1,000 rows stay as they are"),
            ("permuted_targets", "not judged", "too few of 315 persons come back, or stay away"),
        )
    ],
}


def decided(winner: str, **contenders: float) -> dict:
    """One decision of promote that `winner` won; losses are given by role."""
    models = {"candidate": "lightgbm", "baseline": "back_off", "champion": "logistic"}
    measures = ("log_loss", "ece", "bias")
    group = {"by": "stage", "group": STAGES[-1], "n": 300, "n_persons": 140, "is_worse": True} | estimate(0.05)
    rival = "champion" if "champion" in contenders else "baseline"
    return {
        "champion": winner,
        "verdict": f"the {winner} {models[winner]} is champion: so it was judged",
        "n_rows": 8120,
        "n_persons": 2290,
        "first_cutoff": "2025-08-04T00:00:00+00:00",
        "last_cutoff": "2025-08-25T00:00:00+00:00",
        "contenders": {
            role: {"name": models[role], "version": f"{role}-1", "trained_until": "2025-06-30T00:00:00+00:00"}
            | {"refused": None, "metrics": {m: estimate(loss if m == "log_loss" else 0.02) for m in measures}}
            for role, loss in contenders.items()
        },
        "absent": {},
        "comparisons": [
            {"challenger": "candidate", "rival": rival, "is_accepted": False, "answer": "clearly worse somewhere"}
            | {"log_loss": estimate(-0.1), "ece": estimate(0.0), "groups": [group]}
        ],
        "reigns": [
            {"name": models[winner], "version": f"{winner}-1", "role": "candidate", "run_id": "run-77"}
            | {"trained_until": "2025-06-30T00:00:00+00:00", "known_until": "2025-08-29T00:00:00+00:00"}
        ],
    }


PROMOTION = {
    "next_stage": decided("baseline", candidate=0.9, baseline=0.95),
    "churn": decided("champion", candidate=0.6, baseline=0.55, champion=0.5),
}

MANIFEST = {
    "cutoff_time": NIGHT.isoformat(),
    "source": "simulated",
    "versions": {"data_version": "d41d8cd9", "git_revision": "05e36ad"},
    "mlflow_run_ids": {"next_stage": "run-77", "churn": "run-78"},
    "trained_until": {"next_stage": "2025-08-29T00:00:00+00:00", "churn": "2025-07-29T00:00:00+00:00"},
    "warnings": [],
}

SETTINGS = {
    "model": {"name": "lightgbm"},
    "features": {"points": "snapshots", "windows_days": [7, 30], "population": {"active_within_days": 180}},
    "targets": {"horizon_days": HORIZON_DAYS, "churn_event_types": None},
    "split": {"kind": "cutoffs", "n_train": 26},
    "seed": 7,
}


def graded(days_ago: int, target: str, role: str, log_loss: float) -> dict:
    """One grade of a past night."""
    night = pd.Timestamp(NIGHT - timedelta(days=days_ago)).as_unit("us")
    model = "lightgbm" if role == "champion" else "back_off"
    return {
        **{
            "source": "simulated",
            "cutoff_time": night,
            "target": target,
            "role": role,
            "model": model,
            "version": "v-1",
        },
        **{"known_until": night + pd.Timedelta(days=HORIZON_DAYS), "n": 900 + days_ago, "log_loss": log_loss},
        **{"brier": 0.21, "auc": 0.71 if target == "churn" else np.nan, "ece": 0.03, "predicted": 0.4},
        **{"observed": 0.42, "forecast_sha256": "0" * 64},
    }


REALISED = pd.DataFrame(
    [
        graded(30 + n, target, role, 0.5 + n / 100 + (role == "baseline") / 10)
        for n in range(12)
        for target in ("next_stage", "churn")
        for role in schema.ROLES
    ]
)


BACKTEST_OF = {"data_version": "d1", "features": {"last_k": 5}}


def _entry(role: str, loss: float, to_best: tuple[float, float, float] | None) -> dict:
    names = ("value", "low", "high")
    metrics = {
        m: dict(zip(names, (v, v - 0.01, v + 0.01)))
        for m, v in (("log_loss", loss), ("brier", 0.18), ("auc", 0.8), ("accuracy", 0.7), ("ece", 0.02))
    }
    noise = {"mean": 0.0091, "high": 0.0131}
    proof = to_best and {"log_loss": dict(zip(names, to_best))}
    return {"role": role, "metrics": metrics, "ece_noise": noise, "to_best": proof}


_BOARD = {
    "lightgbm": _entry("model", 0.51, None),
    "logistic": _entry("model", 0.515, (0.005, -0.001, 0.011)),
    "recency": _entry("baseline", 0.6, (0.09, 0.08, 0.1)),
}
BACKTESTS = {
    "churn": {
        "of": BACKTEST_OF,
        "missing": None,
        "left_out": [{"model": "hazard", "origin": "2025-06-02", "reason": "there are 3 rows to learn from"}],
        "origins": [
            {"origin": day, "n_train": 900, "n_test": 300, "missing": None, "best": "lightgbm", "models": _BOARD}
            for day in ("2025-06-02", "2025-06-30")
        ],
        "pooled": {
            "best": "lightgbm",
            "models": _BOARD,
            "n_test": 600,
            "n_test_persons": 310,
            "verdict": "lightgbm is ahead; no proven difference in log loss to logistic",
            "slices": [
                {
                    "by": "stage",
                    "value": "cart",
                    "n": 44,
                    "n_persons": 31,
                    "log_loss": {"lightgbm": 0.6, "logistic": 0.58, "recency": 0.7},
                    "to_best": {
                        "logistic": {"value": -0.02, "low": -0.05, "high": 0.01},
                        "recency": {"value": 0.1, "low": 0.04, "high": 0.16},
                    },
                }
            ],
        },
    }
}


@cache
def _frames() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    journeys = random_journeys(120)
    persons = journeys["person_id"].unique().tolist()
    before = forecast(persons[10:110], NIGHT - timedelta(days=1), seed=4)
    return journeys, forecast(persons[:100]), before


def a_night(**other: object) -> dict:
    """All arguments of `build_page`, some of them replaced."""
    journeys, predictions, previous = _frames()
    return {
        "title": "Customer journeys",
        "source": "simulated",
        "cutoff_time": NIGHT,
        "horizon_days": HORIZON_DAYS,
        "path": PATH,
        "evaluation": EVALUATION,
        "judged": JUDGED,
        "ingest": INGEST,
        "exposure": EXPOSURE,
        "leakcheck": LEAKCHECK,
        "backtests": BACKTESTS,
        "backtest_of": BACKTEST_OF,
        "promotion": PROMOTION,
        "realised": REALISED,
        "journeys": journeys,
        "predictions": predictions,
        "previous": previous,
        "manifest": MANIFEST,
        "settings": SETTINGS,
        "max_flows": 24,
    } | other
