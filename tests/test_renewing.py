"""Tonight's features are, after any nights, what they are when everybody is described anew."""

from __future__ import annotations

import random
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import by_hand
from test_store import brand, deliver, history, owners, pairs
from waymark import arrow_files, custom, features, identity, parts, renewing, schema, tables, tonight
from waymark.config import FeaturesConfig, IdentityConfig, SourceConfig
from waymark.engine import Threads
from waymark.errors import InputError
from waymark.eventlog import EventLog
from waymark.features import describe_tonight, windows_begin
from waymark.journeys import StageMap
from waymark.keeping import KeptOut, make_kept
from waymark.kernels.merging import gather, merged
from waymark.parts import Part
from waymark.persons import list_identifiers
from waymark.points import Points
from waymark.renewing import renew
from waymark.store import compaction, landing, reading
from waymark.store import store as store_module
from waymark.store.buckets import read_ids
from waymark.store.reading import has_session_ids
from waymark.store.store import Store
from waymark.vocabulary import Vocabulary, learn_vocabulary
from waymark.whose import Memory

HERE = Threads(1)
LINKS = {"o.csv": ["ann,d1,alias,2024-01-01\n"], "p.csv": ["d3,d4,alias,2024-01-01\n"]}
EVENT = "{id},{day},{known},{who},{device},{order},{what},{pay}\n"


