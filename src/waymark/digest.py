"""An evaluation in few numbers: what `dvc metrics` and `dvc plots` compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from waymark.evaluation import rounded

_COLUMNS = {
    "leaderboard": ["model", "role", "metric", "value", "low", "high"],
    "calibration": ["model", "predicted", "observed", "n"],
    "importance": ["feature", "words", "gain_share"],
}


def summary(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what `dvc metrics diff` compares: the model's metrics and its gain over the best baseline."""
    out = {}
    for target, found in evaluation["targets"].items():
        model = next(m for m in found["models"].values() if m["role"] == "model")
        best = found["best_baseline"]
        out[target] = {name: estimate["value"] for name, estimate in model["metrics"].items()}
        out[target] |= {f"ece_noise_{k}": v for k, v in model["ece_noise"].items()}
        if best is not None:
            loss = found["models"][best]["metrics"]["log_loss"]["value"]
            gain = rounded(loss - out[target]["log_loss"])
            out[target] |= {"best_baseline": best, "best_baseline_log_loss": loss, "gain_log_loss": gain}
    return out


def plots(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of `reports/plots`: name -> CSV text. Of what is not modelled they have a header and no rows."""
    files = {}
    for target in (*evaluation["targets"], *evaluation["not_modelled"]):
        found = evaluation["targets"].get(target, {"models": {}, "calibration": {}, "importance": []})
        board = [
            {"model": name, "role": entry["role"], "metric": metric, **estimate}
            for name, entry in found["models"].items()
            for metric, estimate in entry["metrics"].items()
        ]
        curve = [{"model": name, **row} for name, rows in found["calibration"].items() for row in rows]
        tables = {"leaderboard": board, "calibration": curve, "importance": found["importance"]}
        files |= {f"{name}_{target}.csv": pd.DataFrame(rows, columns=_COLUMNS[name]) for name, rows in tables.items()}
    return {name: frame.to_csv(index=False, lineterminator="\n") for name, frame in files.items()}
