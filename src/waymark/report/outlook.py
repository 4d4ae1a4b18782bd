"""Tonight's forecasts, added up."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from waymark.report.words import SILENT, STAY

LIKELY = 0.5
_NEXT = "p_next_"
_SILENT = re.compile(r"p_silent_(\d+)d")
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Outlook:
    """The forecasts of one night, and the horizon they speak of."""

    predictions: pd.DataFrame
    horizon_days: int
    stage_names: tuple[str, ...] = ()  # as people write them; columns only hold letters, digits and underscores

    @property
    def n_people(self) -> int:
        """People scored."""
        return len(self.predictions)

    @property
    def p_silent(self) -> pd.Series | None:
        """Each person's probability of silence within the horizon; None where it is not forecast."""
        return self.predictions.get(f"p_silent_{self.horizon_days}d")

    @property
    def silence(self) -> dict[int, pd.Series]:
        """Each person's probability of silence at every horizon that is forecast, by days, the shortest first."""
        found = {int(m[1]): self.predictions[m[0]] for m in map(_SILENT.fullmatch, self.predictions.columns) if m}
        return dict(sorted(found.items()))

    @property
    def return_days(self) -> pd.Series | None:
        """Each person's median day of return, of those who do within the longest horizon; None where it is not told."""
        days = self.predictions.get("return_days")
        return None if days is None or days.isna().all() else days

    @cached_property
    def is_likely_silent(self) -> pd.Series:
        """For each `person_id`, whether silence is at least as likely as not."""
        likely = np.zeros(self.n_people, bool) if self.p_silent is None else (self.p_silent >= LIKELY).to_numpy()
        return pd.Series(likely, index=pd.Index(self.predictions["person_id"]), dtype="boolean")

    @property
    def n_likely_silent(self) -> int:
        """People for whom silence is at least as likely as not."""
        return int(self.is_likely_silent.sum())

    def outcomes(self) -> pd.DataFrame:
        """Return a row an outcome, index `outcome`: n_likeliest, and n_expected, the sum of its probabilities.

        Stages come first, the most expected before the others, then staying and silence.
        """
        frame = self.predictions
        likeliest = frame["next_stage"].value_counts()
        names = _by_column([*self.stage_names, *sorted(likeliest.index)])
        columns = [c.removeprefix(_NEXT) for c in frame if c.startswith(_NEXT)]
        expected = {names.get(c, c): float(frame[_NEXT + c].sum()) for c in columns}
        expected |= dict.fromkeys(sorted(set(likeliest.index) - set(expected) - {STAY, SILENT}), np.nan)
        stages = sorted(expected, key=lambda s: (-np.nan_to_num(expected[s]), s))
        expected[STAY] = float(frame["p_stay"].sum())
        expected[SILENT] = np.nan if self.p_silent is None else float(self.p_silent.sum())
        index = pd.Index([*stages, STAY, SILENT], name="outcome", dtype="str")
        numbers = {
            "n_likeliest": likeliest.reindex(index, fill_value=0).to_numpy("int64"),
            "n_expected": [expected[outcome] for outcome in index],
        }
        return pd.DataFrame(numbers, index=index)

    def silence_bins(self, n_bins: int = 10) -> list[int]:
        """Return how many people's probability of silence falls into each of `n_bins` equally wide bins."""
        values = [] if self.p_silent is None else self.p_silent.dropna().to_numpy()
        counts, _ = np.histogram(values, bins=n_bins, range=(0.0, 1.0))
        return [int(n) for n in counts]

    def stages(self, path: Sequence[str]) -> pd.DataFrame:
        """Return a row a stage, in designed order, the others by size: n, n_silent, p_silent, days, next_stage.

        `days` is the median time since the stage was entered, `next_stage` the outcome that is the likeliest for most.
        """
        frame = self.predictions.assign(
            days=(self.predictions["cutoff_time"] - self.predictions["stage_since"]) / _DAY,
            p_silent=np.nan if self.p_silent is None else self.p_silent,
            is_silent=self.is_likely_silent.to_numpy(bool),
        )
        groups = frame.groupby("stage")
        stages = groups.agg(
            n=("person_id", "size"),
            n_silent=("is_silent", "sum"),
            p_silent=("p_silent", "mean"),
            days=("days", "median"),
            next_stage=("next_stage", lambda outcomes: outcomes.mode().min()),
        ).reset_index()
        position = {stage: i for i, stage in enumerate(path)}
        stages["order"] = [position.get(stage, len(position)) for stage in stages["stage"]]
        return stages.sort_values(["order", "n", "stage"], ascending=[True, False, True], ignore_index=True)


def _by_column(names: Iterable[str]) -> dict[str, str]:
    """Return the stage that a column speaks of, where its name tells."""
    found: dict[str, set[str]] = {}
    for name in names:
        found.setdefault(re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_"), set()).add(name)
    return {column: stages.pop() for column, stages in found.items() if len(stages) == 1}
