"""What is delivered becomes events; what is not an event is said, with file, line and reason."""

import gzip
import json
import random
from datetime import date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from ingested import ingest
from table_facts import TableFacts
from waymark import schema
from waymark.clock import known_before, latest_cutoff
from waymark.config import SourceConfig, check
from waymark.errors import InputError

# pyarrow reads zoned times in a way that pandas 3.1 deprecates; it concerns neither of the two here.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning")

HEADER = "id,at,who,device,what,amount\n"
ANN = "1,2024-03-01 10:00:00,00123,d1,visit,\n"
BOB = "2,2024-03-01 11:00:00,NA,d2,order,12.50\n"
COLUMNS = {
    "event_id": "id",
    "event_time": "at",
    "customer_id": "who",
    "anonymous_id": "device",
    "event_type": "what",
    "value": "amount",
}


def source(max_reject_share=1.0, **feed):
    feed = {"files": ["*"], "columns": COLUMNS, **feed}
    return check(SourceConfig, {"name": "test", "max_reject_share": max_reject_share, "feeds": {"web": feed}}, "source")


def deliver(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def ingest_text(folder, text, name="a.csv", **feed):
    return ingest(deliver(folder, {name: text}), source(**feed))


def rows_of(result, *columns):
    return result.events[list(columns)].values.tolist()


def assert_adds_up(result):
    report = result.report
    for account in [report, *report["files"], *report["feeds"].values()]:
        assert account["delivered"] == account["accepted"] + account["duplicates"] + account["rejected"]
    assert len(result.rejects) == report["rejected"]
    assert report["delivered"] == sum(f["delivered"] for f in report["files"])
    schema.to_arrow(result.events, schema.EVENTS)
    schema.to_arrow(result.rejects, schema.REJECTS)
    json.dumps(report)


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_row_becomes_an_event(tmp_path):
    result = ingest_text(tmp_path, HEADER + ANN + BOB)
    event = result.events.iloc[1]
    assert event["event_time"] == pd.Timestamp("2024-03-01 11:00", tz="UTC")
    assert event["known_time"] == event["event_time"]
    assert event[["event_id", "source", "actor", "sequence", "value_cents"]].tolist() == [
        "2",
        "web",
        "customer",
        0,
        1250,
    ]
    assert result.summary == "delivered 2 = accepted 2 + duplicates 0 + rejected 0; 2 events; no second clock: feed web"
    assert_adds_up(result)


def test_text_stays_text(tmp_path):
    long = "3,2024-03-01 12:00:00,12345678901234567890,1e5,visit,\n"
    assert rows_of(ingest_text(tmp_path, HEADER + ANN + BOB + long), "customer_id", "anonymous_id") == [
        ["00123", "d1"],
        ["NA", "d2"],
        ["12345678901234567890", "1e5"],
    ]


def as_json_lines(rows):
    names = HEADER.strip().split(",")
    return "".join(json.dumps(dict(zip(names, r.strip().split(","), strict=True))) + "\n" for r in rows)


def as_parquet(rows, path):
    names = HEADER.strip().split(",")
    pq.write_table(pa.table(dict(zip(names, zip(*(r.strip().split(",") for r in rows)), strict=True))), path)
    return path.read_bytes()


@pytest.mark.parametrize(
    "kind", ["csv", "csv.gz", "csv.zst", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "ndjson.zst", "parquet"]
)
def test_every_format_gives_the_same_events(tmp_path, kind):
    expected = ingest_text(tmp_path / "plain", HEADER + ANN + BOB).events
    text = {"j": as_json_lines([ANN, BOB]), "n": as_json_lines([ANN, BOB])}.get(kind[0], HEADER + ANN + BOB)
    content = text.replace(",", "\t" if kind.startswith("tsv") else ",").encode()
    if kind == "parquet":
        content = as_parquet([ANN, BOB], tmp_path / "made")
    content = gzip.compress(content) if kind.endswith("gz") else content
    content = zstandard.compress(content) if kind.endswith("zst") else content
    result = ingest(deliver(tmp_path / "x", {f"deep/er/file.{kind}": content}), source(files=["**/file.*"]))
    assert_frame_equal(result.events, expected)
    assert_adds_up(result)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + ANN + BOB,
        (HEADER + ANN + BOB).replace("\n", "\r\n"),
        HEADER + ANN + BOB.rstrip("\n"),
        HEADER + "\n" + ANN + "\n\n" + BOB + "\n",
        HEADER.replace(",", " , ") + ANN.replace(",", " , ") + BOB,
        '"id","at","who","device","what","amount"\n' + ANN + '"2","2024-03-01 11:00:00","NA","d2","order","12.50"\n',
    ],
    ids=["byte-order mark", "carriage returns", "no last line break", "empty lines", "blanks", "quotes"],
)
def test_the_dress_of_a_csv_file_changes_nothing(tmp_path, text):
    plain = ingest_text(tmp_path / "plain", HEADER + ANN + BOB)
    dressed = ingest_text(tmp_path / "dressed", text)
    assert_frame_equal(dressed.events, plain.events)
    assert dressed.report["delivered"] == 2


