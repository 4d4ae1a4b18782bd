"""What bootstrap over persons says of models judged on the same rows: of each alone, and of two against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from waymark import metrics

Estimate = dict[str, float]  # value, low, high


class Comparison:
    """Values and bootstrap replicates of every metric of every model, all from the same samples of persons.

    Parameters
    ----------
    y, predictions, persons, judges
        As `metrics.bootstrap` takes them.
    n_bootstrap, coverage
        Samples of persons, and the share of them that an interval covers.
    seed
        Of the samples.
    """

    def __init__(
        self,
        y: np.ndarray,
        predictions: Mapping[str, np.ndarray],
        persons: Sequence,
        judges: Sequence[metrics.Sums | metrics.Ranks],
        *,
        n_bootstrap: int,
        coverage: float,
        seed: int,
    ) -> None:
        """Judge every model on the rows and on every sample of persons."""
        self.metrics = [k.name for k in judges]
        self.values = {name: {k.name: k(y, p) for k in judges} for name, p in predictions.items()}
        self.samples = metrics.bootstrap(y, predictions, persons, judges, n_bootstrap, seed)
        self.coverage = coverage

    def best(self, names: Sequence[str]) -> str | None:
        """Return the one of `names` with the least log loss, or None of none."""
        return min(names, key=lambda name: self.values[name]["log_loss"], default=None)

    def of(self, name: str) -> dict[str, Estimate]:
        """Return every metric of a model, with its interval."""
        return {metric: self._bounded(metric, name) for metric in self.metrics}

    def between(self, one: str, other: str) -> dict[str, Estimate]:
        """Return by how much each metric of one model is above that of another, with its interval."""
        return {metric: self._bounded(metric, one, other) for metric in self.metrics}

    def _bounded(self, metric: str, *names: str) -> Estimate:
        one, *other = names
        value = self.values[one][metric] - (self.values[other[0]][metric] if other else 0.0)
        spread = self.samples[one][metric] - (self.samples[other[0]][metric] if other else 0.0)
        low, high = metrics.interval(value, spread, self.coverage)
        # No metric but the bias is below nought; a difference may be.
        is_signed = bool(other) or metric == metrics.bias.name
        return {"value": value, "low": low if is_signed else max(low, 0.0), "high": high}
