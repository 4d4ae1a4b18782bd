"""A small brand in which people act at random times, and ways to know its future."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import by_hand
from by_hand import SHOP, time
from table_facts import TableFacts
from waymark import features, targets
from waymark.clock import TrainClock, set_train_clock
from waymark.config import SplitConfig, TargetsConfig
from waymark.leak_subject import Subject
from waymark.ledger import link_identities

N_PERSONS, N_DAYS, HORIZON = 400, 160, 30
OPENED = time("2025-01-01")
SPLIT = SplitConfig(kind="cutoffs", step_days=7, n_train=3, n_test=1, gap_days=0, min_history_days=28)
TARGETS = TargetsConfig(horizon_days=HORIZON)


def brand(seed: int = 0) -> pd.DataFrame:
    """Return events of customers and their devices: some unknown at first, some delivered late, some known ahead."""
    rng = np.random.default_rng(seed)
    rows = [row for person in range(N_PERSONS) for row in _life(person, rng)]
    return by_hand.frame(rows)


def _life(person: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    begins = rng.integers(0, 90)
    days = np.sort(rng.uniform(begins, begins + rng.exponential(80) + 1, rng.poisson(8) + 1))
    logs_in = rng.uniform(begins, N_DAYS)
    rows = []
    for i, day in enumerate(days[days < N_DAYS]):
        moment = (OPENED + pd.Timedelta(days=float(day))).round("us")
        late = pd.Timedelta(days=float(rng.choice([0, 0, 0, 0, 3, 20])))
        what = rng.choice(["view", "view", "order", "complaint"])
        rows.append(
            {
                "event_id": f"{person}-{i}",
                "event_time": moment,
                "known_time": moment + late,
                "sequence": 0,
                "source": "planted",
                "anonymous_id": f"d{person}" if rng.random() < 0.5 or day < logs_in else None,
                "customer_id": f"c{person}" if day >= logs_in else None,
                "event_type": what,
                "actor": "customer",
                "channel": rng.choice(["web", "store"]),
                "session_id": None,
                "value_cents": int(rng.integers(1, 90)) * 100 if what == "order" else None,
            }
        )
    return rows


def subject(
    events: pd.DataFrame,
    *custom: str,
    kind: str = "snapshots",
    target: TargetsConfig = TARGETS,
    clock: TrainClock | None = None,
) -> Subject:
    """Return the tables of a project on `events`; labels come from `target` and are told to be those of `TARGETS`."""
    links = link_identities(events)
    split = SPLIT if kind == "snapshots" else SplitConfig(kind="cases")
    known = clock or set_train_clock(TableFacts(events), split, TARGETS)
    settings = by_hand.settings(points=kind, groups=[*by_hand.GROUPS, "custom"], custom=list(custom))
    nights = (*known.train_cutoffs, *known.test_cutoffs)
    rows, catalogue, words = features.build_training_features(events, links, nights, known.as_of, SHOP, settings)
    truth = targets.build_targets(rows, events, links, known, kind, SHOP, target, split)
    return Subject(events, links, rows, truth, catalogue, words, known, SHOP, settings, TARGETS, split)