def test_typed_columns_keep_their_exact_values(tmp_path):
    table = pa.table(
        {
            "id": pa.array([7, 2**62, None], pa.int64()),
            "at": pa.array(
                [datetime(2024, 3, 1), datetime(2024, 3, 2, 1, 2, 3, 450000), datetime(2024, 3, 3)], pa.timestamp("ns")
            ),
            "who": pa.array([17850, None, 17851], pa.int64()),
            "device": pa.array([1.0, 2.5, None]),
            "what": pa.array(["a", "b", "a"]).dictionary_encode(),
            "amount": pa.array([Decimal("12.50"), None, Decimal("-0.01")], pa.decimal128(9, 2)),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    result = ingest(tmp_path, source())
    assert rows_of(result, "customer_id", "anonymous_id", "value_cents")[0] == ["17850", "1", 1250]
    assert result.events["event_id"].tolist()[:2] == ["7", str(2**62)]
    assert result.events["anonymous_id"].tolist()[1] == "2.5"
    assert result.events["value_cents"].tolist()[2] == -1
    assert result.events["event_time"].iloc[1] == pd.Timestamp("2024-03-02 01:02:03.45", tz="UTC")


def test_dates_and_zoned_times_of_parquet_convert(tmp_path):
    days = pa.table({"at": pa.array([date(2024, 7, 1)]), "who": ["x"]})
    zoned = pa.table({"at": pa.array([datetime(2024, 7, 1, 12)], pa.timestamp("ms", "America/New_York")), "who": ["x"]})
    pq.write_table(days, tmp_path / "a.parquet")
    pq.write_table(zoned, tmp_path / "b.parquet")
    columns = {"event_time": "at", "customer_id": "who"}
    result = ingest(tmp_path, source(columns=columns, constants={"event_type": "x"}, time_zone="Europe/Berlin"))
    assert [t.isoformat() for t in result.events["event_time"]] == [
        "2024-06-30T22:00:00+00:00",
        "2024-07-01T12:00:00+00:00",
    ]


def test_a_quoted_cell_may_hold_delimiters_quotes_and_line_breaks(tmp_path):
    text = 'at,who,what\n2024-01-01,ann,"said ""no"",\nand left"\n2024-01-02,bob,visit\n'
    result = ingest_text(tmp_path, text, columns={"event_time": "at", "customer_id": "who", "event_type": "what"})
    assert rows_of(result, "event_type") == [['said "no",\nand left'], ["visit"]]


def test_other_delimiters_headers_and_quoting_can_be_named(tmp_path):
    columns = {"event_time": "at", "customer_id": "who", "event_type": "what", "value": "amount"}
    text = '2024-01-01;ann;"say;1.50\n'
    feed = {"header": ["at", "who", "what", "amount"], "delimiter": ";", "quoting": False}
    assert rows_of(ingest_text(tmp_path, text, columns=columns, **feed), "event_type", "value_cents") == [['"say', 150]]


# --- rows that cannot be read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "rule", "reason"),
    [
        (b"3,2024-03-01,ann\n", "fields", "3 fields where the header has 6"),
        (b"3,2024-03-01,ann,d,visit,1,2\n", "fields", "7 fields"),
        (b"3,2024-03-01,ann,d,vi\0sit,\n", "encoding", "holds NUL"),
        (b"3,2024-03-01,J\xf6rg,d,visit,\n", "encoding", "byte 15 of the line is not UTF-8"),
        (b'3,2024-03-01,"ann,d,visit,\n', "quotes", "quote"),
        (b'3,2024-03-01,"ann"x,d,visit,\n', "quotes", "not balanced"),
        (b"3,2024-03-01,an\rn,d,visit,\n", "quotes", "carriage return"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_unreadable_row_is_rejected_alone(tmp_path, line, rule, reason, place):
    lines = [ANN.encode(), BOB.encode()]
    lines.insert(place, line)
    result = ingest(deliver(tmp_path, {"a.csv": HEADER.encode() + b"".join(lines)}), source())
    assert result.events["event_id"].tolist() == ["1", "2"]
    reject = result.rejects.iloc[0]
    assert reject[["source", "file", "line", "rule"]].tolist() == ["web", "a.csv", place + 2, rule]
    assert reason in reject["reason"]
    assert_adds_up(result)


def test_unbalanced_quotes_swallow_no_neighbours(tmp_path):
    broken = '3,2024-03-01,"ann,d,visit,\n'
    quoted = '4,2024-03-02,"eve",d,visit,\n'
    result = ingest_text(tmp_path, HEADER + broken + ANN + broken + quoted + BOB)
    assert result.events["event_id"].tolist() == ["1", "2", "4"]
    assert result.rejects["line"].tolist() == [2, 4]


def test_a_cut_off_last_line_is_rejected(tmp_path):
    result = ingest_text(tmp_path, HEADER + ANN + BOB[:20])
    assert result.rejects["reason"].tolist() == [
        "2 fields where the header has 6, and the file ends there without a line break: it may be cut off"
    ]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('{"id": 3, "at": ', "json"),
        ('["id"]', "json"),
        ("3", "json"),
        ('{"id": NaN}', "json"),
        ('{"id": "\\ud800"}', "encoding"),
        ('{"id": "\\u0000"}', "encoding"),
        ("[" * 5000, "json"),
    ],
)
def test_a_line_that_is_no_json_object_is_rejected_alone(tmp_path, line, rule):
    text = as_json_lines([ANN]) + line + "\n" + as_json_lines([BOB])
    result = ingest_text(tmp_path, text, "a.jsonl")
    assert result.events["event_id"].tolist() == ["1", "2"]
    assert result.rejects[["line", "rule"]].values.tolist() == [[2, rule]]
    assert_adds_up(result)


@given(st.lists(st.text('a1,"\n\r\0é', max_size=12), max_size=25), st.sampled_from(["a.csv", "a.jsonl"]))
def test_whatever_is_delivered_adds_up(tmp_path_factory, lines, name):
    text = HEADER + ANN + "".join(line + "\n" for line in lines) + BOB
    if name.endswith("jsonl"):
        text = as_json_lines([ANN]) + "".join(line + "\n" for line in lines) + as_json_lines([BOB])
    result = ingest_text(tmp_path_factory.mktemp("x"), text, name)
    assert {"1", "2"} <= set(result.events["event_id"])
    assert_adds_up(result)


# --- rows that break the contract -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "rule", "reason"),
    [
        ("3,,ann,d,visit,,,", "event_time", "event_time is missing"),
        ("3,2024-13-45,ann,d,visit,,,", "event_time", "event_time '2024-13-45' is no time"),
        ("3,1969-12-31,ann,d,visit,,,", "event_time", "from 1970 to 2200"),
        ("3,2201-01-01,ann,d,visit,,,", "event_time", "from 1970 to 2200"),
        ("3,2024-03-01, , ,visit,,,", "identity", "neither anonymous_id nor customer_id"),
        ("3,2024-03-01,ann,d, ,,,", "event_type", "event_type is missing"),
        ("3,2024-03-01,ann,d,visit,,robot,", "actor", "actor 'robot' is none of customer, brand, system"),
        ("3,2024-03-01,ann,d,visit,12x,,", "value", "value '12x' is no number"),
        (
            '3,2024-03-01,ann,d,visit,"1,5",,',
            "value",
            """value '1,5' is no number; it is one with `decimal_mark: ","`""",
        ),
        ("3,2024-03-01,ann,d,visit,nan,,", "value", "value 'nan' is no number"),
        ("3,2024-03-01,ann,d,visit,1e30,,", "value", "value '1e30' is too large"),
        ("3,2024-03-01,ann,d,visit,,,soon", "known_time", "known_time 'soon' is no time"),
    ],
)
def test_a_breach_of_the_contract_is_rejected_with_its_value(tmp_path, row, rule, reason):
    header = "id,at,who,device,what,amount,actor,known\n"
    good = "1,2024-03-01,ann,d,visit,,,\n"
    columns = {**COLUMNS, "actor": "actor", "known_time": "known"}
    result = ingest_text(tmp_path, header + good + row + "\n" + good.replace("1,", "2,", 1), columns=columns)
    assert result.rejects[["line", "rule"]].values.tolist() == [[3, rule]]
    assert reason in result.rejects["reason"].iloc[0]
    assert result.events["event_id"].tolist() == ["1", "2"]
    assert_adds_up(result)


def test_sequence_and_numbers_must_be_numbers(tmp_path):
    text = "at,who,n,x\n2024-01-01,a,1,1.5\n2024-01-01,a,1.5,1\n2024-01-01,a,2,much\n2024-01-01,a,,\n"
    columns = {"event_time": "at", "customer_id": "who", "sequence": "n"}
    result = ingest_text(tmp_path, text, columns=columns, constants={"event_type": "e"}, numbers={"x": "x"})
    assert result.rejects["rule"].tolist() == ["sequence", "number"]
    assert result.events["sequence"].tolist() == [0, 1]
    assert result.events["num_x"].tolist()[1] == 1.5
    assert pd.isna(result.events["num_x"].iloc[0])


def test_rows_in_order_keep_their_order_within_a_moment(tmp_path):
    text = "at,who,what\n2024-01-01,a,start\n2024-01-01,a,decide\n2024-01-01,a,close\n"
    columns = {"event_time": "at", "customer_id": "who", "event_type": "what"}
    result = ingest_text(tmp_path, text, columns=columns, rows_in_order=True)
    assert result.events["event_type"].tolist() == ["start", "decide", "close"]
    assert result.events["sequence"].tolist() == [2, 3, 4]


def test_the_line_of_a_row_in_order_is_nothing_that_it_says(tmp_path):
    columns = {"event_id": "id", "event_time": "at", "known_time": "known", "customer_id": "who", "event_type": "what"}
    header, row = "id,at,known,who,what\n", "1,2024-01-01,2024-01-0{},a,start\n"
    (tmp_path / "a.csv").write_text(header + row.format(1) + row.format(1), encoding="utf-8")
    text = header + "2,2024-01-01,2024-01-02,a,close\n" + row.format(1) + row.format(3)
    result = ingest_text(tmp_path, text, "b.csv", columns=columns, rows_in_order=True)
    assert result.report["duplicates"] == 3
    assert result.events["superseded_time"].isna().all()
    assert len(result.rejects) == 0


def test_rows_are_ordered_in_one_way(tmp_path):
    columns = {**COLUMNS, "sequence": "n"}
    with pytest.raises(InputError, match="rows_in_order both order events of one moment"):
        ingest_text(tmp_path, HEADER + ANN, columns=columns, rows_in_order=True)


def test_too_many_rejects_stop_the_run_and_name_the_worst(tmp_path):
    text = HEADER + ANN * 7 + "3,yesterday,a,d,visit,\n" * 2 + "4,2024-01-01,,,visit,\n"
    with pytest.raises(InputError) as stop:
        ingest_text(tmp_path, text, max_reject_share=0.2)
    assert str(stop.value) == (
        "feed web: 3 of 10 rows (30.0%) break the contract, more than max_reject_share = 0.2 allows: "
        "2 times event_time (as in a.csv:9: event_time 'yesterday' is no time from 1970 to 2200 written as ISO 8601); "
        "1 times identity (as in a.csv:11: neither anonymous_id nor customer_id is given); "
        "no row fills the mapped column amount; there are id, at, who, device, what, amount"
    )
    assert ingest_text(tmp_path, text, max_reject_share=0.3).report["rejected"] == 3


def test_rows_left_out_by_choice_do_not_count_as_breaches(tmp_path):
    text = HEADER + ANN + BOB * 9
    result = ingest_text(tmp_path, text, max_reject_share=0, keep_rows={"what": ["visit"]})
    assert (result.report["left_out"], result.report["rejected"], result.report["events"]) == (9, 9, 1)
    assert result.rejects["reason"].iloc[0] == "what is 'order', kept: visit"
    assert result.report["rejects_by_rule"] == {"left_out": 9}
    assert_adds_up(result)


# --- files that stop the run ----------------------------------------------------------------------------------------

LONG = (HEADER + "".join(f"{i},2024-03-01,a{i * 7919 % 1000},d,visit,{i}\n" for i in range(500))).encode()


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_a_truncated_or_damaged_packed_file_stops_the_run(tmp_path, packing):
    whole = gzip.compress(LONG) if packing == "gz" else zstandard.ZstdCompressor(write_checksum=True).compress(LONG)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    broken = [whole[:n] for n in (1, 5, 30, len(whole) // 2, len(whole) - 1)] + [bytes(flipped), LONG, whole + b"tail"]
    for content in broken:
        with pytest.raises(InputError, match=rf"a\.csv\.{packing} cannot be read as \w+ to its end: .* damaged"):
            ingest(deliver(tmp_path, {f"a.csv.{packing}": content}), source())


def test_a_truncated_or_damaged_parquet_file_stops_the_run(tmp_path):
    pq.write_table(pa.table({"id": [str(i) for i in range(5000)]}), tmp_path / "made", write_page_checksum=True)
    whole = (tmp_path / "made").read_bytes()
    (tmp_path / "made").unlink()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    columns = {"event_time": "id", "customer_id": "id", "event_type": "id"}
    for content in (whole[: len(whole) // 2], whole[:-1], b"PAR1", bytes(flipped)):
        with pytest.raises(InputError, match=r"a\.parquet cannot be read as Parquet: it is cut off or damaged"):
            ingest(deliver(tmp_path, {"a.parquet": content}), source(columns=columns))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"b.txt": "x"}, "no file matches \\*.csv \\(feed web\\); it holds b.txt"),
        ({"a.csv": ""}, "a.csv is empty"),
        ({"a.csv": HEADER}, "feed web: a.csv held no rows"),
        ({"a.csv": "id,at,who\n1,2,3\n"}, "a.csv has no column amount, device, what, .* it has id, at, who"),
        ({"a.csv": "id,id,at\n"}, "a.csv: the header names 'id' more than once"),
        ({"a.csv": HEADER + ANN + HEADER + BOB}, "a.csv: line 3 repeats the header"),
        ({"a.csv": (HEADER + ANN).encode("utf-16")}, "a.csv is not UTF-8 text"),
        ({"a.csv": (HEADER + ANN).encode("utf-16-le")}, "a.csv is not UTF-8 text"),
        ({"a.csv": "naïve,at\n".encode("latin-1")}, "a.csv is not UTF-8 text"),
    ],
)
def test_what_cannot_be_used_stops_the_run_in_one_sentence(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as stop:
        ingest(deliver(tmp_path, files), source(files=["*.csv"]))
    assert "\n" not in str(stop.value)


def test_a_missing_and_an_empty_landing_folder_stop_the_run(tmp_path):
    with pytest.raises(InputError, match=r"landing folder .*nowhere does not exist"):
        ingest(tmp_path / "nowhere", source())
    with pytest.raises(InputError, match="no file matches \\* \\(feed web\\); the folder is empty"):
        ingest(tmp_path, source())


def test_hidden_files_are_not_deliveries(tmp_path):
    files = {"a.csv": HEADER + ANN, ".a.csv.part": "half", ".b.csv": HEADER + BOB, ".old/c.csv": HEADER + BOB}
    result = ingest(deliver(tmp_path, files), source(files=["*", "**/*.csv"]))
    assert [f["file"] for f in result.report["files"]] == ["a.csv"]


def test_an_unknown_ending_needs_a_format(tmp_path):
    with pytest.raises(InputError, match=r"part-00000: no format is known .* set `format`"):
        ingest(deliver(tmp_path, {"part-00000": HEADER + ANN}), source())
    assert ingest(tmp_path, source(format="csv")).report["events"] == 1


def test_a_path_that_no_json_row_has_is_named_with_the_keys_there_are(tmp_path):
    columns = {"event_time": "timestmap", "customer_id": "who", "event_type": "what"}
    with pytest.raises(InputError, match="no row fills the mapped column timestmap; there are id, at, who"):
        ingest_text(tmp_path, as_json_lines([ANN, BOB]), "a.jsonl", columns=columns)


# --- duplicates, order, files ---------------------------------------------------------------------------------------


def test_exact_duplicates_and_delivered_ids_count_once(tmp_path):
    result = ingest_text(tmp_path, HEADER + ANN + BOB + ANN + BOB)
    assert (result.report["accepted"], result.report["duplicates"]) == (2, 2)
    no_id = {k: v for k, v in COLUMNS.items() if k != "event_id"}
    result = ingest_text(tmp_path, HEADER + ANN + BOB + ANN + CONFLICT, columns=no_id)
    assert (result.report["accepted"], result.report["duplicates"]) == (3, 1)
    assert_adds_up(result)


# --- conflicts ------------------------------------------------------------------------------------------------------

CONFLICT = "1,2024-03-01 10:00:00,eve,d1,order,\n"  # another event under the id and the time of Ann's


def test_a_row_that_contradicts_another_of_its_id_and_time_is_refused_with_how_to_date_it(tmp_path):
    result = ingest_text(tmp_path, HEADER + ANN + BOB + CONFLICT + ANN)
    assert result.events["customer_id"].tolist() == ["00123", "NA"]  # the first delivery stays
    assert result.rejects[["file", "line", "rule"]].values.tolist() == [["a.csv", 4, "conflict"]]
    assert result.rejects["reason"].tolist() == [
        "event_id '1' was told in a.csv:2 with the same known_time and another customer_id, event_type; if it was"
        " restated since, date such rows by a column for known_time or by `delivered`"
    ]
    report = result.report
    assert (report["accepted"], report["duplicates"], report["rejected"]) == (2, 1, 1)
    assert report["rejects_by_rule"] == {"conflict": 1}
    assert_adds_up(result)


def test_the_first_of_contradicting_rows_by_file_and_line_stays_and_its_repeats_are_duplicates(tmp_path):
    files = {"b.csv": HEADER + ANN + CONFLICT, "a.csv": HEADER + BOB + CONFLICT + CONFLICT, "c.csv": HEADER + ANN}
    result = ingest(deliver(tmp_path, files), source())
    assert result.events["customer_id"].tolist() == ["eve", "NA"]
    assert result.rejects[["file", "line"]].values.tolist() == [["b.csv", 2], ["c.csv", 2]]
    counts = {f["file"]: (f["accepted"], f["duplicates"], f["rejected"]) for f in result.report["files"]}
    assert counts == {"a.csv": (2, 1, 0), "b.csv": (0, 1, 1), "c.csv": (0, 0, 1)}
    assert_adds_up(result)


def test_too_many_conflicts_stop_the_run_for_the_mapping_may_be_wrong(tmp_path):
    text = HEADER + ANN + BOB + CONFLICT
    with pytest.raises(InputError, match=r"1 of 3 rows .* break the contract, .* 1 times conflict \(as in a.csv:4"):
        ingest_text(tmp_path, text, max_reject_share=0.3)
    assert ingest_text(tmp_path, text, max_reject_share=0.34).report["rejected"] == 1


def test_a_contradicting_line_adds_nothing_to_its_order(tmp_path):
    text = "line,at,order,cents\n" + "".join(f"{line},2024-01-01,o1,{n}\n" for line, n in [(1, 5), (2, 7), (2, 8)])
    columns = {"event_id": "line", "event_time": "at", "customer_id": "order", "value": "cents"}
    feed = {"columns": columns, "constants": {"event_type": "order"}, "value": "cents", "one_event_per": "order"}
    result = ingest_text(tmp_path, text, **feed)
    assert result.events["value_cents"].tolist() == [12]
    assert result.rejects["rule"].tolist() == ["conflict"]
    assert_adds_up(result)


def test_what_is_not_mapped_is_no_contradiction(tmp_path):
    text = "id,at,who,sent\n1,2024-01-01,ann,a\n1,2024-01-01,ann,b\n"
    columns = {"event_id": "id", "event_time": "at", "customer_id": "who"}
    result = ingest_text(tmp_path, text, columns=columns, constants={"event_type": "visit"})
    assert (result.report["duplicates"], result.report["rejected"]) == (1, 0)


# --- restatements ---------------------------------------------------------------------------------------------------

TOLD = {"event_id": "id", "event_time": "at", "known_time": "known", "customer_id": "who", "event_type": "what"}


def told(folder, *rows, **feed):
    """Ingest rows of `id, day it happened, day it was known, who, what`, of January 2024."""
    lines = (f"{i},2024-01-{at:02},2024-01-{known:02},{who},{what}\n" for i, at, known, who, what in rows)
    return ingest_text(folder, "id,at,known,who,what\n" + "".join(lines), columns=TOLD, **feed)


def versions(result, column="event_type"):
    """Return what was known from which day on until which, in the order in which it was."""
    events = result.events.sort_values(["event_id", "known_time"])
    days = [events[c].dt.strftime("%d").fillna("never") for c in ("known_time", "superseded_time")]
    return [list(row) for row in zip(events[column], *days, strict=True)]


def test_a_restatement_takes_the_place_of_the_event_from_when_it_is_known(tmp_path):
    result = told(tmp_path, (1, 1, 9, "ann", "third"), (1, 2, 5, "ann", "second"), (1, 1, 3, "ann", "first"))
    assert versions(result) == [["first", "03", "05"], ["second", "05", "09"], ["third", "09", "never"]]
    report = result.report
    assert (report["accepted"], report["duplicates"], report["events"], report["restated"]) == (3, 0, 1, 2)
    assert report["feeds"]["web"]["restated"] == 2
    assert result.summary.endswith("; 1 events, restated 2 times")
    assert_adds_up(result)


def test_the_same_told_again_is_a_duplicate_and_what_is_taken_back_is_not(tmp_path):
    rows = [(1, 1, known, "ann", what) for known, what in [(2, "a"), (3, "a"), (4, "b"), (5, "b"), (6, "a"), (6, "c")]]
    result = told(tmp_path, *rows)
    assert versions(result) == [["a", "02", "04"], ["b", "04", "06"], ["a", "06", "never"]]
    report = result.report
    assert (report["accepted"], report["duplicates"], report["rejected"]) == (3, 2, 1)  # two say what held on the 6th
    assert_adds_up(result)


@pytest.mark.parametrize("night", [2, 3, 4, 5, 6])
def test_a_restatement_changes_no_night_before_it(tmp_path, night):
    first, then = (1, 1, 2, "ann", "booked"), (1, 3, 4, "ann", "moved")
    both, alone = told(tmp_path / "both", first, then).events, told(tmp_path / "alone", first).events
    time = pd.Timestamp(f"2024-01-0{night}", tz="UTC")
    seen = known_before(both, time)
    holding = seen[seen["superseded_time"].isna()]
    if night <= 4:
        assert_frame_equal(seen, known_before(alone, time))
    assert holding["event_type"].tolist() == {2: [], 3: ["booked"], 4: ["booked"]}.get(night, ["moved"])


# --- when it was known, and whose clock is wrong --------------------------------------------------------------------

TIMES = {"event_time": "at", "known_time": "known", "customer_id": "who"}
VISIT = {"columns": TIMES, "constants": {"event_type": "visit"}}


def known_times(result):
    times = [str(t) for t in result.events["known_time"]]
    return dict(zip(result.events["customer_id"], times, strict=True))


@pytest.mark.parametrize(
    ("known", "name", "delivered", "clocks", "said"),
    [
        (("2024-01-05", "2024-01-06"), "a.csv", None, ["column"], ""),
        (("2024-01-05", ""), "a.csv", None, ["column", "event_time"], "; no second clock: feed web (some rows)"),
        (("", ""), "a.csv", None, ["event_time"], "; no second clock: feed web"),
        (("2024-01-05", ""), "2024-01-05.csv", "(.*).csv", ["column", "delivered"], ""),
        (("", ""), "2024-01-05.csv", "(.*).csv", ["delivered"], ""),
        (("2024-01-05", "soon"), "a.csv", None, ["column"], ""),  # what is refused tells nothing
    ],
)
def test_it_is_said_what_tells_when_the_rows_of_a_feed_were_known(tmp_path, known, name, delivered, clocks, said):
    text = "at,known,who\n" + "".join(f"2024-01-02,{k},ann\n" for k in known)
    result = ingest_text(tmp_path, text, name, **VISIT, delivered=delivered, known_delay_minutes=90)
    feed = result.report["feeds"]["web"]
    assert (feed["known_time_from"], feed["known_delay_minutes"]) == (clocks, 90)
    assert "".join(result.summary.partition("; no second clock")[1:]) == said


def test_an_event_is_known_when_its_column_says_else_after_the_delay(tmp_path):
    text = "at,known,who\n2024-01-02,2024-01-05,ann\n2024-01-02,,bob\n"
    assert known_times(ingest_text(tmp_path, text, **VISIT, known_delay_minutes=90)) == {
        "ann": "2024-01-05 00:00:00+00:00",
        "bob": "2024-01-02 01:30:00+00:00",
    }


@pytest.mark.parametrize(
    ("name", "form", "zone", "expected"),
    [
        ("2024-01-05.csv", "%Y-%m-%d", "UTC", "2024-01-05 23:59:59.999999+00:00"),
        ("2024-01-05.csv", "%Y-%m-%d", "Europe/Berlin", "2024-01-05 22:59:59.999999+00:00"),
        ("2024-03-31.csv", "%Y-%m-%d", "Europe/Berlin", "2024-03-31 21:59:59.999999+00:00"),  # a day of 23 hours
        ("24005.csv", "%y%j", "UTC", "2024-01-05 23:59:59.999999+00:00"),
        ("20240105T14.csv", "%Y%m%dT%H", "UTC", "2024-01-05 14:59:59.999999+00:00"),
        ("20240105T1430.csv", "%Y%m%dT%H%M", "UTC", "2024-01-05 14:30:59.999999+00:00"),
        ("20240105T143059.csv", "%Y%m%dT%H%M%S", "UTC", "2024-01-05 14:30:59.999999+00:00"),
        ("20240105T1430+0200.csv", "%Y%m%dT%H%M%z", "America/New_York", "2024-01-05 12:30:59.999999+00:00"),
    ],
)
def test_a_file_is_known_when_the_moment_in_its_name_has_passed(tmp_path, name, form, zone, expected):
    feed = {"files": ["deep/*"], "delivered": r"^deep/shop-(.+)\.csv", "delivered_format": form, "time_zone": zone}
    text = "at,known,who\n2024-01-02,,ann\n2024-01-02,2024-01-03T00:00Z,bob\n"
    result = ingest_text(tmp_path, text, f"deep/shop-{name}", **VISIT, **feed)
    assert known_times(result) == {"ann": expected, "bob": "2024-01-03 00:00:00+00:00"}  # a column knows better


@pytest.mark.parametrize(
    ("zone", "first"), [("UTC", "2024-01-06"), ("Asia/Tokyo", "2024-01-06"), ("America/New_York", "2024-01-07")]
)
def test_the_first_night_after_a_day_of_delivery_sees_it_and_none_before(tmp_path, zone, first):
    feed = {"delivered": r"(\d{4}-\d\d-\d\d)", "time_zone": zone}
    events = ingest_text(tmp_path, "at,known,who\n2024-01-02,,ann\n", "2024-01-05.csv", **VISIT, **feed).events
    night = latest_cutoff(TableFacts(events))
    assert night == pd.Timestamp(first, tz="UTC")
    assert len(known_before(events, night)) == 1
    assert known_before(events, night - pd.Timedelta(days=1)).empty


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("orders.csv", r"orders.csv: `delivered: .*` finds no date in its name; rename it"),
        ("2024-13-05.csv", r"2024-13-05.csv: '2024-13-05' in its name is no time written as %Y-%m-%d"),
        ("1969-01-05.csv", r"'1969-01-05' in its name is not between 1970 and 2200"),
        ("9999-12-31.csv", r"'9999-12-31' in its name is no"),
    ],
)
def test_a_file_without_a_date_of_delivery_stops_the_run(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        ingest_text(tmp_path, "at,known,who\n2024-01-02,,ann\n", name, **VISIT, delivered=r"(\d{4}-\d\d-\d\d)|rs")


@pytest.mark.parametrize(
    ("minutes", "limit", "is_accepted"),
    [(0, 0, True), (1, 0, False), (60, 60, True), (61, 60, False), (61, None, True), (10**7, None, True)],
)
def test_an_event_from_the_future_of_its_delivery_is_accepted_up_to_the_limit(tmp_path, minutes, limit, is_accepted):
    at = datetime(2024, 1, 2) + timedelta(minutes=minutes)
    text = f"at,known,who\n2024-01-01,2024-01-01,bob\n{at.isoformat()},2024-01-02,ann\n"
    result = ingest_text(tmp_path, text, **VISIT, max_clock_skew_minutes=limit)
    assert ("ann" in result.events["customer_id"].tolist()) == is_accepted
    assert result.rejects["rule"].tolist() == ["clock_skew"] * (not is_accepted)
    night = latest_cutoff(TableFacts(result.events))
    assert night == pd.Timestamp("2024-01-03" if is_accepted else "2024-01-02", tz="UTC")  # a booking moves no night
    assert_adds_up(result)


def test_a_wrong_clock_is_told_with_both_times_and_the_limit(tmp_path):
    text = "at,known,who\n2024-01-02,2024-01-02,bob\n2042-01-02,2024-01-02 10:00,ann\n"
    result = ingest_text(tmp_path, text, **VISIT)
    assert result.rejects["reason"].tolist() == [
        "event_time 2042-01-02 00:00:00Z is more than max_clock_skew_minutes = 60 after known_time 2024-01-02 10:00:00Z"
    ]


def test_the_date_of_a_file_also_tells_a_wrong_clock(tmp_path):
    text = "at,known,who\n2024-01-05 23:00,,ann\n2024-01-06 00:59,,bob\n2024-01-06 01:30,,eve\n"
    result = ingest_text(tmp_path, text, "2024-01-05.csv", **VISIT, delivered="(.*).csv")
    assert result.events["customer_id"].tolist() == ["ann", "bob"]
    assert result.rejects[["line", "rule"]].values.tolist() == [[4, "clock_skew"]]


def test_without_a_second_clock_the_future_cannot_be_told(tmp_path):
    events = ingest_text(tmp_path, "at,known,who\n2042-01-02,,ann\n", **VISIT, max_clock_skew_minutes=0).events
    assert latest_cutoff(TableFacts(events)) == pd.Timestamp("2042-01-03", tz="UTC")


def test_a_booking_that_is_cancelled_before_it_happens_never_happens(tmp_path):
    rows = [(1, 20, 2, "ann", "booking"), (1, 20, 5, "ann", "cancellation")]
    result = told(tmp_path, *rows, max_clock_skew_minutes=None)
    assert versions(result) == [["booking", "02", "05"], ["cancellation", "05", "never"]]
    assert known_before(result.events, pd.Timestamp("2024-01-20", tz="UTC")).empty
    assert_adds_up(result)


# --- files and feeds ------------------------------------------------------------------------------------------------


def test_the_same_id_in_two_feeds_is_two_events(tmp_path):
    deliver(tmp_path, {"web.csv": HEADER + ANN, "app.csv": HEADER + ANN})
    feeds = {name: {"files": [f"{name}.csv"], "columns": COLUMNS} for name in ("web", "app")}
    result = ingest(tmp_path, check(SourceConfig, {"name": "x", "feeds": feeds}, "source"))
    assert sorted(result.events["event_id"]) == ["app:1", "web:1"]
    assert result.report["feeds"]["app"]["events"] == 1


def test_an_empty_new_column_does_not_make_a_row_another(tmp_path):
    old, new = "at,who\n2024-01-01,ann\n", "who,at,new\nann,2024-01-01,\n"
    feed = {"columns": {"event_time": "at", "customer_id": "who"}, "constants": {"event_type": "e"}}
    assert ingest(deliver(tmp_path, {"a.csv": old, "b.csv": new}), source(**feed)).report["duplicates"] == 1


HISTORY = "id,at,known,who,order,country,pay,kg\n"


def history(draw, n, is_consistent=True):
    """Return rows with their day known: late, restated, taken back and repeated ones among them.

    What differs under one id and one time is told apart by the names of files only: such rows are there where the
    history is not consistent.
    """
    said = {}
    rows = ["0,2024-01-01,2024-01-01,ann,o1,uk,1,0.1\n"]
    for _ in range(n):
        number, known = draw.randint(1, 4), draw.randint(1, 9)
        content = (
            f"2024-01-0{draw.randint(1, 4)},2024-01-0{known},{draw.choice(['ann', 'bob', ''])},"
            f"o{draw.randint(1, 3)},{draw.choice(['uk', ''])},{draw.randint(1, 3)},{draw.choice(['', '0.1', '0.2'])}\n"
        )
        said_before = said.setdefault((number, known), content)
        rows.append(f"{number}," + (said_before if is_consistent else content))
    return rows


def history_feed(has_ids, is_merged):
    columns = {"event_time": "at", "known_time": "known", "customer_id": "who", "guest_id": "order", "value": "pay"}
    return {
        "columns": columns | ({"event_id": "id"} if has_ids else {}),
        "constants": {"event_type": "order"},
        "attributes": {"country": "country"},
        "numbers": {"weight": "kg"},
        "one_event_per": "order" if is_merged else None,
        "max_clock_skew_minutes": None,
    }


histories = given(st.integers(0, 10_000), st.integers(0, 14), st.booleans(), st.booleans(), st.integers(1, 4))


@histories
def test_row_order_file_split_and_repeated_delivery_change_no_event(
    tmp_path_factory, seed, n, has_ids, is_merged, n_files
):
    draw, feed = random.Random(seed), history_feed(has_ids, is_merged)
    rows = history(draw, n)
    one = ingest_text(tmp_path_factory.mktemp("one"), HISTORY + "".join(rows), **feed)
    again = rows + draw.choices(rows, k=draw.randint(0, 5))
    draw.shuffle(again)
    split = {f"{i}.csv": HISTORY + "".join(again[i::n_files]) for i in range(n_files) if again[i::n_files]}
    many = ingest(deliver(tmp_path_factory.mktemp("many"), split), source(**feed))
    assert_frame_equal(one.events, many.events)
    assert many.report["accepted"] == one.report["accepted"]
    assert_adds_up(many)


@histories
def test_contradicting_rows_add_up_whatever_their_order_and_files(
    tmp_path_factory, seed, n, has_ids, is_merged, n_files
):
    """Which of them counts is for the names of files to say; how many do not, and that they are said, is not."""
    draw, feed = random.Random(seed), history_feed(has_ids, is_merged)
    rows = history(draw, n, is_consistent=False)
    one = ingest_text(tmp_path_factory.mktemp("one"), HISTORY + "".join(rows), **feed)
    n_told = len({tuple(row.split(",")[i] for i in (0, 2)) for row in rows})
    assert_adds_up(one)
    if has_ids:
        assert one.report["accepted"] <= n_told
        assert one.report["rejected"] == len(rows) - n_told - n_same_as_the_first(rows)
    else:
        assert one.report["rejected"] == 0
    draw.shuffle(rows)
    split = {f"{i}.csv": HISTORY + "".join(rows[i::n_files]) for i in range(n_files) if rows[i::n_files]}
    many = ingest(deliver(tmp_path_factory.mktemp("many"), split), source(**feed))
    assert_adds_up(many)
    assert set(many.rejects["rule"]) <= {"conflict"}
    assert set(many.events["event_id"]) == set(one.events["event_id"]) or is_merged


def n_same_as_the_first(rows):
    """Count the rows that repeat the first one of their id and time known."""
    first, n = {}, 0
    for row in rows:
        key = tuple(row.split(",")[i] for i in (0, 2))
        n += key in first and first[key] == row
        first.setdefault(key, row)
    return n


@histories
def test_what_is_known_later_changes_nothing_that_was_known(tmp_path_factory, seed, n, has_ids, is_merged, day):
    """The night of a day is the same, to the cell, with and without all rows known from then on."""
    feed, rows = history_feed(has_ids, is_merged), history(random.Random(seed), n)
    night = pd.Timestamp(f"2024-01-0{2 * day}", tz="UTC")
    earlier = [row for row in rows if pd.Timestamp(row.split(",")[2], tz="UTC") < night]
    all_known = ingest_text(tmp_path_factory.mktemp("all"), HISTORY + "".join(rows), **feed).events
    known_then = ingest_text(tmp_path_factory.mktemp("then"), HISTORY + "".join(earlier), **feed).events
    assert_frame_equal(
        known_before(all_known, night).reset_index(drop=True), known_before(known_then, night).reset_index(drop=True)
    )


@histories
def test_at_every_moment_at_most_one_version_of_an_event_holds(tmp_path_factory, seed, n, has_ids, is_merged, day):
    feed = history_feed(has_ids, is_merged)
    events = ingest_text(
        tmp_path_factory.mktemp("x"), HISTORY + "".join(history(random.Random(seed), n)), **feed
    ).events
    night = pd.Timestamp(f"2024-01-0{2 * day}", tz="UTC")
    assert not (events["superseded_time"] <= events["known_time"]).any()
    holding = events[(events["known_time"] < night) & ~(events["superseded_time"] < night)]
    assert holding["event_id"].is_unique
    is_superseded = events["superseded_time"].notna()
    if not is_merged:  # an order may lose all its lines; any other event is restated by a row of its own
        takes_over = set(zip(events["event_id"], events["known_time"], strict=True))
        superseded = events[is_superseded]
        assert set(zip(superseded["event_id"], superseded["superseded_time"], strict=True)) <= takes_over


# --- lines of one event ---------------------------------------------------------------------------------------------


def test_lines_of_an_order_become_one_event(tmp_path):
    text = (
        "order,at,who,price,n,country,note\n"
        "o1,2024-01-01 10:05,ann,0.335,3,,late\n"
        "o1,2024-01-01 10:00,,2.50,2,uk,\n"
        "o2,2024-01-02 10:00,,1,1,fr,\n"
        "c3,2024-01-03 10:00,bob,1,-1,fr,\n"
        ",2024-01-03 10:00,bob,1,1,fr,\n"
    )
    result = ingest_text(
        tmp_path,
        text,
        columns={"event_time": "at", "customer_id": "who", "guest_id": "order", "price": "price", "quantity": "n"},
        value="price_times_quantity",
        one_event_per="order",
        constants={"event_type": "order"},
        event_type_rules=[{"column": "order", "matches": "^c", "event_type": "cancellation"}],
        attributes={"country": "country", "note": "note"},
        numbers={"pieces": "n"},
    )
    events = result.events[result.events["superseded_time"].isna()]
    events = events.astype(object).where(events.notna(), None)
    columns = ["customer_id", "anonymous_id", "event_type", "value_cents", "attr_country", "attr_note", "num_pieces"]
    assert events[columns].values.tolist() == [
        ["ann", None, "order", 601, "uk", "late", 5.0],
        [None, "o2", "order", 100, "fr", None, 1.0],
        ["bob", None, "cancellation", -100, "fr", None, -1.0],
    ]
    assert events["event_time"].iloc[0] == pd.Timestamp("2024-01-01 10:00", tz="UTC")
    assert events["known_time"].iloc[0] == pd.Timestamp("2024-01-01 10:05", tz="UTC")  # when the last line was
    assert result.rejects["rule"].tolist() == ["one_event_per"]
    assert (result.report["accepted"], result.report["events"]) == (4, 3)
    assert_adds_up(result)


def late_line(folder, *rows):
    """Ingest order lines of `day known, line, cents`, all of the first of January, and tell the order's versions."""
    lines = (f"{line},2024-01-01,2024-01-{known:02},o1,{cents}\n" for known, line, cents in rows)
    columns = {"event_id": "line", "event_time": "at", "known_time": "known", "customer_id": "order", "value": "cents"}
    feed = {"columns": columns, "constants": {"event_type": "order"}, "value": "cents", "one_event_per": "order"}
    result = ingest_text(folder, "line,at,known,order,cents\n" + "".join(lines), **feed)
    assert_adds_up(result)
    assert result.events["event_id"].nunique() == result.report["events"] == 1
    return versions(result, "value_cents")


def test_a_late_line_restates_its_event_and_leaves_what_was_known_of_it(tmp_path):
    early = [(2, "a", 100), (2, "b", 20)]
    assert late_line(tmp_path / "0", *early) == [[120, "02", "never"]]
    assert late_line(tmp_path / "1", *early, (5, "c", 3)) == [[120, "02", "05"], [123, "05", "never"]]
    assert late_line(tmp_path / "2", (5, "c", 3), (7, "a", 50), *early) == [
        [120, "02", "05"],
        [123, "05", "07"],
        [73, "07", "never"],
    ]
    assert late_line(tmp_path / "3", *early, (5, "a", 100)) == [[120, "02", "never"]]


def test_a_line_that_moves_to_another_order_and_back_leaves_none_behind(tmp_path):
    moves = ((2, "o1"), (5, "o2"), (7, "o1"))
    text = "line,at,known,order\n" + "".join(f"1,2024-01-01,2024-01-0{known},{order}\n" for known, order in moves)
    columns = {"event_id": "line", "event_time": "at", "known_time": "known", "customer_id": "order"}
    feed = {"columns": columns, "constants": {"event_type": "order"}, "one_event_per": "order"}
    result = ingest_text(tmp_path, text, **feed)
    assert sorted(versions(result, "customer_id")) == [["o1", "02", "05"], ["o1", "07", "never"], ["o2", "05", "07"]]
    assert_adds_up(result)


# --- what columns mean ----------------------------------------------------------------------------------------------


def test_names_actors_and_constants(tmp_path):
    text = "at,who,what,by,place\n" + "".join(
        f"2024-01-0{i},ann,{row}\n" for i, row in enumerate(["Mail,,", "Visit,,app", "Visit,system,", "Other,,"], 1)
    )
    columns = {"event_time": "at", "customer_id": "who", "event_type": "what", "actor": "by", "channel": "place"}
    result = ingest_text(
        tmp_path,
        text,
        columns=columns,
        constants={"channel": "web"},
        event_types={"Mail": "email_sent", "Visit": "page_view"},
        actors={"email_sent": "brand"},
    )
    assert rows_of(result, "event_type", "actor", "channel") == [
        ["email_sent", "brand", "web"],
        ["page_view", "customer", "app"],
        ["page_view", "system", "web"],
        ["Other", "customer", "web"],
    ]
    assert result.report["actors"] == {"brand": 1, "customer": 2, "system": 1}
    assert result.report["event_types"] == {"Other": 1, "email_sent": 1, "page_view": 2}


def test_of_several_columns_the_first_that_is_given_counts(tmp_path):
    text = "at,a,b,what\n2024-01-01,,beta,e\n2024-01-02,alpha,beta,e\n"
    result = ingest_text(tmp_path, text, columns={"event_time": "at", "customer_id": ["a", "b"], "event_type": "what"})
    assert result.events["customer_id"].tolist() == ["beta", "alpha"]


def test_paths_reach_into_nested_json(tmp_path):
    row = {
        "at": 1704067200,
        "ids": {"ECID": [{"id": "68519882713298129995549973016107434638"}]},
        "params": [{"key": "page", "value": {"string_value": "/home"}}, {"key": "n", "value": {"int_value": 7}}],
        "flat.key": "kept",
        "what": "view",
        "price": 2.50,
    }
    feed = {
        "columns": {"event_time": "at", "customer_id": "ids.ECID.0.id", "event_type": "what", "value": "price"},
        "time_format": "epoch_s",
        "attributes": {"page": "params.page", "flat": "flat.key", "none": "params.gone.deeper", "ids": "ids.ECID"},
        "numbers": {"n": "params.n"},
    }
    expected = ["68519882713298129995549973016107434638", 250, "/home", "kept", 7.0]
    columns = ("customer_id", "value_cents", "attr_page", "attr_flat", "num_n")
    result = ingest_text(tmp_path / "json", json.dumps(row), "a.jsonl", **feed)
    assert rows_of(result, *columns) == [expected]
    assert result.events["attr_ids"].tolist() == ['[{"id":"68519882713298129995549973016107434638"}]']
    assert result.events["attr_none"].isna().all()
    assert "never filled: params.gone.deeper (feed web)" in result.summary
    (tmp_path / "parquet").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "parquet/a.parquet")
    assert rows_of(ingest(tmp_path / "parquet", source(**feed)), *columns) == [expected]


def test_a_path_reaches_into_json_in_a_cell(tmp_path):
    text = 'at\twho\tmore\n2024-01-01\tann\t{"a": {"b": "deep"}}\n2024-01-02\tann\tno json\n'
    feed = {"columns": {"event_time": "at", "customer_id": "who"}, "constants": {"event_type": "e"}, "quoting": False}
    events = ingest_text(tmp_path, text, "a.tsv", attributes={"deep": "more.a.b"}, **feed).events
    assert events["attr_deep"].tolist()[0] == "deep"
    assert events["attr_deep"].isna().tolist() == [False, True]
