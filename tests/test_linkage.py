"""Customer records of one person are found; what is known tomorrow changes no link of today."""

from __future__ import annotations

import os
import runpy
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from waymark import config, linkage, schema
from waymark.config import LinkageConfig
from waymark.errors import InputError
from waymark.linkage import link_records, read_records

ROOT = Path(__file__).parents[1]
LEARN_UNTIL = pd.Timestamp("2025-02-01", tz="UTC")
COLUMNS = {"first name": "name", "select": "name", "born": "date", "mail": "email", "post": "postcode", "shop": "exact"}


def settings(**changed):
    given = {
        "records": "records.csv",
        "id": "customer",
        "known_time": "loaded",
        "columns": COLUMNS,
        "learn_until": LEARN_UNTIL.to_pydatetime(),
    }
    return LinkageConfig(**(given | changed))


def planted(n_persons=240, n_twice=80, seed=7):
    """Return records of `n_persons`, the first `n_twice` of them twice with an error in one column, one loaded an hour.

    Customer `<n>` and `<n>b` are one person.
    """
    rng = np.random.default_rng(seed)
    syllables = np.array([a + b for a in "bdfgklmnprst" for b in "aeiou"])
    words = ["".join(w) for w in rng.choice(syllables, (4 * n_persons, 3))]
    person = pd.DataFrame(
        {
            "customer": [f"{i:03d}" for i in range(n_persons)],
            "first name": rng.choice(words[:40], n_persons),
            "select": rng.choice(words[40:160], n_persons),
            "born": [f"19{y:02d}{m:02d}{d:02d}" for y, m, d in rng.integers([40, 1, 1], [99, 12, 28], (n_persons, 3))],
            "mail": [f"{w}{i}@example.com" for i, w in enumerate(words[-n_persons:])],
            "post": [f"{i:05d}" for i in rng.integers(10_000, 99_999, n_persons)],
            "shop": rng.choice(["north", "south", "east", "west"], n_persons),
        }
    )
    again = person[:n_twice].copy()
    again["customer"] += "b"
    for i, column in enumerate(rng.choice(list(COLUMNS)[:5], n_twice)):
        text = again.loc[i, column]
        at = rng.integers(1, len(text) - 1)
        again.loc[i, column] = text[:at] + ("9" if text[at].isdigit() else "z") + text[at + 1 :]
    records = pd.concat([person, again], ignore_index=True).sample(frac=1, random_state=3, ignore_index=True)
    hours = pd.Timestamp("2025-01-25", tz="UTC") + pd.to_timedelta(np.arange(len(records)), unit="h")
    return records.assign(loaded=hours)


def pairs(links):
    return set(zip(links["id_a"].str.removeprefix("customer:"), links["id_b"].str.removeprefix("customer:")))


TRUE = {(f"{i:03d}", f"{i:03d}b") for i in range(80)}


# --- what is found --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def links():
    pytest.importorskip("splink")
    return link_records(planted(), settings())


def test_planted_persons_are_found_and_nobody_else(links):
    found = pairs(links)
    assert len(found & TRUE) >= 0.95 * len(TRUE)
    assert len(found - TRUE) <= 0.02 * len(found)


def test_links_keep_their_contract(links):
    schema.to_arrow(links, schema.LINKS)
    assert set(links["kind"]) == {"linkage"}
    assert (links["id_a"] < links["id_b"]).all()
    assert links["probability"].between(0.95, 1).all()


def test_a_link_is_known_when_both_records_and_the_model_are(links):
    records = planted()
    loaded = records.set_index("customer")["loaded"]
    for link in links.itertuples():
        both = max(loaded[link.id_a.removeprefix("customer:")], loaded[link.id_b.removeprefix("customer:")])
        assert link.known_time == max(both, LEARN_UNTIL)
    assert links["known_time"].eq(LEARN_UNTIL).any()
    assert links["known_time"].gt(LEARN_UNTIL).any()


