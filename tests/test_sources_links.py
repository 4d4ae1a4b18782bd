"""Files of links between identifiers become links; what is no link is said, with file, line and reason."""

import gzip
import json
import random
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from imports import ROOT
from ingested import ingest, told_links
from waymark import schema, tables
from waymark.config import SourceConfig, check
from waymark.errors import InputError
from waymark.identity import index_identities
from waymark.ledger import link_identities
from waymark.sources.links import KINDS
from waymark.steps import ingest as step
from waymark.store.store import Store

# pyarrow reads zoned times in a way that pandas 3.1 deprecates; it concerns neither of the two here.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning")

VISITS = {
    "files": ["visits.csv"],
    "columns": {"event_time": "at", "customer_id": "who"},
    "constants": {"event_type": "visit"},
}
COLUMNS = {"anonymous_id": "cookie", "customer_id": "login", "known_time": "linked_at", "kind": "what"}
HEADER = "cookie,login,linked_at,what\n"
ANN = "phone,0012,2024-03-01 10:00:00,\n"
BOB = "tablet,NA,2024-03-02T09:30:00Z,alias\n"
FORGET_ANN = "phone,0012,2024-03-09 00:00:00,erase\n"


def source(max_reject_share=1.0, links=None, **crm):
    links = {"crm": {"files": ["links*"], "columns": COLUMNS, **crm}} if links is None else links
    whole = {"name": "test", "max_reject_share": max_reject_share, "feeds": {"visits": VISITS}, "links": links}
    return check(SourceConfig, whole, "source")


def deliver(folder, files):
    for name, content in {"visits.csv": "at,who\n2024-03-01,0012\n", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def ingest_text(folder, text, name="links.csv", **crm):
    return ingest(deliver(folder, {name: text}), source(**crm))


def links_of(result):
    days = result.links["known_time"].dt.strftime("%m-%d %H:%M")
    return list(zip(result.links["id_a"], result.links["id_b"], result.links["kind"], days, strict=True))


def assert_adds_up(result):
    report = result.report
    for account in [report, *report["files"], *report["feeds"].values()]:
        assert account["delivered"] == account["accepted"] + account["duplicates"] + account["rejected"]
    assert len(result.rejects) == report["rejected"]
    assert report["links"] == len(result.links)
    schema.to_arrow(result.links, schema.LINKS)
    schema.to_arrow(result.rejects, schema.REJECTS)
    json.dumps(report)


# --- what a row says ------------------------------------------------------------------------------------------------


def test_a_row_becomes_a_link(tmp_path):
    result = ingest_text(tmp_path, HEADER + ANN + BOB + FORGET_ANN)
    assert links_of(result) == [
        ("anonymous:phone", "customer:0012", "alias", "03-01 10:00"),
        ("anonymous:phone", "customer:0012", "erase", "03-09 00:00"),
        ("anonymous:tablet", "customer:NA", "alias", "03-02 09:30"),
    ]
    assert set(result.links["source"]) == {"crm"}
    assert result.links["probability"].isna().all()
    counts = "delivered 4 = accepted 4 + duplicates 0 + rejected 0; 1 events, 3 links told of"
    assert result.summary == f"{counts}; no second clock: feed visits"
    assert_adds_up(result)


def test_what_a_file_may_say_is_known_to_the_ledger():
    assert set(KINDS) <= set(schema.LINK_KINDS)


@pytest.mark.parametrize(
    ("one", "other", "ends"),
    [
        ("customer_id", "other_customer_id", ("customer:a", "customer:b")),
        ("anonymous_id", "other_anonymous_id", ("anonymous:a", "anonymous:b")),
        ("other_anonymous_id", "other_customer_id", ("anonymous:b", "customer:a")),
        ("customer_id", "anonymous_id", ("anonymous:a", "customer:b")),
    ],
)
def test_two_ends_of_any_kind_are_linked_whichever_way_they_are_told(tmp_path, one, other, ends):
    columns = {one: "left", other: "right", "known_time": "at"}
    there, back = "b,a,2024-03-01\n", "a,b,2024-03-01\n"
    result = ingest_text(tmp_path, "left,right,at\n" + there, columns=columns)
    assert tuple(result.links.loc[0, ["id_a", "id_b"]]) == ends
    if one.removeprefix("other_") == other.removeprefix("other_"):
        both = ingest_text(tmp_path, "left,right,at\n" + there + back, columns=columns)
        assert_frame_equal(both.links, result.links)
        assert both.report["feeds"]["crm"]["duplicates"] == 1


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "csv.zst", "tsv", "jsonl", "jsonl.gz", "ndjson.zst", "parquet"])
def test_every_format_gives_the_same_links(tmp_path, kind):
    expected = ingest_text(tmp_path / "plain", HEADER + ANN + BOB).links
    rows = [dict(zip(HEADER.strip().split(","), r.strip().split(","), strict=True)) for r in (ANN, BOB)]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "made")
        content = (tmp_path / "made").read_bytes()
    elif "json" in kind:
        content = "".join(json.dumps(r) + "\n" for r in rows).encode()
    else:
        content = (HEADER + ANN + BOB).replace(",", "\t" if kind == "tsv" else ",").encode()
    packers = {"gz": gzip.compress, "zst": zstandard.compress}
    content = packers.get(kind.rpartition(".")[2], bytes)(content)
    assert_frame_equal(ingest_text(tmp_path / "other", content, f"links.{kind}").links, expected)


