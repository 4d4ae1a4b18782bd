"""Cells mean one thing or nothing."""

import pyarrow as pa
import pytest

from waymark.sources import parse


def utc(text, zone="UTC", time_format=None):
    values, fits = parse.times(pa.array([text]), zone, time_format)
    return str(values.astype("datetime64[us]")[0]).removesuffix(".000000") if fits[0] else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-07-01", "2024-07-01T00:00:00"),
        ("20240701T101112Z", "2024-07-01T10:11:12"),
        ("2024-07-01 10:11", "2024-07-01T10:11:00"),
        ("2024-07-01T10:11:12.5", "2024-07-01T10:11:12.500000"),
        ("2024-07-01 10:11:12.123456789", "2024-07-01T10:11:12.123456"),
        ("2024-07-01T10:11:12+02:00", "2024-07-01T08:11:12"),
        ("2024-07-01T10:11:12-0530", "2024-07-01T15:41:12"),
        ("2024-07-01 10:11:12 +02", "2024-07-01T08:11:12"),
        ("2024-07-01 10:11:12 UTC", "2024-07-01T10:11:12"),
        ("2024-07-01T10:11:12z", "2024-07-01T10:11:12"),
        ("1970-01-01", "1970-01-01T00:00:00"),
        ("2200-12-31 23:59:59.999999", "2200-12-31T23:59:59.999999"),
        ("2024-02-30", None),
        ("01/02/2024", None),
        ("2024-07-01 25:00", None),
        ("yesterday", None),
        ("1704067200", None),
        ("0001-01-01", None),
        ("9999-12-31", None),
    ],
)
def test_iso_times(text, expected):
    assert utc(text) == expected


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2024-07-01 12:00", "Europe/London", "2024-07-01T11:00:00"),
        ("2024-01-01 12:00", "Europe/London", "2024-01-01T12:00:00"),
        ("2024-07-01 12:00", "Asia/Kathmandu", "2024-07-01T06:15:00"),
        ("2024-07-01 12:00+00:00", "Asia/Kathmandu", "2024-07-01T12:00:00"),
        ("2024-10-27 01:30", "Europe/London", "2024-10-27T00:30:00"),  # twice on that clock: the first
        ("2024-03-31 01:30", "Europe/London", "2024-03-31T01:30:00"),  # never on that clock: as before the change
        ("2024-03-31 00:59:59.999999", "Europe/London", "2024-03-31T00:59:59.999999"),
        ("2024-03-31 02:00", "Europe/London", "2024-03-31T01:00:00"),
        ("2024-10-06 02:15", "Australia/Lord_Howe", "2024-10-05T15:45:00"),  # a gap of half an hour
        ("1970-01-01 00:30", "Europe/Berlin", None),  # 1969 in UTC
    ],
)
def test_times_without_a_zone_are_local(text, zone, expected):
    assert utc(text, zone) == expected


@pytest.mark.parametrize("time_format", [None, "%Y-%m-%d %H:%M"])
@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        # The night on which clocks go forward: each reading, on the clock or in the gap, has a time of its own rule.
        ("Europe/Berlin", "2024-03-31 01:59", "2024-03-31T00:59:00"),
        ("Europe/Berlin", "2024-03-31 02:00", "2024-03-31T01:00:00"),  # skipped: what 03:00 is
        ("Europe/Berlin", "2024-03-31 02:59", "2024-03-31T01:59:00"),
        ("Europe/Berlin", "2024-03-31 03:00", "2024-03-31T01:00:00"),
        ("America/New_York", "2024-03-10 01:59", "2024-03-10T06:59:00"),
        ("America/New_York", "2024-03-10 02:30", "2024-03-10T07:30:00"),  # skipped: what 03:30 is
        ("America/New_York", "2024-03-10 03:00", "2024-03-10T07:00:00"),
        # The night on which they go back: of an hour that comes twice, the first.
        ("Europe/Berlin", "2024-10-27 01:59", "2024-10-26T23:59:00"),
        ("Europe/Berlin", "2024-10-27 02:00", "2024-10-27T00:00:00"),
        ("Europe/Berlin", "2024-10-27 02:59", "2024-10-27T00:59:00"),
        ("Europe/Berlin", "2024-10-27 03:00", "2024-10-27T02:00:00"),
        ("America/New_York", "2024-11-03 00:59", "2024-11-03T04:59:00"),
        ("America/New_York", "2024-11-03 01:30", "2024-11-03T05:30:00"),
        ("America/New_York", "2024-11-03 02:00", "2024-11-03T07:00:00"),
    ],
)
def test_the_nights_on_which_clocks_change(zone, local, expected, time_format):
    assert utc(local, zone, time_format) == expected


