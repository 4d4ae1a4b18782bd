"""Visits -> the stages and the moves between them, counted as of one night."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

# What a move is, most telling first: each is counted under the first that holds.
KINDS = ("regression", "detour", "reentry", "forward")
_PAIR = ["from_stage", "to_stage"]
_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Flows:
    """The journeys of everybody, added up.

    `stages` has one row a stage in drawing order: stage, position (on the designed path, from 1; 0 is off it),
    n_visits, n_starts, n_now, n_now_silent, n_now_unscored. `moves` has one row a pair of stages and a kind:
    from_stage, to_stage, kind, n. `pairs` has one row a pair of stages, the most frequent first: from_stage,
    to_stage, kinds, n, share, share_from, median_days (spent in the stage before the move).
    """

    stages: pd.DataFrame
    moves: pd.DataFrame
    pairs: pd.DataFrame
    n_people: int
    n_regressions: int
    n_detours: int
    n_reentries: int

    @property
    def is_designed(self) -> bool:
        """Whether there is a designed path to keep to or stray from."""
        return bool((self.stages["position"] > 0).any())

    @property
    def n_moves(self) -> int:
        """All moves between stages."""
        return int(self.moves["n"].sum())


def as_of(journeys: pd.DataFrame, cutoff_time: datetime) -> pd.DataFrame:
    """Return the visits that had begun before `cutoff_time`; those that ended later are still going on."""
    seen = journeys[journeys["entered_time"] < cutoff_time].sort_values(["person_id", "visit"], ignore_index=True)
    return seen.assign(left_time=seen["left_time"].where(seen["left_time"] < cutoff_time))


def count_flows(
    journeys: pd.DataFrame, cutoff_time: datetime, path: Sequence[str], outlook: pd.Series | None = None
) -> Flows:
    """Count visits, moves and who is where.

    Parameters
    ----------
    journeys
        Rows of `schema.JOURNEYS`, in any order.
    cutoff_time
        The night; later visits are not counted.
    path
        The designed order of stages. Stages off it come after it, those met early in a journey first.
    outlook
        For each scored `person_id` whether silence is likely; persons without a value were not scored.
    """
    visits = as_of(journeys, cutoff_time)
    before = visits.groupby("person_id")[["stage", "entered_time", "left_time"]].shift()
    visits = visits.assign(
        from_stage=before["stage"],
        days=(before["left_time"].fillna(visits["entered_time"]) - before["entered_time"]) / _DAY,
        kind=_kinds(visits),
    )
    is_move = visits["from_stage"].notna() & (visits["from_stage"] != visits["stage"])
    steps = visits[is_move].rename(columns={"stage": "to_stage"})
    moves = _largest_first(steps.groupby([*_PAIR, "kind"]).size().rename("n").reset_index(), [*_PAIR, "kind"])
    return Flows(
        stages=_stages(visits, path, outlook),
        moves=moves,
        pairs=_pairs(steps, moves),
        n_people=int(visits["person_id"].nunique()),
        n_regressions=int(steps["is_regression"].sum()),
        n_detours=int(steps["is_detour"].sum()),
        n_reentries=int(steps["is_reentry"].sum()),
    )


def _kinds(visits: pd.DataFrame) -> pd.Series:
    kinds = pd.Series("forward", index=visits.index, dtype="str")
    for kind in reversed(KINDS[:-1]):
        kinds = kinds.mask(visits[f"is_{kind}"].astype(bool), kind)
    return kinds


def _stages(visits: pd.DataFrame, path: Sequence[str], outlook: pd.Series | None) -> pd.DataFrame:
    here = visits[~visits.duplicated("person_id", keep="last")]
    likely = here["person_id"].map(outlook if outlook is not None else pd.Series(dtype="boolean"))
    counts = pd.DataFrame(
        {
            "n_visits": visits.groupby("stage").size(),
            "n_starts": visits[visits["from_stage"].isna()].groupby("stage").size(),
            "n_now": here.groupby("stage").size(),
            "n_now_silent": here[likely.eq(True).fillna(False)].groupby("stage").size(),
            "n_now_unscored": here[likely.isna()].groupby("stage").size(),
            "mean_visit": visits.groupby("stage")["visit"].mean(),
        }
    )
    counts = counts.reindex(counts.index.union(pd.Index(list(path), dtype="str"))).rename_axis("stage")
    numbers = [c for c in counts if c.startswith("n_")]
    counts[numbers] = counts[numbers].fillna(0).astype("int64")
    position = {stage: i for i, stage in enumerate(path, 1)}
    counts["position"] = [position.get(stage, 0) for stage in counts.index]
    counts["order"] = [position.get(stage, len(position) + 1) for stage in counts.index]
    return counts.reset_index().sort_values(["order", "mean_visit", "stage"], ignore_index=True).drop(columns="order")


def _pairs(steps: pd.DataFrame, moves: pd.DataFrame) -> pd.DataFrame:
    groups = steps.groupby(_PAIR)
    pairs = pd.DataFrame(
        {
            "n": groups.size(),
            "median_days": groups["days"].median(),
            "kinds": moves.groupby(_PAIR)["kind"].agg(lambda kinds: tuple(sorted(kinds, key=KINDS.index))),
        }
    ).reset_index()
    pairs["share"] = pairs["n"] / max(len(steps), 1)
    pairs["share_from"] = pairs["n"] / pairs.groupby("from_stage")["n"].transform("sum")
    return _largest_first(pairs, _PAIR)


def _largest_first(counts: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    return counts.sort_values(["n", *key], ascending=[False, *(True for _ in key)], ignore_index=True)
