"""Kept tables are, after any nights, what they are when made anew of everything."""

from __future__ import annotations

import random
import shutil
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from by_hand import SHOP
from test_store import brand, deliver, history, owners, pairs
from waymark import keeping, kept, parts, tables
from waymark.config import IdentityConfig
from waymark.engine import Threads
from waymark.errors import InputError
from waymark.eventlog import micro
from waymark.keeping import make_kept
from waymark.steps.journeys import OUTS, persons_and_visits
from waymark.store import compaction, landing
from waymark.store.store import Store

HERE = Threads(1)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Stores and tables of small pieces, put in order all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing, "BATCH_ROWS", 3)
        patch.setattr(compaction, "MOST_NEWS", 2)
        patch.setattr(tables, "GROUP_ROWS", 3)
        patch.setattr(parts, "_EVERY", 1)
        patch.setattr(parts, "_HELD_BYTES", 1 << 12)  # some parts are held, others are written down
        patch.setattr(kept, "TURNS", 3)
        patch.setattr(keeping, "NEWS_ROWS", 2)
        yield


def make_all(store: Store, folder: Path, cutoff: pd.Timestamp) -> None:
    """Make the kept tables of a night, as the steps do."""
    settings, end = [store.rules, SHOP], micro(cutoff)
    outs = [out._replace(folder=folder / out.folder.name) for out in OUTS]
    make_kept(HERE, partial(persons_and_visits, SHOP, cutoff), store, outs, end, settings)


def contents(folder: Path) -> dict[str, bytes | dict[str, int]]:
    """Return every kept table below a folder as the bytes of one file, and what the numbers of persons add up to."""
    found = {}
    for table in sorted(folder.iterdir()):
        if table.name == tables.EXPOSURE.name:
            found[table.name] = kept.read_manifest(table).sums
            continue
        kept.write_whole(table, folder.parent / "whole.parquet")
        found[table.name] = (folder.parent / "whole.parquet").read_bytes()
    return found