def test_times_and_text_are_read_as_those_of_events(tmp_path):
    text = "phone;0012;01.07.2024 10:00;\n"
    layout = {"header": HEADER.strip().split(","), "delimiter": ";", "time_format": "%d.%m.%Y %H:%M"}
    result = ingest_text(tmp_path, text, time_zone="Europe/Berlin", **layout)
    assert links_of(result) == [("anonymous:phone", "customer:0012", "alias", "07-01 08:00")]


def test_a_link_that_came_about_is_known_after_the_delay_where_nothing_else_is_said(tmp_path):
    text = "cookie,login,made,told\na,1,2024-03-01,\nb,1,2024-03-01,2024-03-05\nc,1,2024-03-05,2024-03-01\n"
    text += "d,1,,2024-03-07\ne,1,,\nf,1,soon,2024-03-07\n"
    columns = {"anonymous_id": "cookie", "customer_id": "login", "event_time": "made", "known_time": "told"}
    layout = {"known_delay_minutes": 24 * 60, "max_clock_skew_minutes": None}
    result = ingest_text(tmp_path, text, columns=columns, **layout)
    assert [(a, known) for a, _, _, known in links_of(result)] == [
        ("anonymous:a", "03-02 00:00"),
        ("anonymous:b", "03-05 00:00"),
        ("anonymous:c", "03-05 00:00"),  # nothing is known before it happens
        ("anonymous:d", "03-07 00:00"),
    ]
    assert result.rejects[["line", "rule"]].values.tolist() == [[6, "known_time"], [7, "event_time"]]
    assert result.report["feeds"]["crm"]["known_time_from"] == ["column", "event_time"]
    assert "no second clock: feed visits, crm (some rows)" in result.summary
    assert_adds_up(result)
    del columns["known_time"]
    result = ingest_text(tmp_path, text, columns=columns)
    assert result.rejects["reason"].tolist()[:2] == ["event_time is missing"] * 2