@pytest.fixture(scope="module", autouse=True)
def small():
    """Stores and tables of small pieces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing, "BATCH_ROWS", 3)
        patch.setattr(compaction, "MOST_NEWS", 2)
        patch.setattr(tables, "GROUP_ROWS", 3)
        patch.setattr(parts, "_EVERY", 1)
        patch.setattr(parts, "_HELD_BYTES", 0)
        patch.setattr(identity, "_HUB", 1)
        yield


def vocabulary_of(store: Store, chosen: FeaturesConfig, until: str = "2024-04-01") -> Vocabulary:
    """Return one of few categories, so that there are others."""
    log = store.log(0)
    return learn_vocabulary(log, StageMap(log, by_hand.SHOP), chosen, pd.Timestamp(until, tz="UTC").value // 1000)


def with_session_ids(source: SourceConfig) -> SourceConfig:
    feed = source.feeds["shop"]
    feed = feed.model_copy(update={"columns": {**feed.columns, "session_id": "order"}})
    return source.model_copy(update={"feeds": {"shop": feed}})


def at_some_hour(draw: random.Random, rows: list[str]) -> list[str]:
    """Return rows whose events may be minutes apart, on two days."""
    found = [row.split(",", 2) for row in rows]
    return [f"{event},{day}{draw.choice(['', 'T00:10', 'T23:50'])},{rest}" for event, day, rest in found]


@pytest.mark.slow
@examples(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    n_nights=st.integers(2, 7),
    n_buckets=st.sampled_from([1, 2, 4]),
    shared_devices=st.sampled_from(["device_split", "last_auth", "none"]),
    points=st.sampled_from(["snapshots", "snapshots", "every_event"]),
    groups=st.sampled_from([list(by_hand.GROUPS), ["counts", "values"], ["counts", "sessions"]]),
    active_within_days=st.sampled_from([None, 1, 20]),
    identified_only=st.booleans(),
    has_session_ids=st.booleans(),
)
def test_nights_come_to_what_is_made_of_everything(
    tmp_path_factory,
    seed,
    n,
    n_nights,
    n_buckets,
    shared_devices,
    points,
    groups,
    active_within_days,
    identified_only,
    has_session_ids,
):
    draw, folder = random.Random(seed), tmp_path_factory.mktemp("nights")
    source = with_session_ids(brand(True, False)) if has_session_ids else brand(True, False)
    rules = IdentityConfig(shared_devices=shared_devices, max_persons_per_id=2)
    population = {"active_within_days": active_within_days, "identified_only": identified_only}
    chosen = by_hand.settings(points=points, groups=groups, windows_days=[1, 7, 30], population=population)
    sizes = [draw.randint(1, n // n_nights + 1) for _ in range(2 * n_nights)]
    files = {f"e{i}.csv": at_some_hour(draw, history(draw, size)) for i, size in enumerate(sizes)}
    files |= {f"o{i}.csv": owners(draw, 1) for i in range(3)} | {f"p{i}.csv": pairs(draw, 1) for i in range(3)}
    later = [name for name in files if name not in ("e0.csv", "o0.csv", "p0.csv")]
    draw.shuffle(later)
    cutoffs = sorted(pd.Timestamp(f"2024-03-{draw.randint(1, 12):02}", tz="UTC") for _ in range(n_nights))
    if draw.random() < 0.2:  # a night of the past
        cutoffs[-1] = cutoffs[0]
    if draw.random() < 0.3:  # not at midnight
        cutoffs = [c + pd.Timedelta(hours=12) for c in cutoffs]
    known = None
    for night, cutoff in enumerate(cutoffs):
        names = (["e0.csv", "o0.csv", "p0.csv"] if night == 0 else []) + later[night::n_nights]
        deliver(folder / "landing", {name: files[name] for name in names})
        landing.ingest(folder / "landing", source, rules, folder / "store", n_buckets)
        store = Store(folder / "store", rules)
        known = known or vocabulary_of(store, chosen)
        if draw.random() < 0.15:
            continue  # a night whose steps were not run
        for name in ("kept", f"anew{night}"):
            renew(HERE, store, cutoff, by_hand.SHOP, chosen, known, folder / name / "score.arrow")
        assert (folder / "kept/score.arrow").read_bytes() == (folder / f"anew{night}/score.arrow").read_bytes()


# --- a night at a time ----------------------------------------------------------------------------------------------


class Nights:
    """A store in a folder, and the features made of it."""

    def __init__(
        self, folder: Path, rules: IdentityConfig | None = None, source: SourceConfig | None = None, **changed: object
    ) -> None:
        self.folder, self.path, self.n = folder, folder / "score.arrow", 0
        self.source = source or brand(True, False)
        self.settings, self.rules = by_hand.settings(**changed), rules or IdentityConfig()
        deliver(folder / "landing", LINKS)
        self.night(*(self.event(f"c{i:02}") for i in range(20)))
        self.known = vocabulary_of(self.store, self.settings)

    @property
    def store(self) -> Store:
        return Store(self.folder / "store", self.rules)

    def event(self, who: str, day: str = "2024-01-01", device: str = "", known: str = "", order: str = "") -> str:
        self.n += 1
        told = {"day": day, "known": known or day, "device": device, "order": order, "what": "view", "pay": self.n}
        return EVENT.format(id=self.n, who=who, **told)

    def night(self, *rows: str) -> None:
        deliver(self.folder / "landing", {f"e{self.n:04}.csv": list(rows)} if rows else {})
        landing.ingest(self.folder / "landing", self.source, self.rules, self.folder / "store", 2)

    def make(self, cutoff: str, path: Path | None = None) -> int:
        """Make the features, and return of how many persons anew."""
        when = pd.Timestamp(cutoff, tz="UTC")
        return renew(HERE, self.store, when, by_hand.SHOP, self.settings, self.known, path or self.path)[1]

    def assert_whole(self, cutoff: str) -> None:
        self.make(cutoff, self.folder / "anew/score.arrow")
        assert self.path.read_bytes() == (self.folder / "anew/score.arrow").read_bytes()
        (self.folder / "anew" / renewing.MADE_OF).unlink()


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def test_a_night_describes_anew_whom_news_concern(nights):
    assert nights.make("2024-04-01") == 20
    nights.night(nights.event("c03", "2024-04-01"), nights.event("zoe", "2024-04-01"))
    assert nights.make("2024-04-02") == 2
    nights.assert_whole("2024-04-02")
    assert nights.make("2024-04-02") == 0
    nights.assert_whole("2024-04-02")


def test_days_and_levels_of_those_without_news_go_on(nights):
    nights.make("2024-04-01")
    before = tonight.read(path=nights.path)
    assert nights.make("2024-04-09T12:00") == 0
    after = tonight.read(path=nights.path)
    for column in ("f_days_since_last_activity", "f_days_since_last_view", "f_tenure_days", "f_days_in_stage"):
        assert (after[column] - before[column]).tolist() == [8.5] * 20
    assert (after["f_decayed_n_view_10d"] / before["f_decayed_n_view_10d"]).tolist() == pytest.approx([0.5**0.85] * 20)
    assert set(after["f_cutoff_weekday"]) == {1.0}  # a Tuesday
    assert set(after["cutoff_time"]) == {pd.Timestamp("2024-04-09T12:00", tz="UTC")}
    nights.assert_whole("2024-04-09T12:00")


def counts_described(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that fills with how many persons of each bucket are described anew."""
    described = []

    def with_bases(points: Points, *told: object) -> pa.Table:
        described.append(len(points))
        return features.with_bases(points, *told)

    monkeypatch.setattr(renewing, "with_bases", with_bases)
    return described


