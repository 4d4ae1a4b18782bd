"""Rows of events -> events: repeated rows dropped, restatements told apart, lines added up, feeds put together.

Until feeds are put together, times are microseconds since 1970.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

from waymark.sources.mapping import hash_id
from waymark.sources.rows import Refusal

NEVER = np.iinfo(np.int64).max
_NO_CONTENT = ("known_time", "superseded_time", "line", "file")
_MOMENT = ["event_id", "known_time"]
_OPTIONS = {"merge_key": "one_event_per"}  # what a user knows a column by
CONFLICT = "conflict"  # the rule of rows that contradict another of their id and time


def tell_versions(rows: pa.Table, *, are_in_order: bool = False) -> tuple[pd.DataFrame, list[tuple[str, Refusal]]]:
    """Say what each event id was known to be, from when (`known_time`) until when (`superseded_time`, else `NEVER`).

    Rows of one id and one `known_time` are one: the first by file name and line. One that says something else than that
    first is a conflict, and refused with its file: nothing tells which of the two holds. Of rows known at different
    times, one that says the same as the one before is a repetition and is dropped; one that says something else is a
    restatement and takes its place. Where rows `are_in_order`, `sequence` is the line of a row, and not what it says.
    """
    frame = rows.drop_columns(["value_cents"]).to_pandas()
    frame["value_cents"] = rows["value_cents"].to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    frame["superseded_time"] = NEVER
    is_told_again = frame["event_id"].duplicated(keep=False)
    if not is_told_again.any():
        return frame, []
    by_name = frame.loc[is_told_again, [*_MOMENT, "file", "line"]].astype({"file": "str"})
    told = frame.loc[by_name.sort_values([*_MOMENT, "file", "line"], kind="stable").index]
    is_first = ~told.duplicated(_MOMENT).to_numpy()
    conflicts = _conflicts(told, np.flatnonzero(is_first)[is_first.cumsum() - 1], are_in_order)
    told = told[is_first]
    told["superseded_time"] = told.groupby("event_id")["known_time"].shift(-1, fill_value=NEVER)
    return pd.concat([frame[~is_told_again], _without_repetitions(told, are_in_order)]).sort_index(), conflicts


def _conflicts(told: pd.DataFrame, first: np.ndarray, are_in_order: bool) -> list[tuple[str, Refusal]]:
    """Refuse the rows that do not say what the one at their place in `first` says."""
    is_same = _says_what(told, first, are_in_order)
    names, lines, ids = (told[c].tolist() for c in ("file", "line", "event_id"))
    conflicts = []
    for i in np.flatnonzero(~np.logical_and.reduce(list(is_same.values()))).tolist():
        others = ", ".join(_OPTIONS.get(c, c) for c, same in is_same.items() if not same[i])
        reason = (
            f"event_id {ids[i]!r} was told in {names[first[i]]}:{lines[first[i]]} with the same known_time and another"
            f" {others}; if it was restated since, date such rows by a column for known_time or by `delivered`"
        )
        conflicts.append((names[i], Refusal(lines[i], CONFLICT, reason)))
    return conflicts


def merge_lines(rows: pd.DataFrame, feed_name: str, *, are_in_order: bool = False) -> pd.DataFrame:
    """Make one event of the rows that share a `merge_key`; rows without one are events already.

    The event is known from its first line on, and restated whenever a line is added, restated or taken away, so that
    what was known of it then stays known of it. Values and numbers add up; it is as early as the earliest of its
    lines; of everything else, the first given value stays, lines ordered by time and id.
    """
    if not rows["merge_key"].notna().any():
        return rows
    lines = _lines_at_each_moment(rows)
    code = (lines[["merge_key", "moment"]] != lines[["merge_key", "moment"]].shift()).any(axis=1).cumsum() - 1
    code = code.to_numpy()
    groups = lines.groupby(code, sort=True)
    summed = ["value_cents", *(c for c in rows if str(c).startswith("num_"))]
    merged = pd.DataFrame({c: _first_given(lines[c], code, int(code[-1]) + 1) for c in rows if c not in summed})
    for column in summed:
        merged[column] = groups[column].sum(min_count=1)
    merged["known_time"], merged["superseded_time"] = groups["moment"].first(), groups["next_moment"].first()
    merged["sequence"] = groups["sequence"].min()
    keys = merged["merge_key"]
    ids = {key: hash_id(feed_name, "one event", key) for key in keys.unique()}
    merged["event_id"] = keys.map(ids).astype("str")
    return _without_repetitions(merged, are_in_order)


def _lines_at_each_moment(rows: pd.DataFrame) -> pd.DataFrame:
    """Repeat the rows of a `merge_key` for each `moment` at which one of them begins or ceases to hold.

    Those that hold then are there, ordered by key, moment, time and id; `next_moment` is the key's next, or `NEVER`.
    """
    begins = rows[["merge_key", "known_time"]].set_axis(["merge_key", "moment"], axis=1)
    ceases = rows[["merge_key", "superseded_time"]].set_axis(["merge_key", "moment"], axis=1)
    moments = pd.concat([begins, ceases[ceases["moment"] < NEVER]]).drop_duplicates()
    moments = moments.sort_values(["merge_key", "moment"], ignore_index=True)
    moments["next_moment"] = moments.groupby("merge_key")["moment"].shift(-1, fill_value=NEVER)
    lines = moments.merge(rows, on="merge_key")
    holds = (lines["known_time"] <= lines["moment"]) & (lines["moment"] < lines["superseded_time"])
    order = ["merge_key", "moment", "event_time", "known_time", "event_id"]
    return lines[holds].sort_values(order, kind="stable", ignore_index=True)


def _without_repetitions(versions: pd.DataFrame, are_in_order: bool) -> pd.DataFrame:
    """Keep, of versions of an event that follow each other and say the same, the first, until the last ceases to hold.

    `versions` are ordered by `event_id` and `known_time`.
    """
    before = np.arange(len(versions)) - 1
    is_same = np.logical_and.reduce(list(_says_what(versions, before, are_in_order).values()))
    is_same &= versions["known_time"].to_numpy() == versions["superseded_time"].to_numpy()[before]
    is_same[:1] = False
    until = versions.groupby((~is_same).cumsum())["superseded_time"].transform("last")
    return versions.assign(superseded_time=until)[~is_same]


def _says_what(rows: pd.DataFrame, place: np.ndarray, are_in_order: bool) -> dict[str, np.ndarray]:
    """Say, for each column of content, which rows hold what the one at their `place` holds; missing values agree."""
    no_content = {*_NO_CONTENT, "sequence"} if are_in_order else _NO_CONTENT
    codes = {c: pd.factorize(rows[c])[0] for c in rows if c not in no_content}
    return {c: code == code[place] for c, code in codes.items()}


def _first_given(column: pd.Series, code: np.ndarray, n: int) -> pd.Series:
    """Return, for each group of rows, the first value that is not null; `code` is ascending."""
    given = np.flatnonzero(column.notna())
    groups, first = np.unique(code[given], return_index=True)
    return pd.Series(column.iloc[given[first]].array, index=groups).reindex(range(n))