@pytest.mark.slow
def test_the_order_of_the_records_does_not_matter(links):
    shuffled = planted().sample(frac=1, random_state=11)
    assert_frame_equal(link_records(shuffled, settings()), links, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("day", ["2025-02-01", "2025-02-03", "2025-02-06"])
def test_records_of_tomorrow_change_no_link_of_today(links, day):
    """They are taken away, and replaced by copies of one customer, which would make every value of his common."""
    cutoff = pd.Timestamp(day, tz="UTC")
    before = links[links["known_time"] < cutoff].reset_index(drop=True)
    records = planted()
    known = records[records["loaded"] < cutoff]
    flood = pd.concat([records[:1]] * 300, ignore_index=True)
    flood = flood.assign(customer=[f"f{i}" for i in range(300)], loaded=cutoff)
    for others in (known, pd.concat([known, flood], ignore_index=True)):
        found = link_records(others, settings())
        assert_frame_equal(found[found["known_time"] < cutoff].reset_index(drop=True), before, check_exact=True)


@pytest.mark.slow
def test_a_higher_threshold_keeps_the_surest():
    pytest.importorskip("splink")
    few = {column: COLUMNS[column] for column in ("first name", "select", "post", "shop")}
    likely = link_records(planted(), settings(columns=few, threshold=0.01))
    sure = link_records(planted(), settings(columns=few, threshold=0.999))
    expected = likely[likely["probability"] >= 0.999].reset_index(drop=True)
    assert 0 < len(expected) < len(likely)
    assert_frame_equal(sure, expected)


@pytest.mark.slow
def test_given_blocking_rules_are_all_that_is_compared():
    pytest.importorskip("splink")
    records = planted()
    found = pairs(link_records(records, settings(blocking=[["born", "post"], ["mail"]])))
    by_id = records.set_index("customer")
    assert found
    for a, b in found:
        left, right = by_id.loc[a], by_id.loc[b]
        assert left["mail"] == right["mail"] or (left[["born", "post"]] == right[["born", "post"]]).all()


@pytest.mark.slow
def test_spelling_with_capitals_and_spaces_is_no_difference(links):
    loud = planted()
    for column in ("first name", "select", "mail"):
        loud[column] = "  " + loud[column].str.upper() + " "
    loud["born"] = loud["born"].str.replace(r"^(....)(..)(..)$", r"\1-\2-\3", regex=True)
    assert_frame_equal(link_records(loud, settings()), links, check_exact=True)


# --- versions of a record -------------------------------------------------------------------------------------------


def test_a_record_delivered_again_unchanged_changes_nothing(links):
    again = planted().assign(loaded=lambda r: r["loaded"] + pd.Timedelta(days=30))
    found = link_records(pd.concat([planted(), again], ignore_index=True), settings())
    assert_frame_equal(found, links, check_exact=True)


def test_a_corrected_record_links_from_when_it_was_corrected(links):
    records = planted()
    assert not {("239", "240")} & pairs(links)
    moment = pd.Timestamp("2025-03-01 12:00", tz="UTC")
    stranger = records[records["customer"] == "239"].assign(
        **{"customer": "240", "first name": "zoltan", "select": "xyzzy", "born": "18010101", "loaded": moment},
        **{"mail": "nobody@example.org", "post": "99", "shop": "east"},
    )
    corrected = records[records["customer"] == "239"].assign(customer="240", loaded=moment + pd.Timedelta(days=1))
    found = link_records(pd.concat([records, stranger, corrected], ignore_index=True), settings())
    new = found[found["id_b"] == "customer:240"]
    assert new["id_a"].tolist() == ["customer:239"]
    assert new["known_time"].tolist() == [moment + pd.Timedelta(days=1)]
    assert (found["id_a"] != found["id_b"]).all()


# --- splink is an extra, and stays inside ---------------------------------------------------------------------------


def test_without_the_extra_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "splink", None)
    with pytest.raises(InputError, match="splink, which is not installed; run `make setup-linkage`"):
        link_records(planted(), settings())


def test_the_database_of_the_linkage_reaches_no_file_and_no_network(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("splink")
    (tmp_path / "a.csv").write_text("a\n1\n")
    rows = pd.DataFrame({"id": ["a"], "known_time": [LEARN_UNTIL], "c0": ["x"], "c1": ["y"]})
    comparisons = [linkage._comparison("c0", "exact"), linkage._comparison("c1", "exact")]
    from splink import SettingsCreator

    made = SettingsCreator(link_type="dedupe_only", comparisons=comparisons, unique_id_column_name="row")
    connection = linkage._linker(rows, made)[1].duckdb_con
    for statement in (f"select * from '{tmp_path / 'a.csv'}'", "install httpfs", "load httpfs"):
        with pytest.raises(duckdb.Error):
            connection.execute(statement)


# --- bad input ------------------------------------------------------------------------------------------------------


def checked(**changed):
    given = {"records": "r.csv", "id": "customer", "known_time": "loaded", "columns": COLUMNS}
    return config.check(LinkageConfig, given | {"learn_until": "2025-02-01"} | changed, "linkage")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"known_time": None}, "give either known_time"),
        ({"delivered_time": "2025-01-01"}, "give either known_time"),
        ({"blocking": [["age"]]}, "blocking names age; there are first name, select, born, mail, post, shop"),
        ({"blocking": [[]]}, "blocking names no column; there are first name"),
        ({"threshold": 1.5}, "threshold"),
        ({"columns": {"mail": "email"}}, "columns"),
        ({"columns": {"mail": "phone", "born": "date"}}, "columns.mail"),
    ],
)
def test_wrong_settings_are_told_in_one_sentence(changed, sentence):
    with pytest.raises(InputError) as told:
        checked(**changed)
    assert sentence in str(told.value)


