"""The event store holds the same, whatever came in which night, in which order, in how many buckets."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import by_hand
from ingested import Ingested, contents, ingest
from waymark import schema
from waymark.config import IdentityConfig, LinkFeed, SourceConfig, check
from waymark.errors import InputError
from waymark.eventlog import micro
from waymark.features import describe_past, describe_tonight
from waymark.journeys import StageMap
from waymark.persons import list_identifiers
from waymark.store import buckets, compaction, landing, routes
from waymark.store.routes import read_pairs
from waymark.store.store import Store
from waymark.vocabulary import learn_vocabulary

pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning")

ROWS = "id,at,known,who,device,order,what,pay\n"
TOLD = "other,device,kind,known\n"


def history(draw: random.Random, n: int) -> list[str]:
    """Draw rows of few events: late, restated, repeated and contradicting ones, with one id or with two."""
    rows = []
    for _ in range(n):
        who, device = draw.choice(["ann", "bob", "cid", ""]), draw.choice(["d1", "d2", "d3", "d4", ""])
        rows.append(
            f"{draw.randint(1, 12)},2024-0{draw.randint(1, 3)}-0{draw.randint(1, 3)},2024-03-0{draw.randint(1, 9)},"
            f"{who},{device if who or device else 'd1'},o{draw.randint(1, 3)},{draw.choice(['view', 'buy'])},"
            f"{draw.choice(['', '1', '2'])}\n"
        )
    return rows


def owners(draw: random.Random, n: int) -> list[str]:
    ends = [("ann", "d1"), ("bob", "d2"), ("cid", "d1"), ("ann", "d3")]
    return [",".join((*draw.choice(ends), *_told(draw))) for _ in range(n)]


def pairs(draw: random.Random, n: int) -> list[str]:
    return [",".join((*draw.choice([("d3", "d4"), ("d2", "d1"), ("d5", "d4")]), *_told(draw))) for _ in range(n)]


def _told(draw: random.Random) -> tuple[str, str]:
    return draw.choice(["alias", "alias", "erase"]), f"2024-03-0{draw.randint(1, 9)}\n"


def brand(has_ids: bool, is_merged: bool) -> SourceConfig:
    columns = {"event_time": "at", "known_time": "known", "customer_id": "who", "anonymous_id": "device"}
    columns |= {"event_type": "what", "value": "pay", "guest_id": "order"} | ({"event_id": "id"} if has_ids else {})
    feed = {"files": ["e*.csv"], "columns": columns, "max_clock_skew_minutes": None}
    feed |= {"one_event_per": "order" if is_merged else None, "attributes": {"order": "order"}}
    told = {"known_time": "known", "kind": "kind", "anonymous_id": "device"}
    told = {
        "owners": {"files": ["o*.csv"], "columns": told | {"customer_id": "other"}},
        "pairs": {"files": ["p*.csv"], "columns": told | {"other_anonymous_id": "other"}},
    }
    return check(
        SourceConfig, {"name": "brand", "max_reject_share": 1, "feeds": {"shop": feed}, "links": told}, "source"
    )


def same(one: Ingested, two: Ingested) -> None:
    for name in ("events", "links", "rejects"):
        assert_frame_equal(getattr(one, name), getattr(two, name))
    assert one.report == two.report


@pytest.fixture(scope="module", autouse=True)
def small():
    """A store that is put in order all the time, and read in small pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing, "BATCH_ROWS", 3)
        patch.setattr(compaction, "MOST_NEWS", 2)
        patch.setattr(buckets, "MOST_FILES", 2)
        patch.setattr(routes, "MOST_FILES", 2)
        yield


def deliver(folder: Path, files: dict[str, list[str]]) -> None:
    folder.mkdir(exist_ok=True)
    for name, rows in files.items():
        (folder / name).write_text((ROWS if name.startswith("e") else TOLD) + "".join(rows))