@pytest.mark.parametrize("is_delivered", [False, True])
@pytest.mark.parametrize(("limit", "names"), [(60, "ab"), (59, "a"), (61, "abc"), (None, "abcd")])
def test_a_link_from_the_future_of_its_delivery_is_accepted_up_to_the_limit(tmp_path, is_delivered, limit, names):
    times = {"a": "2024-03-05T23:59", "b": "2024-03-06T00:59:59", "c": "2024-03-06T01:00:59", "d": "2042-01-01"}
    told = "" if is_delivered else "2024-03-05T23:59:59"
    text = "cookie,login,made,told\n" + "".join(f"{name},1,{made},{told}\n" for name, made in times.items())
    columns = {"anonymous_id": "cookie", "customer_id": "login", "event_time": "made", "known_time": "told"}
    feed = {
        "columns": columns,
        "max_clock_skew_minutes": limit,
        "delivered": "links-(.*).csv" if is_delivered else None,
    }
    result = ingest_text(tmp_path, text, "links-2024-03-05.csv", **feed)
    assert result.links["id_a"].str.removeprefix("anonymous:").str.cat() == names
    assert set(result.rejects["rule"]) <= {"clock_skew"}
    if limit == 60:
        assert result.rejects["reason"].tolist()[-1] == (
            "event_time 2042-01-01 00:00:00Z is more than max_clock_skew_minutes = 60 after known_time"
            " 2024-03-05 23:59:59Z"
        )
    assert_adds_up(result)


def test_without_a_second_clock_a_link_of_the_future_waits_for_its_time(tmp_path):
    columns = {"anonymous_id": "cookie", "customer_id": "login", "event_time": "made"}
    result = ingest_text(tmp_path, "cookie,login,made\na,1,2042-01-01\n", columns=columns)
    assert result.links["known_time"].dt.year.tolist() == [2042]


def test_a_link_without_a_time_is_known_when_its_file_was_delivered(tmp_path):
    columns = {"anonymous_id": "cookie", "customer_id": "login"}
    feed = {"columns": columns, "delivered": r"links-(.*)\.csv"}
    result = ingest_text(tmp_path, HEADER + ANN, "links-2024-03-05.csv", **feed)
    assert links_of(result) == [("anonymous:phone", "customer:0012", "alias", "03-05 23:59")]
    columns |= {"known_time": "linked_at"}
    result = ingest_text(tmp_path, HEADER + ANN + "tablet,7,,\n", "links-2024-03-05.csv", **feed | {"columns": columns})
    assert [when for *_, when in links_of(result)] == ["03-01 10:00", "03-05 23:59"]  # a column knows better
    assert_adds_up(result)


# --- what is refused, what is the same ------------------------------------------------------------------------------


def test_rows_that_are_no_links_are_refused_with_the_reason(tmp_path):
    text = (
        HEADER
        + ANN
        + "".join(
            [
                ",0012,2024-03-01,\n",
                "phone, ,2024-03-01,\n",
                "phone,0012,yesterday,\n",
                "phone,0012,,\n",
                "phone,0012,2024-03-01,merge\n",
                "phone,0012\n",
            ]
        )
    )
    result = ingest_text(tmp_path, text)
    assert result.rejects[["source", "file", "line", "rule", "reason"]].values.tolist() == [
        ["crm", "links.csv", 3, "identity", "anonymous_id is missing: it takes two to link"],
        ["crm", "links.csv", 4, "identity", "customer_id is missing: it takes two to link"],
        [
            *("crm", "links.csv", 5, "known_time"),
            "known_time 'yesterday' is no time from 1970 to 2200 written as ISO 8601",
        ],
        ["crm", "links.csv", 6, "known_time", "known_time is missing"],
        ["crm", "links.csv", 7, "kind", "kind 'merge' is neither alias nor erase"],
        ["crm", "links.csv", 8, "fields", "2 fields where the header has 4"],
    ]
    assert len(result.links) == 1
    assert_adds_up(result)


def test_an_id_is_not_linked_to_itself(tmp_path):
    columns = {"customer_id": "a", "other_customer_id": "b", "known_time": "at"}
    result = ingest_text(tmp_path, "a,b,at\n7,7,2024-03-01\n7,8,2024-03-01\n", columns=columns)
    assert result.rejects["reason"].tolist() == ["'customer:7' is linked to itself"]
    assert result.report["links"] == 1


def test_a_device_and_a_customer_of_one_name_are_two_ids(tmp_path):
    result = ingest_text(tmp_path, HEADER + "7,7,2024-03-01,\n")
    assert links_of(result) == [("anonymous:7", "customer:7", "alias", "03-01 00:00")]


