"""From a leak in a feature to the model that is not promoted, through the steps, where some of the persons train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import small_project
from small_project import PARAMS, finish, run

pytestmark = pytest.mark.slow

DATA = ("config", "simulate", "ingest", "clock")
TRAINING = ("config", "features_train", "targets", "leakcheck", "train", "evaluate", "track", "promote")
LEAK = '''

@feature("days until the next event", unit="days")
def days_ahead(points: Points) -> np.ndarray:
    """Look past the cut-off."""
    log, cutoff = points.log, int(points.cutoff.max())
    later = log.event_time >= cutoff
    ahead = np.full(len(log.identities.person_ids), np.inf)
    np.minimum.at(ahead, log.identities.persons(cutoff)[later], (log.event_time[later] - cutoff) / _DAY_US)
    found = ahead[points.grouped.persons[points.group]]
    return np.where(np.isfinite(found), found, np.nan)
'''


def choices(**features: Any) -> dict[str, Any]:
    """Return those of a brand in which a model of a quarter of the persons is proven better than shares of classes."""
    baselines = {"next_stage": ["most_frequent"], "churn": ["most_frequent"]}
    chosen = {
        "simulate": {"n_persons": 800, "days": 300},
        "evaluate": {"n_bootstrap": 20, "n_explained": 20, "baselines": baselines},
        "features": {"max_train_rows": 12_000} | features,
    }
    return PARAMS | {"set": chosen}


def read(project: Path, name: str) -> Any:
    return json.loads((project / name).read_text())


def test_a_clean_model_is_promoted_and_one_that_sees_the_future_is_not_where_a_quarter_was_drawn(tmp_path):
    project = finish(tmp_path / "project", choices(), small_project.__file__, *DATA, *TRAINING)
    assert read(project, "data/features/draw.json") == {"n_halvings": 2}
    assert read(project, "reports/leakcheck.json")["n_alarms"] == 0
    clean = read(project, "reports/promotion.json")
    assert {target: decided["champion"] for target, decided in clean.items()} == {
        "next_stage": "candidate",
        "churn": "candidate",
    }

    with (project / "src/custom_features.py").open("a") as file:
        file.write(LEAK)
    (project / "params.yaml").write_text(yaml.safe_dump(choices(custom=["days_ahead"])))
    run(project, small_project.__file__, *TRAINING)
    found = read(project, "reports/leakcheck.json")["findings"]
    alarms = {(f["check"], f["name"]) for f in found if f["verdict"] == "ALARM"}
    assert {("stored_rows", "days_ahead"), ("future", "days_ahead"), ("permuted_targets", "days_ahead")} <= alarms
    assert {name for _, name in alarms} == {"days_ahead"}
    for target, decided in read(project, "reports/promotion.json").items():
        assert decided["champion"] == "champion"
        refused = decided["contenders"]["candidate"]["refused"]
        assert refused == "leaking: leakcheck raised an alarm for days_ahead"
        assert decided["reigns"][-1] == clean[target]["reigns"][-1]
    churn = read(project, "reports/promotion.json")["churn"]["contenders"]
    assert churn["candidate"]["metrics"]["log_loss"]["value"] < churn["champion"]["metrics"]["log_loss"]["value"]