@pytest.mark.slow
@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 40),
    n_files=st.integers(1, 8),
    n_nights=st.integers(1, 5),
    n_buckets=st.sampled_from([1, 2, 4, 8]),
    has_ids=st.booleans(),
    is_merged=st.booleans(),
)
def test_nights_in_any_order_come_to_what_one_night_does(
    tmp_path_factory, seed, n, n_files, n_nights, n_buckets, has_ids, is_merged
):
    draw, source, folder = random.Random(seed), brand(has_ids, is_merged), tmp_path_factory.mktemp("nights")
    files = {}
    for kind, rows in (("e", history), ("o", owners), ("p", pairs)):
        for i in range(n_files if kind == "e" else 2):
            files[f"{kind}{i}.csv"] = rows(draw, n // n_files + 1 if kind == "e" else draw.randint(1, 6))
    deliver(folder / "all", files)
    at_once = ingest(folder / "all", source)
    nights, root = folder / "bit by bit", folder / "store"
    names = draw.sample(sorted(files), len(files))
    first = [next(n for n in names if n.startswith(kind)) for kind in "eop"]  # a feed without any file is refused
    later = [n for n in names if n not in first]
    for night in range(n_nights):
        deliver(nights, {name: files[name] for name in (first if night == 0 else []) + later[night::n_nights]})
        landing.ingest(nights, source, IdentityConfig(), root, n_buckets)
    store = Store(root)
    same(at_once, contents(store, source))
    landing.ingest(folder / "all", source, IdentityConfig(), folder / "one", 1)
    whole = Store(folder / "one")
    assert_frame_equal(whole.links(), store.links())
    for time in ("2024-03-04", "2024-03-09T12:00", "2025-01-01"):
        when = pd.Timestamp(time, tz="UTC")
        assert store.facts.version_as_of(when) == whole.facts.version_as_of(when)
        assert store.facts.newest_before(when) == whole.facts.newest_before(when)
        assert people(store, when) == people(whole, when)
        assert features(store, when, whole).equals(features(whole, when, whole))


def features(store: Store, when: pd.Timestamp, of_names: Store) -> pa.Table:
    """Return the features of everybody tonight and looked back at, by the names that occur in another store."""
    chosen, cutoff = by_hand.settings(), micro(when)
    log = of_names.log(0)
    known = learn_vocabulary(log, StageMap(log, by_hand.SHOP), chosen, cutoff)
    found = []
    for bucket in store.buckets:
        log = store.log(bucket)
        found.append(describe_tonight(log, when, by_hand.SHOP, chosen, known)[0])
        found.append(describe_past(log, when - pd.Timedelta(days=20), by_hand.SHOP, chosen, known)[0])
    return pa.concat_tables(found).sort_by([(name, "ascending") for name in schema.FEATURES.key]).combine_chunks()


def people(store: Store, when: pd.Timestamp) -> dict[str, str]:
    found = {}
    for bucket in store.buckets:
        identities = store.log(bucket).identities
        codes = identities.people(micro(when))
        mine = ~identities.is_foreign & (identities.known_from < micro(when))
        found |= dict(zip(identities.person_ids[mine], identities.person_ids[codes[mine]], strict=True))
    return found


def test_a_night_takes_in_what_is_new_and_all_anew_where_something_was_changed(tmp_path, caplog):
    source, folder, root = brand(True, False), tmp_path / "landing", tmp_path / "store"
    told = {"o.csv": ["ann,d1,alias,2024-03-01\n"], "p.csv": ["d3,d4,alias,2024-03-01\n"]}
    event = "{0},2024-01-0{0},2024-03-01,ann,d1,o1,view,\n"
    caplog.set_level("INFO")

    def night(n_events: dict[str, int]) -> int:
        caplog.clear()
        deliver(folder, told | {name: [event.format(i) for i in range(1, n + 1)] for name, n in n_events.items()})
        landing.ingest(folder, source, IdentityConfig(), root, 2)
        return Store(root).manifest.generation

    assert [night({"e1.csv": 3}), night({"e1.csv": 3}), night({"e2.csv": 5})] == [1, 1, 2]
    assert "anew" not in caplog.text
    assert night({"e1.csv": 4}) == 3
    assert "all files are taken in anew: e1.csv has changed" in caplog.text
    (folder / "e2.csv").unlink()
    night({})
    assert "e2.csv is gone" in caplog.text
    assert Store(root).events()["event_id"].str.len().gt(0).sum() == 4


def test_a_store_that_outgrew_its_buckets_gets_more_once(tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO")
    monkeypatch.setattr(landing, "BUCKET_ROWS", 4)
    monkeypatch.setattr(landing, "_PLAIN", 10**6)  # files seem to hold no row

    def night() -> int:
        caplog.clear()
        store = landing.ingest(tmp_path / "landing", brand(True, False), IdentityConfig(), tmp_path / "store")
        return store.n_buckets

    rows = [f"{i},2024-01-0{i},2024-01-0{i},c{i},,o{i},view,1\n" for i in range(1, 10)]
    told = {"o.csv": ["ann,d1,alias,2024-03-01\n"], "p.csv": ["d3,d4,alias,2024-03-01\n"]}
    deliver(tmp_path / "landing", told | {"e1.csv": rows[:5]})
    assert night() == 1
    deliver(tmp_path / "landing", {"e2.csv": rows[5:]})
    assert night() == 1
    assert night() == 4
    assert "all files are taken in anew: 9 events have outgrown 1 buckets" in caplog.text
    assert night() == 4
    assert "anew" not in caplog.text
    (tmp_path / "landing/e2.csv").unlink()
    assert night() == 1  # how many there were says nothing of those that are left


def test_a_store_of_another_format_stays_as_it_is_until_all_is_taken_in_anew(tmp_path):
    source, folder, root = brand(True, False), tmp_path / "landing", tmp_path / "store"
    told = {"o.csv": ["ann,d1,alias,2024-03-01\n"], "p.csv": ["d3,d4,alias,2024-03-01\n"]}
    event = "{0},2024-01-0{0},2024-03-01,ann,d1,o1,view,\n"
    deliver(folder, told | {"e1.csv": [event.format(1), event.format(2)]})
    landing.ingest(folder, source, IdentityConfig(), root, 2)
    written = json.loads((root / "manifest.json").read_text())
    del written["format"], written["pairs"]
    (root / "manifest.json").write_text(json.dumps(written | {"routes": ["routes-1.parquet", "pairs-1.parquet"]}))
    before = {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    with pytest.raises(
        InputError, match="store was written by another version of Waymark; `dvc repro -P` makes it anew"
    ):
        Store(root).events()
    (folder / "e2.csv").write_text("id,what\n1,view\n")
    with pytest.raises(InputError, match=r"e2\.csv"):
        landing.ingest(folder, source, IdentityConfig(), root, 2)
    assert before.items() <= {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}.items()
    deliver(folder, {"e2.csv": [event.format(3)]})
    assert landing.ingest(folder, source, IdentityConfig(), root, 2).generation == 2
    same(ingest(folder, source), contents(Store(root), source))


def test_two_feeds_that_tell_of_one_link_in_two_nights_come_to_what_one_night_does(tmp_path):
    columns = {"known_time": "known", "kind": "kind", "anonymous_id": "device", "customer_id": "other"}
    source = brand(True, False).model_copy(
        update={"links": {n: LinkFeed(files=[f"{n[0]}*.csv"], columns=columns) for n in ("owners", "partners")}}
    )
    told, event = ["ann,d1,alias,2024-03-01\n"], ["1,2024-01-01,2024-03-01,ann,d1,o1,view,\n"]
    other = ["bob,d2,alias,2024-03-01\n"]
    first, second = {"e1.csv": event, "o1.csv": told, "p1.csv": other}, {"o2.csv": other, "p2.csv": told}
    deliver(tmp_path / "all", first | second)
    at_once = ingest(tmp_path / "all", source)
    for files in (first, second):
        deliver(tmp_path / "nights", files)
        landing.ingest(tmp_path / "nights", source, IdentityConfig(), tmp_path / "store", 2)
    by_night = contents(Store(tmp_path / "store"), source)
    same(at_once, by_night)
    assert by_night.report["links"] == 4


def test_a_sample_of_persons_reads_months_in_which_they_did_nothing(tmp_path):
    folder = tmp_path / "landing"
    rows = [f"{n},2024-0{n}-02,2024-0{n}-02,{who},,view\n" for n, who in enumerate(("ann", "bob"), 1)]
    folder.mkdir()
    (folder / "e.csv").write_text(
        "event_id,event_time,known_time,anonymous_id,customer_id,event_type\n" + "".join(rows)
    )
    columns = ("event_id", "event_time", "known_time", "anonymous_id", "customer_id", "event_type")
    feed = {"files": ["e.csv"], "columns": {column: column for column in columns}}
    source = check(SourceConfig, {"name": "brand", "feeds": {"shop": feed}}, "source")
    landing.ingest(folder, source, IdentityConfig(), tmp_path / "store", 1)
    for who in ("ann", "bob"):
        events, links = Store(tmp_path / "store").sample(pd.Series([f"anonymous:{who}"]).to_numpy(object), 1)
        assert list(events["anonymous_id"]) == [who]
        assert links.empty


# --- the version of what was known ----------------------------------------------------------------------------------

FIELDS = {  # our field -> what the second of three events says, and what it may say instead
    "event_id": ("2", "9"),
    "event_time": ("2024-01-02", "2024-01-02T00:00:00.000001"),
    "known_time": ("2024-03-01", "2024-03-01T00:00:00.000001"),
    "sequence": ("1", "7"),
    "anonymous_id": ("d1", "d9"),
    "customer_id": ("ann", "bob"),
    "event_type": ("view", "buy"),
    "actor": ("customer", "brand"),
    "channel": ("web", "app"),
    "session_id": ("s1", "s9"),
    "value": ("2.00", "2.01"),
    "plan": ("gold", "lead"),
    "weight": ("1.5", "1.25"),
}
FIRST, SECOND, THIRD = (
    {**{field: said for field, (said, _) in FIELDS.items()}, "event_id": str(i), "event_time": f"2024-01-0{i}"}
    for i in (1, 2, 3)
)
LATER = pd.Timestamp("2200-01-01", tz="UTC")


def version_of(folder: Path, *events: dict[str, str], when: pd.Timestamp = LATER, feed: str = "shop") -> str:
    folder.mkdir()
    lines = [",".join(FIELDS), *(",".join(event[field] for field in FIELDS) for event in events)]
    (folder / "e.csv").write_text("\n".join([*lines, ""]))
    columns = {field: field for field in FIELDS if field not in ("plan", "weight")}
    of_feed = {"files": ["e.csv"], "columns": columns, "attributes": {"plan": "plan"}, "numbers": {"weight": "weight"}}
    source = check(SourceConfig, {"name": "brand", "feeds": {feed: of_feed}}, "source")
    landing.ingest(folder, source, IdentityConfig(), folder / "store")
    return Store(folder / "store").facts.version_as_of(when)


@pytest.mark.parametrize("field", FIELDS)
def test_any_change_of_any_cell_is_another_version(tmp_path, field):
    changed = SECOND | {field: FIELDS[field][1]}
    assert changed != SECOND
    assert version_of(tmp_path / "one", FIRST, SECOND, THIRD) != version_of(tmp_path / "two", FIRST, changed, THIRD)


def test_one_event_more_or_another_feed_is_another_version_and_another_order_is_none(tmp_path):
    events = (FIRST, SECOND, THIRD)
    whole = version_of(tmp_path / "whole", *events)
    others = [version_of(tmp_path / str(n), *events[:n]) for n in (1, 2)]
    assert len({*others, whole, version_of(tmp_path / "other", *events, feed="till")}) == 4
    assert version_of(tmp_path / "turned", *events[::-1]) == whole


@pytest.mark.parametrize(
    "later",
    [
        {"event_id": "4", "value": ""},
        {"event_id": "4", "event_time": "2024-03-03", "known_time": "2024-03-03"},
        {"event_type": "buy"},  # a restatement of the second
    ],
)
def test_what_nobody_may_see_yet_changes_no_version(tmp_path, later):
    when = pd.Timestamp("2024-03-02", tz="UTC")
    news = SECOND | {"known_time": "2024-03-02"} | later
    alone = version_of(tmp_path / "alone", FIRST, SECOND, when=when)
    assert version_of(tmp_path / "both", FIRST, SECOND, news, when=when) == alone
    assert version_of(tmp_path / "then", FIRST, SECOND, news) != version_of(tmp_path / "never", FIRST, SECOND)


@pytest.mark.parametrize("seed", range(2))
def test_links_that_nights_add_to_are_those_of_one_night(tmp_path, seed):
    draw, source = random.Random(seed), brand(True, False)
    rows = [
        f"{i},2024-01-0{draw.randint(1, 9)},2024-03-0{draw.randint(1, 9)},{draw.choice(['', 'a', 'b', 'c', 'd'])},"
        f"d{draw.randint(1, 9)},o1,view,\n"
        for i in range(60)
    ]
    rows += [row.replace("view", "buy").replace(",2024-03-0", ",2024-03-1") for row in rows[:3]]  # restated
    told = {"o1.csv": ["a,d1,alias,2024-03-01\n"], "p1.csv": ["d8,d9,alias,2024-03-01\n"]}
    nights = [told | {"e1.csv": rows[:20]}, {"e2.csv": rows[20:40]}, {"e3.csv": rows[40:], "o2.csv": owners(draw, 1)}]
    for files in nights:
        deliver(tmp_path / "nights", files)
        landing.ingest(tmp_path / "nights", source, IdentityConfig(), tmp_path / "store", 4)
    landing.ingest(tmp_path / "nights", source, IdentityConfig(), tmp_path / "one", 1)
    store, whole = Store(tmp_path / "store"), Store(tmp_path / "one")
    assert_frame_equal(store.links(), whole.links())
    when = pd.Timestamp("2025-01-01", tz="UTC")
    assert people(store, when) == people(whole, when)


@pytest.mark.parametrize("n_nights", [1, 3])
@pytest.mark.parametrize("name", ["aa", "zz"], ids=["crowded id first", "crowded id last"])
def test_who_is_only_told_to_be_an_id_that_too_many_are_linked_to_is_known_all_the_same(tmp_path, n_nights, name):
    source, rules = brand(True, False), IdentityConfig(max_persons_per_id=2)
    told = [f"m{i:02d},{name},alias,2024-03-{i % 9 + 1:02d}\n" for i in range(40)]
    owners_of = [f"c{i:02d},{name},alias,2024-03-{i % 9 + 10:02d}\n" for i in range(20)]
    events = [f"{i},2024-04-0{i % 9 + 1},2024-04-20,c{i:02d},m{i:02d},o1,view,\n" for i in range(30)]
    joined = [f"m{i:02d},m{i + 1:02d},erase,2024-04-02\n" for i in range(0, 40, 7)]
    for night in range(n_nights):
        files = {"e": events, "p": [*told, *joined], "o": owners_of}
        deliver(tmp_path / "landing", {f"{kind}{night}.csv": rows[night::n_nights] for kind, rows in files.items()})
        for n in (1, 4):
            landing.ingest(tmp_path / "landing", source, rules, tmp_path / str(n), n)
    one, four = Store(tmp_path / "1", rules), Store(tmp_path / "4", rules)
    listed = [
        pd.concat(list_identifiers(log.identities, micro(LATER)).to_pandas() for log in store.logs()).sort_values("id")
        for store in (one, four)
    ]
    assert len(listed[0]) == 1 + 40 + 30
    assert_frame_equal(*(table.reset_index(drop=True) for table in listed))
    assert_frame_equal(one.links(), four.links())
    same(contents(one, source), contents(four, source))
    for time in ("2024-03-05T12:00", "2025-01-01"):
        when = pd.Timestamp(time, tz="UTC")
        assert one.facts.version_as_of(when) == four.facts.version_as_of(when)


@pytest.mark.parametrize("is_late", [True, False], ids=["others come later", "others were there"])
def test_what_a_refused_row_had_said_of_who_is_who_is_forgotten(tmp_path, is_late):
    source, rules = brand(True, False), IdentityConfig(max_persons_per_id=2)
    event = "{0},2024-01-01,2024-03-01,{1},{2},o1,view,\n"
    said = {"e2.csv": [event.format(i, f"c{i}", "hub") for i in range(15)]}
    instead = {"e1.csv": [event.format(i, f"c{i}", f"x{i}") for i in range(15)]}  # of a file before: those are refused
    others = {
        "e3.csv": [*(event.format(100 + i, "ann", f"m{i}") for i in range(10)), event.format(200, "bob", "n")],
        "p1.csv": [*(f"m{i},hub,alias,2024-03-02\n" for i in range(10)), "n,hub,alias,2024-03-09\n"],
    }
    needed = {"o0.csv": ["eve,z,alias,2024-03-01\n"], "p0.csv": ["y,z,alias,2024-03-01\n"]}
    for files in (needed | said | ({} if is_late else others), instead, others):
        deliver(tmp_path / "landing", files)
        for n in (1, 8):
            landing.ingest(tmp_path / "landing", source, rules, tmp_path / str(n), n)
    landing.ingest(tmp_path / "landing", source, rules, tmp_path / "at once", 8)
    stores = [Store(tmp_path / name, rules) for name in ("1", "8", "at once")]
    assert len({json.dumps(sorted(people(store, LATER).items())) for store in stores}) == 1
    found = people(stores[0], LATER)
    assert found["anonymous:hub"] == found["anonymous:n"] != found["customer:c1"]
    pairs = [read_pairs(s.root, s.manifest.pairs) for s in stores]
    for several in pairs[1:]:
        for column, of_one in zip(several, pairs[0], strict=True):
            assert column.tolist() == of_one.tolist()
    assert len(pairs[0].one) == 15 + 11 + 11 + 2