def test_too_many_rejects_stop_the_run(tmp_path):
    text = HEADER + ANN + "phone,,2024-03-01,\n"
    with pytest.raises(InputError, match=r"feed crm: 1 of 2 rows \(50.0%\) break the contract, .* 1 times identity"):
        ingest_text(tmp_path, text, max_reject_share=0.4)
    assert ingest_text(tmp_path, text, max_reject_share=0.5).report["links"] == 1


def test_a_link_told_again_at_another_time_stays_and_an_exact_repeat_does_not(tmp_path):
    again = "phone,0012,2024-04-01,\n"
    result = ingest_text(tmp_path, HEADER + ANN + again + ANN + "phone,0012,2024-03-01T10:00Z,alias\n")
    assert [row[3] for row in links_of(result)] == ["03-01 10:00", "04-01 00:00"]
    account = result.report["feeds"]["crm"]
    assert (account["accepted"], account["duplicates"], account["links"], account["events"]) == (2, 2, 2, 0)
    assert_adds_up(result)


def test_of_two_feeds_that_tell_of_a_link_the_first_by_name_is_its_source(tmp_path):
    folder = deliver(tmp_path, {"b.csv": HEADER + ANN, "a.csv": HEADER + ANN + BOB})
    links = {"graph": {"files": ["b.csv"], "columns": COLUMNS}, "crm": {"files": ["a.csv"], "columns": COLUMNS}}
    result = ingest(folder, source(links=links))
    assert result.links["source"].tolist() == ["crm", "crm"]
    assert [result.report["feeds"][feed]["links"] for feed in ("crm", "graph")] == [2, 1]  # what each tells of


def test_links_change_no_event(tmp_path):
    with_links = ingest_text(tmp_path, HEADER + ANN)
    without = ingest(tmp_path, source(links={}))
    assert_frame_equal(with_links.events, without.events)
    assert without.links.empty
    assert "links" not in without.summary
    schema.to_arrow(without.links, schema.LINKS)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_order_split_and_repeats_change_no_link(tmp_path_factory, seed, n_files):
    draw = random.Random(seed)
    rows = [
        f"d{draw.randint(1, 3)},c{draw.randint(1, 3)},2024-01-{draw.randint(1, 4):02d},{draw.choice(['', *KINDS])}\n"
        for _ in range(12)
    ]
    one = ingest_text(tmp_path_factory.mktemp("one"), HEADER + "".join(rows))
    rows += draw.choices(rows, k=4)
    draw.shuffle(rows)
    split = {f"links{n}.csv": HEADER + "".join(rows[n::n_files]) for n in range(n_files)}
    many = ingest(deliver(tmp_path_factory.mktemp("many"), split), source())
    assert_frame_equal(one.links, many.links)
    assert many.report["feeds"]["crm"]["accepted"] == one.report["feeds"]["crm"]["accepted"]
    assert_adds_up(many)


