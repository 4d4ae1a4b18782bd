"""Cells of text -> times, amounts and numbers, each distinct text once; what does not fit is said, never guessed."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from waymark.config import EPOCH_UNITS

MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAIVE_EPOCH = datetime(1970, 1, 1)
LAST_YEAR = 2200
END = (datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
QUARTER = 15 * 60 * 1_000_000  # clocks change on quarters of an hour
MAX_CENTS = 2**53  # integers below are exact as floats too, and a thousand of them still add up in 64 bits

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_SPACED_ZONE = re.compile(r"\s*(UTC|Z|[+-]\d\d:?(?:\d\d)?)$", re.ASCII | re.IGNORECASE)
_EXACT = Context(prec=2500)  # no number of `_NUMBER`'s form and a sane length is rounded on its way to cents


def distinct(cells: pa.StringArray) -> tuple[list[str], np.ndarray]:
    """Return the distinct texts of `cells`, and for each cell its place among them; -1 for a null."""
    encoded = cells.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)


def of_distinct(cells: pa.StringArray, parse: Callable[[str], Any], kind: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return what `parse` makes of each cell, and where that is anything: a null or an unfit text is 0 and False."""
    texts, place = distinct(cells)
    parsed = [parse(t) for t in texts]
    parsed.append(None)  # where -1 points
    fits = np.array([p is not None for p in parsed])
    values = np.array([0 if p is None else p for p in parsed], kind)
    return values[place], fits[place]


# --- times ----------------------------------------------------------------------------------------------------------