@pytest.mark.slow
@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 40),
    n_nights=st.integers(2, 7),
    n_buckets=st.sampled_from([1, 2, 4]),
    has_ids=st.booleans(),
    shared_devices=st.sampled_from(["device_split", "last_auth", "none"]),
    max_persons_per_id=st.integers(2, 3),
)
def test_nights_come_to_what_is_made_of_everything(
    tmp_path_factory, seed, n, n_nights, n_buckets, has_ids, shared_devices, max_persons_per_id
):
    draw, folder = random.Random(seed), tmp_path_factory.mktemp("nights")
    source = brand(has_ids, False)
    rules = IdentityConfig(shared_devices=shared_devices, max_persons_per_id=max_persons_per_id)
    files = {"o0.csv": owners(draw, draw.randint(1, 3)), "p0.csv": pairs(draw, draw.randint(1, 3))}
    files |= {f"e{i}.csv": history(draw, draw.randint(1, n // n_nights + 1)) for i in range(2 * n_nights)}
    later = [f"e{i}.csv" for i in range(1, 2 * n_nights)]
    files |= {f"o{i}.csv": owners(draw, 1) for i in range(1, 3)} | {f"p{i}.csv": pairs(draw, 1) for i in range(1, 3)}
    later += ["o1.csv", "o2.csv", "p1.csv", "p2.csv"]
    draw.shuffle(later)
    cutoffs = sorted(pd.Timestamp(f"2024-03-{draw.randint(1, 12):02}", tz="UTC") for _ in range(n_nights))
    if draw.random() < 0.2:  # a night of the past
        cutoffs[-1] = cutoffs[0]
    if draw.random() < 0.2:  # not at midnight
        cutoffs = [c + pd.Timedelta(hours=12) for c in cutoffs]
    for night, cutoff in enumerate(cutoffs):
        names = (["e0.csv", "o0.csv", "p0.csv"] if night == 0 else []) + later[night::n_nights]
        deliver(folder / "landing", {name: files[name] for name in names})
        landing.ingest(folder / "landing", source, rules, folder / "store", n_buckets)
        store = Store(folder / "store", rules)
        if draw.random() < 0.15:
            continue  # a night whose steps were not run
        make_all(store, folder / "kept", cutoff)
        make_all(store, folder / f"anew{night}", cutoff)
        assert contents(folder / "kept") == contents(folder / f"anew{night}")


# --- a night at a time ----------------------------------------------------------------------------------------------

EVENT = "{id},2024-01-{day:02},{known},{who},{device},,{what},\n"


class Nights:
    """A store in a folder, and the kept tables made of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rules, self.n = folder, IdentityConfig(), 0
        deliver(folder / "landing", {"o.csv": ["ann,d1,alias,2024-01-01\n"], "p.csv": ["d3,d4,alias,2024-01-01\n"]})
        self.night(*(self.event(f"c{i}") for i in range(40)))

    def event(self, who: str, known: str = "2024-03-01", device: str = "", what: str = "view") -> str:
        self.n += 1
        return EVENT.format(id=self.n, day=1 + self.n % 20, known=known, who=who, device=device, what=what)

    def night(self, *rows: str) -> None:
        deliver(self.folder / "landing", {f"e{self.n:04}.csv": list(rows)} if rows else {})
        landing.ingest(self.folder / "landing", brand(True, False), self.rules, self.folder / "store", 2)

    def make(self, cutoff: str = "2024-04-01") -> None:
        make_all(Store(self.folder / "store", self.rules), self.folder / "kept", pd.Timestamp(cutoff, tz="UTC"))

    def assert_whole(self, cutoff: str = "2024-04-01") -> None:
        shutil.rmtree(self.folder / "anew", ignore_errors=True)
        make_all(Store(self.folder / "store", self.rules), self.folder / "anew", pd.Timestamp(cutoff, tz="UTC"))
        assert contents(self.folder / "kept") == contents(self.folder / "anew")

    @property
    def parts(self) -> dict[str, tuple[int, int]]:
        """The parts of the journeys in force, and the files that they are: a number may be given to another file."""
        return {
            f.name: (f.stat().st_ino, f.stat().st_mtime_ns)
            for f in (self.folder / "kept/journeys").glob("part-*.parquet")
        }


def written_by_other_code(manifest: Path) -> None:
    value = tables.read_json(manifest)
    tables.write_json({**value, "note": "theirs", "shape": 2}, manifest)


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def kept_of(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> float:
    return len(before.items() & after.items()) / len(before)


def test_a_night_makes_anew_whom_news_concern_and_keeps_the_others(nights, monkeypatch):
    nights.make()
    before, made = nights.parts, []
    nights.night(nights.event("c3"), nights.event("c7", device="d7"))
    listed = keeping.make_tables

    def spy(*arguments):
        counts, told = listed(*arguments)
        made.append(counts)
        return counts, told

    monkeypatch.setattr(keeping, "make_tables", spy)
    nights.make()
    assert made == [[2, 3, 0]]  # visits, identifiers, changes
    assert 0.5 < kept_of(before, nights.parts) < 1
    nights.assert_whole()


def test_a_merge_takes_the_rows_of_both_away(nights):
    nights.night(nights.event("", device="d9"), nights.event("zoe"))
    nights.make()
    people = set(kept.read(nights.folder / "kept/journeys")["person_id"])
    assert {"anonymous:d9", "customer:zoe"} <= people
    nights.night(nights.event("zoe", "2024-03-02", device="d9"))
    nights.make()
    assert people - set(kept.read(nights.folder / "kept/journeys")["person_id"]) == {"anonymous:d9"}
    nights.assert_whole()


def test_what_was_to_come_comes_without_news(nights):
    nights.night(nights.event("zoe", "2024-04-05"), nights.event("c1", "2024-04-05", device="d5"))
    nights.make("2024-04-01")
    assert "customer:zoe" not in set(kept.read(nights.folder / "kept/identifiers")["id"])
    nights.make("2024-04-06")
    assert "customer:zoe" in set(kept.read(nights.folder / "kept/identifiers")["id"])
    nights.assert_whole("2024-04-06")


@pytest.mark.parametrize(
    "change",
    [
        lambda nights, monkeypatch: monkeypatch.setattr(keeping, "code_version", lambda: "another"),
        lambda nights, monkeypatch: setattr(nights, "rules", IdentityConfig(shared_devices="none")),
        lambda nights, monkeypatch: next((nights.folder / "kept/journeys").glob("part-*.parquet")).unlink(),
        lambda nights, monkeypatch: (nights.folder / "kept/journeys/kept.json").unlink(),
        lambda nights, monkeypatch: written_by_other_code(nights.folder / "kept/journeys/kept.json"),
        lambda nights, monkeypatch: deliver(nights.folder / "landing", {"e0040.csv": [nights.event("zoe")]}),
        lambda nights, monkeypatch: shutil.rmtree(nights.folder / "store"),
    ],
    ids=["code", "settings", "lost part", "lost list", "other list", "changed file", "lost store"],
)
def test_all_is_made_anew_where_it_has_to_be(nights, monkeypatch, change):
    nights.night(nights.event("c1"))
    nights.make()
    before = nights.parts
    change(nights, monkeypatch)
    nights.night(nights.event("c2"))
    nights.make()
    assert kept_of(before, nights.parts) == 0
    nights.assert_whole()


@pytest.mark.parametrize("stop_at", range(4))
def test_a_night_that_is_stopped_leaves_the_one_before_and_is_made_good(nights, monkeypatch, stop_at):
    nights.make()
    before = contents(nights.folder / "kept")
    nights.night(nights.event("c3", device="d3"), nights.event("zoe"))
    written = []
    write = tables.write_json

    def stop(value, path):
        if path.name == kept.MANIFEST:
            written.append(path)
            if len(written) > stop_at:
                raise KeyboardInterrupt
        write(value, path)

    monkeypatch.setattr(tables, "write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        nights.make()
    monkeypatch.undo()
    after = contents(nights.folder / "kept")
    done = {path.parent.name for path in written[:stop_at]}
    assert {name for name in after if after[name] != before[name]} <= done
    nights.make()
    nights.assert_whole()


@pytest.mark.slow
def test_in_the_end_no_news_are_left(nights):
    nights.make()
    for i in range(5):
        nights.night(nights.event(f"c{i}"), nights.event(f"n{i}"))
        nights.make()
        assert len(list((nights.folder / "kept/journeys").glob("news-*"))) <= kept.TURNS
        nights.assert_whole()


@pytest.mark.parametrize("news", ["c39", "c3", "", "new"], ids=["partner", "another partner", "hub", "new partner"])
def test_an_id_that_too_many_are_linked_to_leads_to_nobody(nights, news):
    nights.rules = IdentityConfig(max_persons_per_id=2)
    nights.night(*(nights.event(f"c{i}", device="hub") for i in range(40)))
    nights.make()
    nights.night(nights.event(news, device="" if news.startswith("c") else "hub"))
    nights.make()
    nights.assert_whole()
    assert kept.read(nights.folder / "kept/identifiers")["id"].is_unique
    of_two = contents(nights.folder / "kept")
    shutil.rmtree(nights.folder / "store")
    landing.ingest(nights.folder / "landing", brand(True, False), nights.rules, nights.folder / "store", 1)
    nights.make()
    assert contents(nights.folder / "kept") == of_two


def test_what_holds_no_table_says_so(tmp_path):
    kept.write_manifest(tmp_path, kept.Manifest(person="id", sums={"n_events": 3}))
    for read in (kept.read, partial(kept.write_whole, path=tmp_path / "x.parquet")):
        with pytest.raises(InputError, match=r"holds no table, but numbers .*: `sums` in its kept\.json"):
            read(tmp_path)
    assert not (tmp_path / "x.parquet").exists()
