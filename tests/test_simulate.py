import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from ingested import ingest
from waymark import config, tables
from waymark.config import JourneyConfig, SimulateConfig, SourceConfig
from waymark.errors import InputError
from waymark.simulate import brand as brands
from waymark.simulate import law, truth
from waymark.simulate.brand import simulate
from waymark.simulate.landing import write_landing
from waymark.steps import simulate as step

SEED = 11
SETTINGS = {
    "n_persons": 800,
    "start": "2025-02-20",  # the clocks change on 30 March
    "days": 110,
    "shared_device_share": 0.1,
    "late_share": 0.05,
    "duplicate_share": 0.01,
    "redelivered_share": 0.02,
    "broken_share": 0.005,
}
END = pd.Timestamp("2025-06-10", tz="UTC")
SMALL = {"n_persons": 250, "start": "2025-01-01", "days": 40}


def settings(**changes):
    return config.check(SimulateConfig, changes, "test")


def read_yaml(path):
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def brand():
    return simulate(settings(**SETTINGS), SEED)


@pytest.fixture(scope="module")
def small():
    return simulate(settings(**SMALL), 1)


@pytest.fixture(scope="module")
def ingested(brand, tmp_path_factory):
    folder = tmp_path_factory.mktemp("landing")
    write_landing(brand, folder)
    return ingest(folder, config.check(SourceConfig, read_yaml("conf/source/simulated.yaml"), "test"))


# --- the same input gives the same bytes ----------------------------------------------------------------------------