def times(cells: pa.StringArray, zone: str, time_format: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return microseconds since 1970 in UTC, and where a cell holds such a time.

    Times without a zone are local to `zone`. An hour that the clocks repeat is the first of the two; an hour that
    they skip is read as if they had not yet been moved, so it lies as far after the gap as it seems to lie in it
    (both as `datetime` has it with `fold=0`). Digits below the microsecond are cut off. Years before 1970 and after
    2200 do not fit.
    """
    offset = _offsets(zone)
    if time_format is None:
        values, fits = _iso_times(cells, offset)
    elif time_format in EPOCH_UNITS:
        unit = EPOCH_UNITS[time_format]
        values, fits = of_distinct(cells, lambda text: _since_epoch(text, unit), np.int64)
    else:
        values, fits = _formatted(cells, time_format, offset)
    fits &= (values >= 0) & (values < END)
    return np.where(fits, values, 0), fits


def typed_times(cells: pa.TimestampArray, zone: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what `times` returns of the same times written as text."""
    is_local, fits = cells.type.tz is None, cells.is_valid().to_numpy(zero_copy_only=False)
    micros = cells.cast(pa.timestamp("us", cells.type.tz), safe=False).cast(pa.int64()).fill_null(0)
    values = micros.to_numpy(zero_copy_only=False)
    if cells.type.unit == "ns":
        nanos = cells.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        values = nanos // 1000  # a cast rounds towards 1970
    if is_local:
        values = _local_to_utc(values, _offsets(zone))
    fits &= (values >= 0) & (values < END)
    return np.where(fits, values, 0), fits


def _local_to_utc(local: np.ndarray, offset: Callable[[int], int]) -> np.ndarray:
    """Return local microseconds as UTC; far from the years that fit they stay as they are."""
    is_near = (local >= -QUARTER * 96) & (local < END + QUARTER * 96)
    quarters, place = np.unique(np.where(is_near, local, 0) // QUARTER, return_inverse=True)
    ahead = np.array([offset(q * QUARTER) for q in quarters.tolist()], np.int64)
    return local - np.where(is_near, ahead[place], 0)


# What Arrow reads as `datetime.fromisoformat` does, and a hundred times as fast.
_LOCAL_ISO = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?$"
_UTC_ISO = _LOCAL_ISO[:-1] + "Z$"


def _iso_times(cells: pa.StringArray, offset: Callable[[int], int]) -> tuple[np.ndarray, np.ndarray]:
    for pattern, zone in ((_LOCAL_ISO, None), (_UTC_ISO, "UTC")):
        if len(cells) > cells.null_count and pc.all(pc.match_substring_regex(cells, pattern)).as_py():
            try:
                moments = cells.cast(pa.timestamp("us", zone))
            except pa.ArrowInvalid:  # a day or an hour that there is not: each text says for itself whether it fits
                break
            values = moments.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
            fits = moments.is_valid().to_numpy(zero_copy_only=False)
            return (values if zone else _local_to_utc(values, offset)), fits
    return of_distinct(cells, lambda text: _iso(text, offset), np.int64)


def _offsets(zone: str) -> Callable[[int], int]:
    """Return a function from local microseconds to the microseconds that the zone is ahead of UTC."""
    info = ZoneInfo(zone)

    @cache
    def of_quarter(quarter: int) -> int:
        local = NAIVE_EPOCH + timedelta(microseconds=quarter * QUARTER)
        return local.replace(tzinfo=info).utcoffset() // MICROSECOND

    return lambda local: of_quarter(local // QUARTER)


def _iso(text: str, offset: Callable[[int], int]) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:  # "2024-03-01 10:00:00 UTC", "... +0100" and "...z" are common and not in the grammar
            moment = datetime.fromisoformat(_SPACED_ZONE.sub(_tight_zone, text))
        except ValueError:
            return None
    if moment.tzinfo is not None:
        return (moment - EPOCH) // MICROSECOND
    return _to_utc((moment - NAIVE_EPOCH) // MICROSECOND, offset)


def _tight_zone(match: re.Match) -> str:
    zone = match[1].upper()
    return "Z" if zone == "UTC" else zone


def _to_utc(local: int, offset: Callable[[int], int]) -> int | None:
    if not 0 <= local + QUARTER * 96 < END + 2 * QUARTER * 96:  # a day to either side, for the zones
        return None
    return local - offset(local)


def _since_epoch(text: str, unit: int) -> int | None:
    if text.isdecimal() and text.isascii() and len(text) < 19:
        return int(text) * unit if len(text) < 19 - len(str(unit)) else None
    if not _NUMBER.fullmatch(text) or len(text) > 40:
        return None
    micros = Decimal(text) * unit
    return int(micros) if 0 <= micros < END else None


def _formatted(cells: pa.StringArray, time_format: str, offset: Callable[[int], int]) -> tuple[np.ndarray, np.ndarray]:
    has_zone = "%z" in time_format or "%Z" in time_format
    texts, _ = distinct(cells)
    parsed = pd.to_datetime(pd.Series(texts, dtype="str"), format=time_format, errors="coerce", utc=has_zone)
    utc = parsed.dt.tz_localize(None) if has_zone else parsed
    micros = utc.to_numpy("datetime64[us]").astype(np.int64)
    known = dict(zip(texts, micros.tolist(), strict=True))
    is_time = dict(zip(texts, utc.notna().tolist(), strict=True))

    def parse(text: str) -> int | None:
        if not is_time[text]:
            return None
        return known[text] if has_zone else _to_utc(known[text], offset)

    return of_distinct(cells, parse, np.int64)


# --- amounts and numbers --------------------------------------------------------------------------------------------


def decimal(text: str, decimal_mark: str = ".") -> Decimal | None:
    """Return the number that `text` spells exactly, or None.

    Examples
    --------
    >>> decimal("1e2"), decimal("2,55", ","), decimal("1.234,5", ","), decimal("NaN"), decimal("1_000")
    (Decimal('1E+2'), Decimal('2.55'), None, None, None)
    """
    if decimal_mark == ",":
        text = text.replace(".", "?").replace(",", ".")
    return Decimal(text) if len(text) <= 60 and _NUMBER.fullmatch(text) else None


def to_cents(units: Decimal) -> int | None:
    """Return an amount in hundredths, halves rounded away from zero; None where it is too large.

    Examples
    --------
    >>> to_cents(Decimal("2.675")), to_cents(Decimal("-0.005")), to_cents(Decimal("1e30"))
    (268, -1, None)
    """
    try:
        cents = int(_EXACT.multiply(units, 100).quantize(Decimal(1), ROUND_HALF_UP, _EXACT))
    except InvalidOperation:
        return None
    return cents if abs(cents) < MAX_CENTS else None


def amounts(cells: pa.StringArray, decimal_mark: str, *, in_cents: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return cents, and where a cell holds an amount: of currency units, or of whole cents."""

    def parse(text: str) -> int | None:
        number = decimal(text, decimal_mark)
        if number is None:
            return None
        if not in_cents:
            return to_cents(number)
        return int(number) if abs(number) < MAX_CENTS and number == int(number) else None

    return of_distinct(cells, parse, np.int64)


def products(prices: pa.StringArray, quantities: pa.StringArray, decimal_mark: str) -> tuple[np.ndarray, np.ndarray]:
    """Return price times quantity in cents, and where both cells hold a number and the product fits."""
    price_texts, price = distinct(prices)
    quantity_texts, quantity = distinct(quantities)
    price_of = [*(decimal(t, decimal_mark) for t in price_texts), None]
    quantity_of = [*(decimal(t, decimal_mark) for t in quantity_texts), None]
    width = len(quantity_of)
    pairs, place = np.unique((price + 1) * width + quantity + 1, return_inverse=True)

    def product(pair: int) -> int | None:
        a, b = price_of[pair // width - 1], quantity_of[pair % width - 1]
        return None if a is None or b is None else to_cents(_EXACT.multiply(a, b))

    parsed = [product(int(p)) for p in pairs]
    fits = np.array([p is not None for p in parsed], bool)
    values = np.array([p or 0 for p in parsed], np.int64)
    return values[place], fits[place]


def numbers(cells: pa.StringArray, decimal_mark: str) -> tuple[np.ndarray, np.ndarray]:
    """Return finite floats, and where a cell holds one."""

    def parse(text: str) -> float | None:
        number = decimal(text, decimal_mark)
        return float(number) if number is not None and math.isfinite(float(number)) else None

    return of_distinct(cells, parse, np.float64)


def whole_numbers(cells: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Return 64-bit integers, and where a cell holds one."""

    def parse(text: str) -> int | None:
        number = decimal(text)
        return int(number) if number is not None and abs(number) < 2**63 and number == int(number) else None

    return of_distinct(cells, parse, np.int64)
