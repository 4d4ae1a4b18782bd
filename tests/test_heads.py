"""Which rows of a person a kept table need not be told again."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waymark import heads
from waymark.errors import InputError
from waymark.heads import changed_rows, renewed_numbers
from waymark.store import mapped
from waymark.store.hashes import hash_texts

KINDS = pa.schema(
    {"who": pa.string(), "number": pa.int32(), "what": pa.string(), "time": pa.timestamp("us"), "is_odd": pa.bool_()}
)


def frame(*persons: str) -> pd.DataFrame:
    """Return rows of persons; `"ann a b ?"` has three, of which the last one has no text and no time."""
    told = [
        (who, i, None if what == "?" else what)
        for who, *all_of in map(str.split, persons)
        for i, what in enumerate(all_of, 1)
    ]
    who, number, what = (list(c) for c in zip(*told, strict=True)) if told else ([], [], [])
    time = pd.to_datetime(
        [None if w is None else f"2025-01-{n:02}" for n, w in zip(number, what, strict=True)], utc=True
    )
    return pd.DataFrame(
        {
            "who": pd.array(who, "str"),
            "number": np.array(number, np.int32),
            "what": pd.array(what, "str"),
            "time": pd.DatetimeIndex(time).as_unit("us"),
            "is_odd": np.array(number, int) % 2 == 1,
        }
    )


def rows(*persons: str) -> pa.Table:
    found = frame(*persons)
    return pa.Table.from_pandas(found.assign(time=found["time"].dt.tz_convert(None)), preserve_index=False).cast(KINDS)


def remembered(known: pa.Table) -> mapped.Mapped:
    """Return what is remembered as a night reads it."""
    with TemporaryDirectory() as folder:
        heads.write(known, Path(folder) / "heads.columns")
        return heads.read(Path(folder) / "heads.columns")


def after(before: pa.Table, now: pa.Table, gone: list[str] | None = None):
    """Return what is new of the rows of two nights, the later one."""
    known = remembered(changed_rows(before, "who", "number", None, hashed()).heads)
    return changed_rows(now, "who", "number", known, hashed(*(gone or set(now["who"].to_pylist()))))


def hashed(*persons: str) -> np.ndarray:
    return np.sort(hash_texts(pa.array(persons, pa.string())))


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("ann a b", "ann a b c", "2 3"),  # the last row of then may have changed
        ("ann a b", "ann a b", "2"),
        ("ann a b c", "ann a x c", "1 2 3"),
        ("ann a b c", "ann a b", "1 2"),  # a shorter list is told anew
        ("ann a", "ann a b", "1 2"),
        ("ann a ? c", "ann a ? c d", "3 4"),
        ("ann a ? c", "ann a b c d", "1 2 3 4"),
        ("bob a b c", "ann a b c d", "1 2 3 4"),  # nobody else's
    ],
)
def test_rows_stay_that_begin_as_those_of_last_night_did(before, now, new):
    found = after(rows(before), rows(now))
    assert " ".join(map(str, found.rows["number"].to_pylist())) == new
    first = int(new.split()[0])
    stays = [(hashed("ann")[0], first)] if first > 1 else []
    assert list(zip(found.persons, found.first, strict=True)) == stays


def test_of_whom_nothing_is_made_any_more_nothing_is_remembered():
    gone = after(rows("ann a b c", "bob a b c"), rows(), ["ann"])
    assert len(gone.rows) == 0
    again = changed_rows(rows("ann a b c", "bob a b c"), "who", "number", remembered(gone.heads), hashed("ann", "bob"))
    assert again.persons.tolist() == hashed("bob").tolist()


def test_numbers_of_persons_are_added_up_over_all_nights(tmp_path):
    def night(old: Path | None, gone: np.ndarray, **persons: int) -> tuple[Path, list[int], dict[str, int]]:
        n = np.array([*persons.values()], np.int32)
        told = pa.table({"who": pa.array(persons, pa.string()), "n": n, "none": np.zeros(len(n), np.int32)})
        known, sums = renewed_numbers(told, "who", old and heads.read(old), gone)
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.columns"
        heads.write(known, file)
        return file, sorted(known["person"].to_pylist()), sums

    first, _, sums = night(None, hashed(), ann=1, bob=2, cat=4, zoe=0)
    assert sums == {"n": 7, "none": 0}
    # Bob moved elsewhere, Dan is new and Ann was told anew.
    second, persons, sums = night(first, hashed("ann", "bob", "eve"), ann=8, dan=16)
    assert sums == {"n": 28, "none": 0}
    assert persons == hashed("ann", "cat", "dan", "zoe").tolist()
    _, persons, sums = night(second, hashed("ann", "bob", "cat", "dan"))
    assert (persons, sums) == (hashed("zoe").tolist(), {"n": 0, "none": 0})


def test_what_is_remembered_is_read_as_it_was_written_or_not_at_all(tmp_path):
    known = changed_rows(rows("ann a b c", "bob a"), "who", "number", None, hashed()).heads
    file = tmp_path / "heads.columns"
    heads.write(known, file)
    assert heads.read(file).table().equals(known)
    told = bytearray(file.read_bytes())
    told[-1] ^= 1
    file.write_bytes(told)
    with pytest.raises(InputError, match=r"heads\.columns is missing or damaged"):
        heads.read(file).table()


_LISTS = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("xyz?"), min_size=1, max_size=5))


@given(nights=st.lists(_LISTS, min_size=1, max_size=5), data=st.data())
def test_what_stays_and_what_is_new_are_all_rows(nights, data):
    old, table = None, rows().to_pandas()
    for night in nights:
        told = rows(*(f"{who} {' '.join(what)}" for who, what in night.items()))
        gone = sorted(set(night) | set(data.draw(st.lists(st.sampled_from("abcdef")))))
        found = changed_rows(told, "who", "number", old, hashed(*gone))
        of = {hashed(who)[0]: who for who in gone}
        first = dict.fromkeys(gone, 1) | {of[p]: n for p, n in zip(found.persons, found.first, strict=True)}
        stays = table["number"].to_numpy() < np.array([first.get(who, 99) for who in table["who"]], int)
        table = pd.concat([table[stays], found.rows.to_pandas()]).sort_values(["who", "number"], ignore_index=True)
        assert_same = told.to_pandas().sort_values(["who", "number"], ignore_index=True)
        pd.testing.assert_frame_equal(table[table["who"].isin(set(night))].reset_index(drop=True), assert_same)
        assert not set(table["who"]) & (set(gone) - set(night))
        known, old = found.heads, remembered(found.heads)
        assert known["person"].to_numpy().tolist() == sorted(set(known["person"].to_pylist()))
        assert len(known) == table["who"].nunique()