@pytest.mark.parametrize(
    ("cells", "time_format"),
    [
        (["2024-10-27T02:30+02:00", "2024-10-27T02:30+01:00", "2024-10-27T01:30Z", "2024-10-27 02:30"], None),
        (["2024-10-27 02:30 +0200", "2024-10-27 02:30 +0100", "2024-10-27 01:30 +0000"], "%Y-%m-%d %H:%M %z"),
    ],
)
def test_a_column_may_mix_offsets_and_only_what_has_none_is_local(cells, time_format):
    values, fits = parse.times(pa.array(cells), "Europe/Berlin", time_format)
    assert fits.all()
    expected = ["2024-10-27T00:30", "2024-10-27T01:30", "2024-10-27T01:30", "2024-10-27T00:30"][: len(cells)]
    assert values.astype("datetime64[us]").astype("datetime64[m]").astype(str).tolist() == expected


@pytest.mark.parametrize(
    ("text", "time_format", "expected"),
    [
        ("1704067200", "epoch_s", "2024-01-01T00:00:00"),
        ("1704067200.25", "epoch_s", "2024-01-01T00:00:00.250000"),
        ("1.7040672E9", "epoch_s", "2024-01-01T00:00:00"),
        ("1704067200123", "epoch_ms", "2024-01-01T00:00:00.123000"),
        ("1704067200123456", "epoch_us", "2024-01-01T00:00:00.123456"),
        ("1704067200123456", "epoch_s", None),
        ("9" * 30, "epoch_s", None),
        ("1e99", "epoch_s", None),
        ("-5", "epoch_s", None),
        ("2024-01-01", "epoch_s", None),
        ("01.02.2024 03:04", "%d.%m.%Y %H:%M", "2024-02-01T03:04:00"),
        ("1/Mar/2024:10:11:12 +0100", "%d/%b/%Y:%H:%M:%S %z", "2024-03-01T09:11:12"),
        ("12/01/2010 8:26", "%m/%d/%Y %H:%M", "2010-12-01T08:26:00"),
        ("2024-01-01", "%d.%m.%Y", None),
        ("31.02.2024", "%d.%m.%Y", None),
    ],
)
def test_other_formats(text, time_format, expected):
    assert utc(text, time_format=time_format) == expected


def test_formatted_times_are_local_too():
    assert utc("01.07.2024 12:00", "Europe/Berlin", "%d.%m.%Y %H:%M") == "2024-07-01T10:00:00"


def test_a_null_is_no_time_whatever_stands_beside_it():
    values, fits = parse.times(pa.array(["2024-01-01", None, "2024-01-01"]), "UTC", None)
    assert fits.tolist() == [True, False, True]
    assert values[1] == 0


@pytest.mark.parametrize(
    ("text", "mark", "expected"),
    [
        ("12.50", ".", 1250),
        ("-0.01", ".", -1),
        ("+7", ".", 700),
        (".5", ".", 50),
        ("5.", ".", 500),
        ("1e3", ".", 100_000),
        ("2.675", ".", 268),  # 2.67 as a binary float
        ("1.005", ".", 101),
        ("-1.005", ".", -101),
        ("0.0049999", ".", 0),
        ("90071992547409.91", ".", 2**53 - 1),
        ("90071992547409.92", ".", None),
        ("12,50", ",", 1250),
        ("1.250,00", ",", None),
        ("12,50", ".", None),
        ("1 000", ".", None),
        ("٣", ".", None),
        ("Infinity", ".", None),
        ("0x10", ".", None),
        ("1e999", ".", None),
    ],
)
def test_amounts_are_exact(text, mark, expected):
    values, fits = parse.amounts(pa.array([text]), mark, in_cents=False)
    assert (int(values[0]) if fits[0] else None) == expected


def test_cents_are_whole():
    values, fits = parse.amounts(pa.array(["250", "250.0", "2.5", None]), ".", in_cents=True)
    assert (values.tolist(), fits.tolist()) == ([250, 250, 0, 0], [True, True, False, False])


def test_price_times_quantity_is_rounded_once():
    prices, quantities = pa.array(["0.335", "2.55", "x", None, "1e15"]), pa.array(["3", "-6", "1", "1", "10"])
    values, fits = parse.products(prices, quantities, ".")
    assert (values.tolist(), fits.tolist()) == ([101, -1530, 0, 0, 0], [True, True, False, False, False])