def test_moments_of_the_settings_are_utc_unless_they_say_otherwise():
    assert checked().learn_until == datetime(2025, 2, 1, tzinfo=UTC)
    assert checked(learn_until="2025-02-01T00:00+02:00").learn_until == datetime(2025, 1, 31, 22, tzinfo=UTC)


def test_records_are_read_as_they_are_written(tmp_path):
    records = planted().assign(other="not wanted")
    records.loc[0, ["first name", "post"]] = ["NA", "01234"]
    records.to_csv(tmp_path / "r.csv", index=False)
    records.to_parquet(tmp_path / "r.parquet")
    from_csv = read_records(settings(records=str(tmp_path / "r.csv")))
    from_parquet = read_records(settings(records=str(tmp_path / "r.parquet")))
    assert from_csv.loc[0, ["first name", "post"]].tolist() == ["NA", "01234"]
    assert list(from_csv) == list(from_parquet) == ["customer", "loaded", *COLUMNS]
    for column in from_csv.drop(columns="loaded"):
        assert from_csv[column].tolist() == from_parquet[column].tolist()


@pytest.mark.parametrize(
    ("name", "bytes_", "sentence"),
    [
        ("gone.csv", None, "gone.csv does not exist; set linkage.records"),
        ("empty.csv", b"", "empty.csv cannot be read"),
        ("text.parquet", b"no parquet", "text.parquet cannot be read"),
        ("latin.csv", b"customer\nJos\xe9\n", "latin.csv cannot be read"),
        (
            "short.csv",
            b"customer,mail\n1,a@b\n",
            "short.csv has no column loaded, first name, select, born, post, shop",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_sentence(tmp_path, name, bytes_, sentence):
    if bytes_ is not None:
        (tmp_path / name).write_bytes(bytes_)
    with pytest.raises(InputError) as told:
        read_records(settings(records=str(tmp_path / name)))
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("customer", "  ", "records.csv: 1 rows have no customer"),
        ("customer", None, "records.csv: 1 rows have no customer"),
        ("loaded", "yesterday", "1 rows have no loaded written as ISO 8601 (the first holds 'yesterday')"),
        ("loaded", None, "1 rows have no loaded written as ISO 8601"),
    ],
)
def test_a_record_without_an_identifier_or_a_time_is_refused(column, value, sentence):
    pytest.importorskip("splink")
    records = planted().astype({"loaded": "str"})
    records.loc[5, column] = value
    with pytest.raises(InputError) as told:
        link_records(records, settings())
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("n_twice", "until", "sentence"),
    [
        (80, "2024-01-01", "among the 0 records known before learn_until (2024-01-01 00:00) no two agree"),
        (0, "2026-01-01", "the 240 records known before learn_until hold too few of one person to learn from"),
    ],
)
def test_records_that_teach_nothing_are_refused(n_twice, until, sentence):
    pytest.importorskip("splink")
    with pytest.raises(InputError) as told:
        link_records(planted(n_twice=n_twice), settings(learn_until=until))
    assert sentence in str(told.value)


def test_a_delivery_time_and_a_delay_stand_in_for_a_column(links):
    delivered = settings(known_time=None, delivered_time="2025-01-31", known_delay_minutes=60 * 24 * 7)
    with pytest.raises(InputError, match="among the 0 records known before learn_until"):
        link_records(planted(), delivered)
    found = link_records(planted(), delivered.model_copy(update={"learn_until": datetime(2025, 3, 1, tzinfo=UTC)}))
    assert set(found["known_time"]) == {pd.Timestamp("2025-03-01", tz="UTC")}
    assert len(pairs(found) & TRUE) >= 0.95 * len(TRUE)


# --- labelled records -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif("WAYMARK_LOGS" not in os.environ, reason="WAYMARK_LOGS names no folder of labelled records")
def test_published_records_are_linked_as_well_as_the_documentation_says():
    pytest.importorskip("splink")
    measured = runpy.run_path(str(ROOT / "benchmarks" / "linkage.py"))["measure_all"](Path(os.environ["WAYMARK_LOGS"]))
    assert (measured["precision"] >= 0.99).all()
    assert (measured.loc[measured["records"].str.startswith("febrl"), "f1"] >= 0.99).all()
    assert (measured["persons_f1"] >= 0.9).all()