def bytes_of(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def delivered(brand, folder):
    write_landing(brand, folder)
    return bytes_of(folder)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(small, tmp_path):
    once = delivered(small, tmp_path / "once")
    again = delivered(simulate(settings(**SMALL), 1), tmp_path / "again")
    other = delivered(simulate(settings(**SMALL), 2), tmp_path / "other")
    assert once == again
    assert not set(once.values()) & set(other.values())


def test_how_rows_are_delivered_changes_nothing_about_what_happened(small):
    tidy = simulate(settings(**SMALL, late_share=0, duplicate_share=0, redelivered_share=0, broken_share=0), 1)
    pd.testing.assert_frame_equal(tidy.events.drop(columns="known_time"), small.events.drop(columns="known_time"))
    assert small.deliveries["event"].duplicated().any()
    assert not tidy.deliveries["event"].duplicated().any()
    assert (tidy.events["known_time"] - tidy.events["event_time"]).max() < pd.Timedelta(hours=1)


def test_a_brand_that_is_too_small_says_so():
    with pytest.raises(InputError, match="no social events; raise n_persons or days"):
        simulate(settings(n_persons=100, start="2025-01-01", days=30), 3)


# --- the truth survives delivery ------------------------------------------------------------------------------------


def test_ingest_returns_every_delivered_event_once_and_as_it_happened(brand, ingested):
    happened = brand.events[brand.events["known_time"] < END].set_index("event_id")
    events = ingested.events.set_index("event_id").loc[happened.index]
    assert len(events) == len(happened) == len(ingested.events)
    same = (
        "event_time",
        "known_time",
        "event_type",
        "actor",
        "anonymous_id",
        "customer_id",
        "session_id",
        "value_cents",
    )
    renamed = {"category": "attr_category", "seen_campaign": "attr_campaign", "mailing": "attr_mailing"}
    for ours, theirs in ({name: name for name in same} | renamed).items():
        is_same = (events[theirs] == happened[ours]).fillna(False) | (events[theirs].isna() & happened[ours].isna())
        assert is_same.all(), ours


def test_repeated_and_broken_rows_are_counted_as_configured(brand, ingested):
    report, n = ingested.report, len(ingested.events)
    broken = (brand.deliveries["broken"] != "").sum()
    assert report["delivered"] == len(brand.deliveries) == n + report["duplicates"] + report["rejected"]
    assert report["rejected"] == broken == pytest.approx(SETTINGS["broken_share"] * n, rel=0.05)
    assert set(report["rejects_by_rule"]) == {"event_time", "identity"}
    repeated = (SETTINGS["duplicate_share"] + SETTINGS["redelivered_share"]) * n
    assert report["duplicates"] == pytest.approx(repeated, rel=0.05)
    again = brand.deliveries[brand.deliveries["broken"] == ""].groupby("event")["known_time"].nunique()
    assert (again == 2).sum() == pytest.approx(SETTINGS["redelivered_share"] * n, rel=0.05)


def test_the_share_of_late_events_is_as_configured(brand):
    delay = brand.events["known_time"] - brand.events["event_time"]
    assert (delay > pd.Timedelta(hours=1)).mean() == pytest.approx(SETTINGS["late_share"], abs=1e-4)
    assert delay.min() >= pd.Timedelta(seconds=1)
    assert delay.max() <= pd.Timedelta(days=5)


def test_nothing_is_delivered_after_the_last_day_and_faults_stay_below_a_percent_by_default(brand):
    assert brand.deliveries["known_time"].max() < END
    base = settings(**read_yaml("conf/simulate/base.yaml"))
    assert 0 < base.duplicate_share + base.redelivered_share + base.broken_share < 0.01


# --- who is who -----------------------------------------------------------------------------------------------------


def test_the_configured_share_of_devices_has_two_users(brand):
    users = brand.identities[~brand.identities["anonymous_id"].str.startswith("@")].groupby("anonymous_id").size()
    assert (users == 2).sum() == round(SETTINGS["shared_device_share"] * len(users))
    assert users.max() == 2
    assert brand.identities.groupby("person").size().max() <= 4  # three devices and a handle


def test_whoever_logs_in_is_the_person_behind_the_device(brand):
    both = brand.events.dropna(subset=["anonymous_id", "customer_id"])
    seen = both[["anonymous_id", "customer_id", "person"]].drop_duplicates()
    true = brand.identities[["anonymous_id", "customer_id", "person"]].dropna()
    assert len(seen.merge(true)) == len(seen) > 300
    assert (both["event_type"] == "login").sum() > 300
    logins = brand.events[brand.events["event_type"] == "login"]
    assert logins[["anonymous_id", "customer_id"]].notna().all(axis=None)


def test_some_persons_never_log_in_and_no_event_shows_their_customer_id(brand):
    strangers = set(brand.persons.loc[~brand.persons["joins"], "person"])
    theirs = brand.events[brand.events["person"].isin(strangers)]
    assert len(strangers) == pytest.approx(0.2 * SETTINGS["n_persons"], rel=0.25)
    assert theirs["customer_id"].isna().all()
    assert theirs["anonymous_id"].notna().all()


def test_no_customer_id_is_shown_before_the_first_login(brand):
    first = brand.events[brand.events["event_type"] == "login"].groupby("person")["event_time"].min()
    known = brand.events.dropna(subset="customer_id")
    assert (known["event_time"] >= known["person"].map(first)).all()


def test_what_the_brand_does_is_never_customer_activity(brand, ingested):
    for events in (brand.events, ingested.events):
        actors = events.groupby("event_type", observed=True)["actor"].unique().map(list).to_dict()
        brand_events = {t for t, a in actors.items() if a == ["brand"]}
        assert brand_events == {"email_sent", "offer_sent", "support_answer"}
        assert {t for t, a in actors.items() if a == ["system"]} == {"parcel_delivered"}
        assert all(len(a) == 1 for a in actors.values())


# --- the law --------------------------------------------------------------------------------------------------------


def positions(values, names):
    return pd.Categorical(values, categories=names).codes.astype(int)


def history_of(moves):
    plain = ("silent_days", "in_store", "is_mobile", "has_offer", "is_due", "n_steps_back", "n_orders")
    return law.History(
        state=positions(moves["state"], law.STATES),
        campaign=positions(moves["campaign"], law.CAMPAIGNS),
        style=positions(moves["style"], law.STYLES),
        **{name: moves[name].to_numpy() for name in plain},
    )


def assert_drawn_from(chances, drawn, by):
    """Each count lies within four standard errors of what the law expects, in every group."""
    happened = np.eye(chances.shape[1])[drawn]
    for group in np.unique(by):
        mine = by == group
        expected, variance = chances[mine].sum(axis=0), (chances[mine] * (1 - chances[mine])).sum(axis=0)
        assert (abs(happened[mine].sum(axis=0) - expected) <= 4 * np.sqrt(variance) + 1).all(), group


@pytest.mark.parametrize("group", ["state", "campaign", "style", "n_orders", "has_offer", "is_due", "in_store"])
def test_moves_are_as_frequent_as_the_law_says(brand, group):
    moves = brand.events[brand.events["kind"] != "none"]
    entries, steps = moves[moves["kind"] == "entry"], moves[moves["kind"] == "step"]
    drawn = positions(entries["move"], [*law.MOVES, "errand"])
    assert_drawn_from(law.entry_probabilities(history_of(entries)), drawn, entries[group].to_numpy())
    chances = law.step_probabilities(history_of(steps))[:, : law.OTHER]  # a step is drawn given that nobody left
    chances /= chances.sum(axis=1, keepdims=True)
    assert_drawn_from(chances, positions(steps["move"], law.MOVES), steps[group].to_numpy())


def test_visits_end_as_often_as_the_law_says(brand):
    moves = brand.events[brand.events["kind"] != "none"].sort_values(["visit", "event_time"])
    nth = moves.groupby("visit").cumcount()
    is_last = ~moves.duplicated("visit", keep="last")
    # What bears on the next draw is still as recorded where the move changed nothing.
    unchanged = (moves["state"] == moves["stage"]) & (moves["move"] != "order") & (moves["event_type"] != "ad_click")
    asked = unchanged & (nth < law.MAX_EVENTS_PER_VISIT - 1)
    leaves = law.step_probabilities(history_of(moves[asked]))[:, law.OTHER]
    chances = np.column_stack([1 - leaves, leaves])
    assert_drawn_from(chances, is_last[asked].to_numpy().astype(int), moves.loc[asked, "state"].to_numpy())
    assert (nth.max(), asked.sum() > 10_000) == (law.MAX_EVENTS_PER_VISIT - 1, True)


def test_the_rules_of_the_journey_find_the_true_stage(brand):
    journey = config.check(JourneyConfig, read_yaml("conf/journey/shop.yaml"), "test")
    events = brand.events.sort_values(["person", "event_time"], kind="stable")
    count = events.groupby(["person", "event_type"]).cumcount() + 1
    stage = pd.Series(None, events.index, dtype="str")
    for rule in reversed(journey.rules):
        matches = events["event_type"].isin(rule.event_type) & events["actor"].isin(rule.actor)
        stage[matches & (count >= (rule.count_at_least or 1))] = rule.stage
    derived = stage.groupby(events["person"]).ffill().fillna(journey.initial)
    pd.testing.assert_series_equal(derived, events["stage"], check_names=False, check_dtype=False)
    assert set(derived) == set(law.STAGES)


def silent_days_of(brand):
    """One row a day on which a silent person who is not gone might return."""
    start = pd.Timestamp(SETTINGS["start"], tz="UTC")
    pauses = brand.pauses[~brand.pauses["is_gone"]]
    first = pauses["paused_day"] + (pauses["cause"] == "visit")
    last = pauses["returned_day"].fillna(SETTINGS["days"] - 1)
    days = [range(a, b + 1) for a, b in zip(first, last)]
    rows = pauses.assign(day=days).explode("day").dropna(subset="day").astype({"day": "int64"})
    sent = brand.events[brand.events["event_type"].isin(["email_sent", "offer_sent"])]
    mail = pd.DataFrame({"person": sent["person"], "mail_day": (sent["event_time"] - start).dt.days})
    rows = pd.merge_asof(
        rows.sort_values("day"), mail.sort_values("mail_day"), left_on="day", right_on="mail_day", by="person"
    )
    lovers = brand.persons.set_index("person")["is_mail_lover"]
    return rows.assign(
        returns=(rows["day"] == rows["returned_day"]).fillna(False).astype(int),
        is_lover=rows["person"].map(lovers),
        is_mailed=rows["day"] - rows["mail_day"] < law.MAIL_DAYS,
    )


def test_messages_bring_back_mail_lovers_and_nobody_else(brand):
    days = silent_days_of(brand)
    warmed = days["is_lover"] & days["is_mailed"]
    chance = np.where(warmed, law.RETURN_RATE * law.MAIL_RETURN, law.RETURN_RATE)
    group = days["is_lover"].astype(int) * 2 + days["is_mailed"]
    assert_drawn_from(np.column_stack([1 - chance, chance]), days["returns"].to_numpy(), group.to_numpy())
    assert group.value_counts().min() > 100


def test_a_silent_person_does_nothing(brand):
    start = pd.Timestamp(SETTINGS["start"], tz="UTC")
    customer = brand.events[brand.events["actor"] == "customer"]
    day = (customer["event_time"] - pd.Timedelta(hours=5) - start).dt.days  # a visit may last beyond midnight
    at = pd.DataFrame({"person": customer["person"], "day": day}).drop_duplicates().merge(brand.pauses, on="person")
    ended = at["returned_day"].fillna(SETTINGS["days"])
    assert not ((at["day"] > at["paused_day"]) & (at["day"] < ended)).any()
    assert brand.pauses["returned_day"].notna().sum() > 100


def test_only_those_whom_support_left_waiting_lose_patience(brand):
    start = pd.Timestamp(SETTINGS["start"], tz="UTC")
    lost = brand.pauses[brand.pauses["cause"] == "unanswered"]
    events = brand.events.assign(day=(brand.events["event_time"] - start).dt.days)
    assert len(lost) > 20
    for person, day in zip(lost["person"], lost["paused_day"]):
        past = events[(events["person"] == person) & (events["day"] < day)]
        opened = past.loc[(past["stage"] == "trouble") & (past["kind"] != "none"), "day"].max()
        answers = past.loc[past["event_type"] == "support_answer", "day"]
        assert past["stage"].iloc[-1] == "trouble"
        assert not (answers >= opened).any()


def test_the_documented_law_is_the_law():
    text = Path("docs/simulated-brand.md").read_text(encoding="utf-8")
    documented = {name: numbers_of(body) for name, body in re.findall(r"<!-- (\w+) -->\n(.+?)\n\n", text, re.DOTALL)}
    factors = [law.IN_STORE, law.ON_MOBILE, law.AFTER_OFFER, law.WHEN_DUE, law.PER_STEP_BACK, law.PER_ORDER]
    true = {
        "ENTRY": law.ENTRY,
        "STEP": law.STEP,
        "FRESH_DAYS": [law.FRESH_DAYS],
        "COLD": [law.COLD],
        "FACTORS": [*factors, *law.STYLE_MOVES],
        "STATE": [law.STATE_RATE, law.STATE_PAUSE],
    }
    assert documented.keys() == true.keys()
    for name, numbers in true.items():
        np.testing.assert_allclose(documented[name], numbers, err_msg=name)
    np.testing.assert_allclose(np.vstack([law.ENTRY, law.STEP, [law.COLD]]).sum(axis=1), 1)


def numbers_of(table):
    return [[float(cell) for cell in line.split("|")[2:-1]] for line in table.splitlines()[2:]]


# --- the step -------------------------------------------------------------------------------------------------------


def test_the_step_replaces_the_landing_folder_and_keeps_the_truth_apart(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("resolved.yaml").write_text(
        yaml.safe_dump({"simulate": SMALL, "seed": 1, "landing": str(step.LANDING)}), encoding="utf-8"
    )
    stale = step.LANDING / "web" / "stale.jsonl.gz"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"old")
    step.main()
    assert not stale.exists()
    assert {p.name for p in step.LANDING.iterdir()} == set(brands.journal.FEEDS)
    assert not list(Path("data").rglob(".tmp-*"))
    told = {p.stem: tables.read(p) for p in step.TRUTH.glob("*.parquet")}
    assert {name: len(table) for name, table in told.items()} == {
        "persons": len(small.persons),
        "identities": len(small.identities),
        "pauses": len(small.pauses),
        "events": len(small.events),
    }
    assert tables.read_json(step.TRUTH / "law.json")["STEP"] == law.STEP.tolist() == truth.parameters()["STEP"]


def test_where_files_are_read_from_elsewhere_nothing_is_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"simulate": {"n_persons": 10, "days": 60}, "seed": 7, "landing": "/data/shop"}
    Path("resolved.yaml").write_text(yaml.safe_dump(settings))
    step.LANDING.mkdir(parents=True)
    (step.LANDING / "old.csv").write_text("a\n")
    step.main()
    assert list(step.LANDING.iterdir()) == list(step.TRUTH.iterdir()) == []