def test_a_window_that_an_event_leaves_is_counted_anew_and_nothing_else(nights, monkeypatch):
    nights.night(nights.event("c05", "2024-03-25T00:00"), nights.event("c06", "2024-03-25T00:00:00.000001"))
    nights.make("2024-04-01")
    views = tonight.read(path=nights.path).set_index("person_id")["f_n_view_7d"]
    assert views.loc[["customer:c05", "customer:c06", "customer:c07"]].tolist() == [1, 1, 0]
    described = counts_described(monkeypatch)
    assert nights.make("2024-04-01T00:00:00.000001") == 1
    assert sum(described) == 0
    views = tonight.read(path=nights.path).set_index("person_id")["f_n_view_7d"]
    assert views.loc[["customer:c05", "customer:c06", "customer:c07"]].tolist() == [0, 1, 0]
    nights.assert_whole("2024-04-01T00:00:00.000001")


def test_who_was_silent_for_too_long_leaves_the_population_and_who_comes_back_returns(tmp_path):
    nights = Nights(tmp_path, population={"active_within_days": 100})
    nights.night(nights.event("c05", "2024-02-01"))
    assert nights.make("2024-04-09") == 20
    assert nights.make("2024-04-10") == 0
    nights.assert_whole("2024-04-10")  # active a hundred days ago, to the microsecond
    assert nights.make("2024-04-11") == 0  # their rows say when they were last active
    nights.assert_whole("2024-04-11")
    assert tonight.read(["person_id"], nights.path)["person_id"].tolist() == ["customer:c05"]
    nights.night(nights.event("c07", "2024-04-11"))
    assert nights.make("2024-04-12") == 1
    nights.assert_whole("2024-04-12")
    assert tonight.read(["person_id"], nights.path)["person_id"].tolist() == ["customer:c05", "customer:c07"]


def test_windows_move_among_news_and_those_who_leave(tmp_path):
    nights = Nights(tmp_path, population={"active_within_days": 8})
    nights.night(*(nights.event(f"c{i:02}", "2024-03-25" if i < 19 else "2024-03-24") for i in range(20)))
    assert nights.make("2024-04-01") == 20
    nights.night(nights.event("c03", "2024-04-01"), nights.event("c11", "2024-04-01"))
    assert nights.make("2024-04-02") == 19  # two with news, and 17 whose event is older than seven days
    shown = tonight.read(path=nights.path).set_index("person_id")
    assert shown.index.tolist() == [f"customer:c{i:02}" for i in range(19)]
    for column in ("f_n_activities_7d", "f_n_view_7d", "f_n_sessions_7d"):
        assert shown[column].tolist() == [1 if i in (3, 11) else 0 for i in range(19)]
    assert (shown["f_value_cents_7d"] > 0).tolist() == [i in (3, 11) for i in range(19)]
    nights.assert_whole("2024-04-02")