def test_who_is_who_follows_what_files_told_when_it_was_known(tmp_path):
    visits = "at,who,device\n2024-02-01,0012,\n2024-02-02,,phone\n2024-02-03,,tv\n"
    visited = {**VISITS, "columns": {"event_time": "at", "customer_id": "who", "anonymous_id": "device"}}
    whole = source().model_dump() | {"feeds": {"visits": visited}}
    files = {"visits.csv": visits, "links.csv": HEADER + ANN + FORGET_ANN}
    result = ingest(deliver(tmp_path, files), check(SourceConfig, whole, "source"))
    identities = index_identities(result.events, link_identities(result.events, result.links))

    def persons(night):
        codes = identities.persons(pd.Timestamp(night, tz="UTC").value // 1000)
        return identities.person_ids[codes].tolist()

    apart = ["customer:0012", "anonymous:phone", "anonymous:tv"]
    assert persons("2024-03-01 10:00") == apart  # not yet: what is known at the cut-off is not known before it
    assert persons("2024-03-02") == ["customer:0012", "customer:0012", "anonymous:tv"]
    assert persons("2024-03-10") == apart


# --- settings and files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"customer_id": "a", "known_time": "t"}}, "a link has two ends"),
        ({"columns": {"known_time": "t"}}, "other_customer_id; columns names none"),
        (
            {"columns": {**COLUMNS, "other_customer_id": "c"}},
            "columns names anonymous_id, customer_id and other_customer_id",
        ),
        ({"columns": {**COLUMNS, "event_type": "c"}}, "event_type is no field of a link; there are anonymous_id"),
        ({"columns": {"customer_id": "a", "anonymous_id": "b"}}, "columns names neither known_time nor event_time"),
        ({"files": ["../secret.csv"]}, "does not stay below the landing folder"),
        ({"time_zone": "Europe/Londn"}, "is no time zone"),
        ({"colums": {}}, "colums is not a setting; there are columns, delimiter"),
    ],
)
def test_a_wrong_mapping_is_refused_in_one_sentence(change, message):
    with pytest.raises(InputError) as stop:
        source(**change)
    assert message in str(stop.value)
    assert "\n" not in str(stop.value)


def test_the_example_of_the_documentation_works(tmp_path):
    section = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8").split("## Link files")[1]
    told = yaml.safe_load(section.split("```yaml\n")[1].split("```")[0])["links"]
    merged = json.dumps({"kept": 12, "merged": 7, "at": "2024-03-05T00:00:00Z"})
    files = {"links/03.csv": HEADER + ANN + FORGET_ANN, "merges/03.jsonl.gz": gzip.compress(merged.encode())}
    result = ingest(deliver(tmp_path, files), source(links=told))
    assert links_of(result) == [
        ("anonymous:phone", "customer:0012", "alias", "03-01 10:00"),
        ("anonymous:phone", "customer:0012", "erase", "03-09 00:00"),
        ("customer:12", "customer:7", "alias", "03-05 00:00"),
    ]


def test_a_feed_of_events_and_one_of_links_have_names_of_their_own():
    with pytest.raises(InputError, match="visits is among feeds and among links; each needs a name of its own"):
        source(links={"visits": {"files": ["*"], "columns": COLUMNS}})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"no file matches links\* \(feed crm\); it holds visits.csv"),
        ({"links.csv": ""}, r"links.csv is empty"),
        ({"links.csv": HEADER}, r"feed crm: links.csv held no rows"),
        ({"links.csv": "cookie,login,what\n"}, r"links.csv has no column linked_at, .* it has cookie, login, what"),
        ({"links.csv.gz": gzip.compress((HEADER + ANN).encode())[:-9]}, r"links.csv.gz cannot be read as gzip"),
    ],
)
def test_what_cannot_be_used_stops_the_run_in_one_sentence(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as stop:
        ingest(deliver(tmp_path, files), source())
    assert "\n" not in str(stop.value)


def test_the_step_writes_the_links_also_where_there_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    deliver(Path("in"), {"links.csv": HEADER + ANN + ANN})
    for links, n in (({}, 0), (None, 1)):
        settings_ = {"landing": "in", "identity": {}, "source": source(links=links).model_dump(mode="json")}
        Path("resolved.yaml").write_text(yaml.safe_dump(settings_))
        step.main()
        told = told_links(Store())
        assert list(told) == list(schema.LINKS.columns)
        assert told["id_a"].tolist() == ["anonymous:phone"] * n
        assert str(told["known_time"].dtype) == "datetime64[us, UTC]"
    account = tables.read_json(tables.REPORTS / "ingest.json")["feeds"]["crm"]
    assert account == {
        **{"delivered": 2, "accepted": 1, "duplicates": 1, "rejected": 0, "left_out": 0},
        **{"events": 0, "restated": 0, "links": 1, "empty_columns": ["what"]},
        **{"known_time_from": ["column"], "known_delay_minutes": 0},
    }
