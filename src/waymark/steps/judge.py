"""DVC step: how good they are who forecast."""

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from waymark import champions, config, evaluation, judgement, models, tables
from waymark.console import timed
from waymark.how_judged import read_how
from waymark.recoding import with_features

log = logging.getLogger(__name__)

FILE = tables.REPORTS / "champions.json"


def main() -> None:
    """Judge the champion of each target as the trained models were judged, and write what was found."""
    with timed(log, "judge") as facts:
        earlier = tables.read_json(FILE)["targets"] if FILE.exists() else {}
        found = {target: _judge(target, earlier.get(target, {})) for target in models.TARGETS}
        tables.write_json({"targets": found}, FILE)
        facts.extend(f"{t}: {f['champion']['name']}, {f.get('missing') or f['verdict']}" for t, f in found.items())


def _judge(target: str, earlier: Mapping[str, Any]) -> dict[str, Any]:
    return judgement.judge_champion(
        champions.reign_of(target),
        tables.read_json(tables.REPORTS / "promotion.json")[target],
        tables.read_json(tables.MODELS / target / "model.json")["version"],
        _found(tables.read_json(tables.REPORTS / "evaluation.json"), target),
        earlier,
        tables.read(tables.TARGETS),
        lambda targets: _evaluate(target, targets),
    )


def _evaluate(target: str, targets: pd.DataFrame) -> dict[str, Any]:
    cfg, aims = config.load(config.EvaluateConfig, "evaluate"), config.load(config.TargetsConfig, "targets")
    how = read_how(cfg, aims, config.value("seed"))
    champion = with_features(champions.load(target), how["catalogue"])
    return _found(evaluation.evaluate(targets=targets, trained={target: champion}, **how), target)


def _found(evaluated: Mapping[str, Any], target: str) -> dict[str, Any]:
    """Return what was found of a target, or why nothing was."""
    why = evaluated["not_modelled"].get(target)
    return {"missing": f"not modelled: {why}"} if why else evaluated["targets"][target]


if __name__ == "__main__":
    main()