def times_met(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that fills with the times of the events that windows are counted anew from."""
    met = []

    def in_windows(log: EventLog, *told: object) -> pa.Table:
        met.extend(log.event_time.tolist())
        return features.in_windows(log, *told)

    monkeypatch.setattr(renewing, "in_windows", in_windows)
    return met


def test_windows_are_counted_from_what_happened_since_they_begin(tmp_path, monkeypatch):
    nights = Nights(tmp_path, groups=["counts", "values"])
    nights.night(*(nights.event("c05", f"2024-03-{day}") for day in ("02", "25", "30")))
    nights.make("2024-04-01")
    met = times_met(monkeypatch)
    assert nights.make("2024-04-02") == 1
    assert sorted(met) == [pd.Timestamp(f"2024-03-{day}").value // 1000 for day in ("02", "25", "30")]
    shown = tonight.read(path=nights.path).set_index("person_id").loc["customer:c05"]
    assert [shown[f"f_n_view_{window}"] for window in ("7d", "30d", "ever")] == [1, 2, 4]
    nights.assert_whole("2024-04-02")


@pytest.mark.parametrize(
    ("has_ids", "days", "since", "n_met"),
    [
        (False, ("01T00:00", "01T23:45", "02T00:10", "25T00:02"), "2024-03-01T23:45", 3),
        (True, ("01T00:00", "02T00:10", "25T00:02"), "2024-01-01", 4),
    ],
)
def test_a_session_that_began_before_the_window_is_not_one_in_it(tmp_path, monkeypatch, has_ids, days, since, n_met):
    """It is looked for as far back as a session may pause, and everywhere where ids tell sessions apart."""
    source = with_session_ids(brand(True, False)) if has_ids else None
    nights = Nights(tmp_path, source=source, groups=["sessions"])
    nights.night(*(nights.event("c05", f"2024-03-{day}", order=f"s{day < '25'}") for day in days))
    nights.make("2024-04-01")
    met = times_met(monkeypatch)
    assert nights.make("2024-04-01T00:05") == 1
    assert (min(met), len(met)) == (pd.Timestamp(since).value // 1000, n_met)
    shown = tonight.read(path=nights.path).set_index("person_id").loc["customer:c05"]
    assert [shown[f"f_n_sessions_{window}"] for window in ("7d", "30d", "ever")] == [0, 1, 3 if has_ids else 4]
    nights.assert_whole("2024-04-01T00:05")


@pytest.mark.parametrize(
    ("groups", "gap", "begin"),
    [
        (["counts"], None, "2024-03-02"),
        (["sessions"], 60_000_000, "2024-03-01T23:59"),
        (["counts", "values", "sessions"], None, None),
    ],
)
def test_windows_begin_where_what_they_count_hangs_on(tmp_path, groups, gap, begin):
    nights = Nights(tmp_path, groups=groups)
    found = windows_begin(pd.Timestamp("2024-04-01").value // 1000, gap, nights.settings, nights.known)
    assert found == (begin and pd.Timestamp(begin).value // 1000)


def test_session_ids_are_met_where_they_are(tmp_path):
    source = brand(True, False)
    for name, mapped in (("none", source), ("some", with_session_ids(source))):
        rows = ["1,2024-02-01,2024-02-01,ann,,a7,view,1\n", "2,2024-03-01,2024-03-01,ann,,,view,1\n"]
        (tmp_path / name).mkdir()
        deliver(tmp_path / name / "landing", {"e.csv": rows, **LINKS})
        landing.ingest(tmp_path / name / "landing", mapped, IdentityConfig(), tmp_path / name / "store", 1)
    asked = [pd.Timestamp(day).value // 1000 for day in ("2024-01-15", "2024-03-15")]
    stores = [Store(tmp_path / name / "store") for name in ("none", "some")]
    assert [[has_session_ids(s.root, s.manifest, 0, begin) for begin in asked] for s in stores] == [
        [False, False],
        [True, False],
    ]


def test_who_is_not_of_the_population_has_windows_that_nobody_asks_for(tmp_path):
    nights = Nights(tmp_path, groups=["counts"], population={"identified_only": True})
    nights.night(nights.event("", "2024-03-25", device="d9"), nights.event("c05", "2024-03-25"))
    assert nights.make("2024-04-01") == 20
    assert nights.make("2024-04-02") == 2  # who is of it only the table of the last night tells
    assert len(tonight.read(path=nights.path)) == 20
    nights.assert_whole("2024-04-02")


@pytest.mark.parametrize(("shared_devices", "n_described"), [("last_auth", 2), ("device_split", 0)])
def test_whose_events_may_be_somebody_elses_is_described_anew(tmp_path, monkeypatch, shared_devices, n_described):
    nights = Nights(tmp_path, IdentityConfig(shared_devices=shared_devices), groups=["counts"])
    nights.night(*(nights.event(who, f"2024-03-0{i}", device="d9") for i, who in enumerate(["c05", "c06"], 1)))
    nights.night(nights.event("", "2024-03-25", device="d9"))
    nights.make("2024-04-01")
    described = counts_described(monkeypatch)
    nights.make("2024-04-02")
    assert sum(described) == n_described
    nights.assert_whole("2024-04-02")


def test_windows_that_no_feature_has_move_nobody(tmp_path):
    nights = Nights(tmp_path, groups=["recency", "stage"])
    nights.night(nights.event("c05", "2024-03-25"))
    nights.make("2024-04-01")
    assert nights.make("2024-04-02") == 0
    nights.assert_whole("2024-04-02")


def test_an_event_known_late_counts_from_then_where_every_event_is_a_point(tmp_path):
    nights = Nights(tmp_path, points="every_event", population={"active_within_days": 20})
    nights.night(nights.event("c05", "2024-03-01", known="2024-03-20"), nights.event("c06", "2024-03-20"))
    nights.make("2024-04-01")
    assert tonight.read(path=nights.path)["person_id"].tolist() == ["customer:c05", "customer:c06"]
    assert nights.make("2024-04-15") == 0
    assert tonight.n_rows(nights.path) == 0
    nights.assert_whole("2024-04-15")


def test_a_population_may_be_empty(tmp_path):
    nights = Nights(tmp_path, population={"active_within_days": 1})
    for cutoff in ("2024-04-01", "2024-04-02"):
        assert nights.make(cutoff) == 0
        assert len(tonight.read(path=nights.path)) == tonight.n_rows(nights.path) == 0
        nights.assert_whole(cutoff)
    nights.night(nights.event("c07", "2024-04-02"))
    assert nights.make("2024-04-03") == 1
    nights.assert_whole("2024-04-03")


def test_what_was_to_come_comes_without_news(nights):
    nights.night(nights.event("zoe", "2024-04-05"), nights.event("c01", "2024-01-02", device="d5", known="2024-04-05"))
    nights.make("2024-04-01")
    assert "customer:zoe" not in set(tonight.read(path=nights.path)["person_id"])
    assert nights.make("2024-04-06") == 2
    assert "customer:zoe" in set(tonight.read(path=nights.path)["person_id"])
    nights.assert_whole("2024-04-06")


def test_a_merge_takes_the_rows_of_both_away(nights):
    nights.night(nights.event("", "2024-03-01", device="d9"), nights.event("zoe", "2024-03-01"))
    nights.make("2024-04-01")
    people = set(tonight.read(path=nights.path)["person_id"])
    nights.night(nights.event("zoe", "2024-04-01", device="d9"))
    nights.make("2024-04-02")
    assert people - set(tonight.read(path=nights.path)["person_id"]) == {"anonymous:d9"}
    nights.assert_whole("2024-04-02")


@pytest.mark.parametrize(
    "change",
    [
        lambda nights, monkeypatch: monkeypatch.setattr(renewing, "code_version", lambda: "another"),
        lambda nights, monkeypatch: setattr(nights, "settings", by_hand.settings(windows_days=[7])),
        lambda nights, monkeypatch: setattr(
            nights, "known", vocabulary_of(nights.store, nights.settings, "2023-01-01")
        ),
        lambda nights, monkeypatch: nights.path.unlink(),
        lambda nights, monkeypatch: nights.path.with_name(renewing.MADE_OF).unlink(),
        lambda nights, monkeypatch: next(nights.path.with_name(renewing.WHOSE).iterdir()).unlink(),
        lambda nights, monkeypatch: nights.make("2024-04-05"),
        lambda nights, monkeypatch: deliver(nights.folder / "landing", {"e0020.csv": [nights.event("zoe")]}),
    ],
    ids=["code", "settings", "categories", "lost table", "lost note", "lost memory", "later night", "changed file"],
)
def test_all_is_made_anew_where_it_has_to_be(nights, monkeypatch, change):
    nights.make("2024-04-01")
    change(nights, monkeypatch)
    nights.night()
    assert nights.make("2024-04-02") == len(set(tonight.read(path=nights.path)["person_id"]))
    nights.assert_whole("2024-04-02")


def test_functions_of_the_users_own_may_hang_on_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(custom, "REGISTERED", dict(custom.REGISTERED))

    @custom.feature("the cut-off", unit="days")
    def night(points):
        return points.cutoff / 86_400e6

    nights = Nights(tmp_path, groups=["counts", "custom"], custom=["night"])
    assert nights.make("2024-04-01") == nights.make("2024-04-02") == 20


def test_a_night_that_is_stopped_leaves_a_table_that_is_whole(nights, monkeypatch):
    nights.make("2024-04-01")
    nights.night(nights.event("c03", "2024-04-01"))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for module, name in ((arrow_files, "_checksum"), (tables, "write")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, stop)
            nights.make("2024-04-02")
        assert len(tonight.read(path=nights.path)) == 20
    assert nights.make("2024-04-02") == 20  # the table is of another night than its note
    nights.assert_whole("2024-04-02")


def test_a_night_that_is_stopped_between_buckets_leaves_what_is_remembered(nights, monkeypatch):
    nights.night(nights.event("c05", "2024-03-25"))
    nights.make("2024-04-01")
    nights.night(nights.event("c03", "2024-04-01"))
    remember, n = Memory.write, iter(range(9))

    def stop(*told: object) -> None:
        if next(n):
            raise KeyboardInterrupt
        remember(*told)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Memory, "write", stop)
        nights.make("2024-04-02")
    assert nights.make("2024-04-02") == 2
    nights.assert_whole("2024-04-02")


def test_places_in_a_store_that_is_no_more_are_not_trusted(nights, monkeypatch):
    """A file is corrected, the store made anew, a night stopped; then all of it is taken back."""
    nights.night(nights.event("c05", "2024-03-25"))
    nights.make("2024-04-01")
    memory = nights.path.with_name(renewing.WHOSE)
    told = {file.name: file.read_bytes() for file in memory.iterdir()}
    delivered = nights.folder / "landing/e0020.csv"
    rows = delivered.read_text()
    told_first = nights.event("a")
    delivered.write_text(rows.replace("\n", f"\n{told_first}", 1))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    shutil.rmtree(nights.folder / "store")
    nights.night()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(arrow_files, "write", stop)
        nights.make("2024-04-01")
    delivered.write_text(rows)
    shutil.rmtree(nights.folder / "store")
    nights.night()
    assert {name: (memory / name).read_bytes() for name in told} == told
    nights.make("2024-04-02")
    nights.assert_whole("2024-04-02")


def test_a_damaged_table_is_one_sentence(nights):
    nights.make("2024-04-01")
    whole = nights.path.read_bytes()
    value = np.float32(100 * nights.n).tobytes()  # of the latest event
    for place in (whole.index(b"customer:c07"), whole.index(value), len(whole) - 10):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        nights.path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"score.arrow is damaged"):
            tonight.read(path=nights.path)
    nights.path.write_bytes(whole[:100])
    with pytest.raises(InputError, match=r"score.arrow is damaged"):
        tonight.read(path=nights.path)
    nights.path.unlink()
    with pytest.raises(InputError, match=r"score.arrow does not exist"):
        tonight.read(path=nights.path)


def test_a_night_whose_memory_is_damaged_is_one_sentence(nights):
    nights.make("2024-04-01")
    file = min(nights.path.with_name(renewing.WHOSE).iterdir())
    file.write_bytes(file.read_bytes()[:-8] + b"damaged!")
    before = nights.path.read_bytes()
    with pytest.raises(InputError, match=rf"{file.name} is missing or damaged .*; delete it and run `dvc repro -P`"):
        nights.make("2024-04-02")
    assert nights.path.read_bytes() == before
    file.unlink()
    nights.make("2024-04-02")
    nights.assert_whole("2024-04-02")
    assert len(list(file.parent.iterdir())) == 2  # of tonight alone


@pytest.mark.parametrize("length", [1 << 30, -5])
def test_a_night_after_a_damaged_table_is_one_sentence(nights, length):
    nights.make("2024-04-01")
    ends = np.cumsum([0, *[len("customer:c00")] * 3]).astype(np.int32)  # of the ids of a batch
    whole = nights.path.read_bytes()
    place = whole.rindex(ends.tobytes()) + 4
    nights.path.write_bytes(whole[:place] + np.int32(length).tobytes() + whole[place + 4 :])
    with pytest.raises(InputError, match=r"score.arrow is damaged"):
        nights.make("2024-04-02")


def test_others_are_shown_the_features_alone(nights):
    nights.make("2024-04-01")
    shown = tonight.read(path=nights.path)
    expected = describe_tonight(
        nights.store.log(0), pd.Timestamp("2024-04-01", tz="UTC"), by_hand.SHOP, nights.settings, nights.known
    )[0].to_pandas()
    some = shown[shown["person_id"].isin(expected["person_id"])].reset_index(drop=True)
    assert_frame_equal(some, expected.sort_values("person_id", ignore_index=True))
    schema.to_arrow(shown, schema.FEATURES)
    tonight.write_parquet(nights.folder / "score.parquet", nights.path)
    assert_frame_equal(tables.read(nights.folder / "score.parquet"), shown)
    with pytest.raises(InputError, match="has no column f_wings"):
        tonight.read(["f_wings"], nights.path)


@pytest.mark.parametrize("is_told", [True, False])
def test_what_was_forgotten_can_be_read_again(tmp_path, monkeypatch, is_told):
    batches = [pa.record_batch({"id": [f"x{i}" for i in range(k, k + 3)], "n": range(k, k + 3)}) for k in (0, 3, 6)]
    arrow_files.write(batches, batches[0].schema, 9, tmp_path / "a.arrow")
    file, told = arrow_files.ArrowFile(tmp_path / "a.arrow"), []
    if is_told:
        monkeypatch.setattr(arrow_files.os, "posix_fadvise", lambda _, *where: told.append(where))
    else:
        monkeypatch.delattr(arrow_files.os, "posix_fadvise")
    for i in range(3):
        assert file.batch(i) == batches[i]
        file.forget(i)
    assert [file.batch(i) for i in range(3)] == batches
    size, ends = (tmp_path / "a.arrow").stat().st_size, [end for _, end, _ in told]
    assert len(told) == 3 * is_told
    assert sorted(set(ends)) == ends
    assert all(begin == 0 and 0 < end < size for begin, end, _ in told)


def test_a_table_has_the_same_bytes_where_no_place_on_disk_is_asked_for(tmp_path, monkeypatch):
    rows = pa.table({"id": ["x" * 10_000, "b", "c", "d"]}).to_batches(
        2
    )  # others are shorter than the first seem to say
    arrow_files.write(rows, rows[0].schema, 4, tmp_path / "a.arrow")

    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(arrow_files.os, "posix_fallocate", refuse, raising=False)
    arrow_files.write(rows, rows[0].schema, 4, tmp_path / "b.arrow")
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


def test_what_journeys_read_is_not_read_again(nights, monkeypatch):
    outs = [KeptOut(nights.folder / "identifiers", schema.IDENTIFIERS, "id")]
    rules, read = IdentityConfig(), []

    def read_members(*told: object) -> tuple[EventLog, np.ndarray]:
        read.append(told[2])
        return reading.read_members(*told)

    def night(cutoff: str) -> None:
        end = pd.Timestamp(cutoff, tz="UTC").value // 1000
        read.clear()
        make_kept(HERE, partial(identifiers, end), nights.store, outs, end, [rules])
        assert sorted(read) == [0, 1]
        nights.make(cutoff)

    monkeypatch.setattr(store_module, "read_members", read_members)
    night("2024-04-01")
    assert sorted(read) == [0, 0, 1, 1]  # of everybody nothing is kept
    nights.night(nights.event("c03", "2024-04-01"), nights.event("c04", "2024-04-01"))
    night("2024-04-02")
    assert sorted(read) == [0, 1]
    assert not store_module._read  # and it is kept no longer
    nights.assert_whole("2024-04-02")


def identifiers(cutoff: int, log: EventLog) -> Part:
    return Part([list_identifiers(log.identities, cutoff)], None)


def test_what_is_kept_is_what_was_asked_for(nights, monkeypatch):
    store = nights.store
    ids = read_ids(store.root, store.manifest.buckets[0])
    some, others = ids.component == ids.component[0], ids.component != ids.component[0]
    found = store.members(0, ids, some, keep=True)
    assert store.members(0, ids, some.copy()) is found
    assert store.members(0, ids, some) is not found  # twice, and then no more
    for asked, other in ((others, store), (some, Store(store.root, IdentityConfig(max_persons_per_id=3)))):
        found = store.members(0, ids, some, keep=True)
        assert other.members(0, ids, asked) is not found
        store_module._read.clear()
    monkeypatch.setattr(store_module, "_MOST_KEPT", 0)
    found = store.members(0, ids, some, keep=True)
    assert store.members(0, ids, some) is not found


# --- putting together -----------------------------------------------------------------------------------------------


@given(st.data(), st.sets(st.text(alphabet="ab\u00e9", max_size=4), max_size=30))
def test_sorted_texts_are_put_together_by_their_bytes(data, texts):
    ordered = sorted(texts, key=lambda text: text.encode())
    first = [text for text in ordered if data.draw(st.booleans())]
    second = [text for text in ordered if text not in first]
    at = np.array([i for i in range(len(first)) if data.draw(st.booleans())], np.int32)
    buffers = []
    for found in (first, second):
        ends = np.cumsum([0, *(len(text.encode()) for text in found)]).astype(np.int32)
        buffers.append((np.frombuffer("".join(found).encode(), np.uint8), ends))
    order = merged(*buffers[0], at, *buffers[1])
    kept = {*second, *(first[i] for i in at)}
    assert [(first + second)[i] for i in order] == [text for text in ordered if text in kept]
    out = np.empty(len(order), np.int32)
    gather(np.arange(len(first), dtype=np.int32), np.arange(100, 100 + len(second), dtype=np.int32), order, out)
    assert out.tolist() == [i if i < len(first) else 100 + i - len(first) for i in order]


def test_words_that_change_places_have_another_checksum(tmp_path):
    sums = set()
    for numbers in ([1, 2, 3], [2, 1, 3], [1, 2, 4]):
        batch = pa.record_batch({"n": pa.array(numbers, pa.int64())})
        arrow_files.write([batch], batch.schema, 3, tmp_path / "n.arrow")
        sums.add(arrow_files.ArrowFile(tmp_path / "n.arrow").seal)
    assert len(sums) == 3
