"""Delivered rows + the mapping of their feed -> rows of events, and the rows that break the contract, with why."""

import re
from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema
from waymark.config import Feed
from waymark.sources import parse
from waymark.sources.cells import MINUTE, Mapped, RowMapper, are_given, shown
from waymark.sources.rows import LEFT_OUT, Rows


def map_rows(
    rows: Rows,
    feed_name: str,
    feed: Feed,
    time_zone: str,
    id_prefix: str = "",
    delivered_time: int | None = None,
) -> Mapped:
    """Say what `rows` mean.

    Parameters
    ----------
    time_zone
        Of times without a zone, where the feed names none.
    id_prefix
        Written before delivered event ids.
    delivered_time
        Of their file, in microseconds since 1970; None where it is not known.

    Returns
    -------
    Mapped
        `rows` has the columns of `schema.EVENTS` but `source`, and `guest_id`, `merge_key` and `line`; times are
        microseconds since 1970. A row is refused for the first rule that it breaks.
    """
    return _EventMapper(rows, feed_name, feed, time_zone, delivered_time).mapped(id_prefix)


class _EventMapper(RowMapper):
    """Maps one chunk of rows to events."""

    def __init__(self, rows: Rows, feed_name: str, feed: Feed, time_zone: str, delivered_time: int | None) -> None:
        super().__init__(rows, feed, time_zone, delivered_time)
        self.feed_name, self.feed = feed_name, feed

    def mapped(self, id_prefix: str) -> Mapped:
        self._leave_out()
        event_time, known_time = self._times()
        identity = {name: self.field(name) for name in ("anonymous_id", "customer_id", "guest_id")}
        is_nobody = ~np.logical_or.reduce([are_given(cells) for cells in identity.values()])
        self.refuse(is_nobody, "identity", lambda _: "neither anonymous_id nor customer_id is given")
        event_type = self._event_types()
        columns = {
            "event_time": pa.array(event_time),
            "known_time": pa.array(known_time),
            "sequence": pa.array(self._sequence()),
            **identity,
            "event_type": event_type,
            "actor": self._actors(event_type),
            "channel": self.field("channel"),
            "session_id": self.field("session_id"),
            "value_cents": self._value_cents(),
            **{f"attr_{name}": self.text(column) for name, column in self.feed.attributes.items()},
            **{f"num_{name}": self._number(name, column) for name, column in self.feed.numbers.items()},
            "merge_key": self._merge_key(),
            "line": pa.array(self.rows.lines),
        }
        table = pa.table({"event_id": self._event_ids(id_prefix), **columns})
        return self.mapped_as(table)

    def field(self, name: str) -> pa.StringArray:
        """Return a canonical field: its column, or its constant where that is missing or empty."""
        cells = self.delivered(name)
        return pc.fill_null(cells, self.feed.constants[name]) if name in self.feed.constants else cells

    # --- rules, in the order in which they are tried ------------------------------------------------------------

    def _leave_out(self) -> None:
        for column, wanted in self.feed.keep_rows.items():
            cells = pc.fill_null(self.text(column), "")
            is_other = ~pc.is_in(cells, pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False)
            kept = f"{column} is %s, kept: {', '.join(wanted)}"
            self.refuse(is_other, LEFT_OUT, lambda i, cells=cells, kept=kept: kept % shown(cells, i))

    def _times(self) -> tuple[np.ndarray, np.ndarray]:
        event_time, fits = self.times("event_time", lambda: self.field("event_time"))
        self.refuse(~fits, "event_time", lambda i: self.unfit_time("event_time", self.field("event_time"), i))
        known_time, known_fits = self.times("known_time", lambda: self.field("known_time"))
        self.is_told = known_fits
        otherwise = event_time + self.feed.known_delay_minutes * MINUTE
        if self.delivered_time is not None:
            otherwise = np.full_like(event_time, self.delivered_time)
        known_time = np.where(known_fits, known_time, otherwise)
        self.refuse_the_future(event_time, known_time)
        return event_time, known_time

    def _event_types(self) -> pa.StringArray:
        types = _renamed(self.field("event_type"), self.feed.event_types)
        for rule in reversed(self.feed.event_type_rules):
            texts, place = parse.distinct(self.text(rule.column))
            is_match = np.array([*(bool(re.search(rule.matches, t)) for t in texts), False])[place]
            types = pc.if_else(pa.array(is_match), rule.event_type, types)
        self.refuse(~are_given(types), "event_type", lambda _: "event_type is missing")
        return types

    def _actors(self, event_type: pa.StringArray) -> pa.StringArray:
        by_type = _renamed(event_type, self.feed.actors, others=self.feed.constants.get("actor") or "customer")
        actors = pc.coalesce(self.delivered("actor"), by_type)
        is_unknown = ~pc.is_in(actors, pa.array(schema.ACTORS)).to_numpy(zero_copy_only=False)
        choices = ", ".join(schema.ACTORS)
        self.refuse(is_unknown, "actor", lambda i: f"actor {shown(actors, i)} is none of {choices}")
        return actors

    def _sequence(self) -> np.ndarray:
        if self.feed.rows_in_order:
            return self.rows.lines.astype(np.int64)
        cells = self.field("sequence")
        values, fits = parse.whole_numbers(cells)
        is_unfit = are_given(cells) & ~fits
        self.refuse(is_unfit, "sequence", lambda i: f"sequence {shown(cells, i)} is no whole number")
        return values

    def _value_cents(self) -> pa.Array:
        mark = self.feed.decimal_mark
        if self.feed.value == "price_times_quantity":
            price, quantity = self.field("price"), self.field("quantity")
            values, fits = parse.products(price, quantity, mark)
            is_given = are_given(price) & are_given(quantity)
            for name, cells in (("price", price), ("quantity", quantity)):
                self._refuse_text(name, cells, ~fits)
            self.refuse(is_given & ~fits, "value", lambda i: f"{shown(price, i)} x {shown(quantity, i)} is too large")
        else:
            cells = self.field("value")
            values, fits = parse.amounts(cells, mark, in_cents=self.feed.value == "cents")
            is_given = are_given(cells)
            self._refuse_text("value", cells, ~fits)
            what = "too large" if self.feed.value == "amount" else "too large or no whole number of cents"
            self.refuse(is_given & ~fits, "value", lambda i: f"value {shown(cells, i)} is {what}")
        return pa.array(values, mask=~is_given)

    def _number(self, name: str, column: str | list[str]) -> pa.Array:
        cells = self.text(column)
        values, fits = parse.numbers(cells, self.feed.decimal_mark)
        is_given = are_given(cells)
        self.refuse(is_given & ~fits, "number", lambda i: self._no_number(name, cells, i))
        return pa.array(values, mask=~is_given)

    def _refuse_text(self, name: str, cells: pa.StringArray, is_unfit: np.ndarray) -> None:
        """Refuse cells that are no number; what may be none is unfit."""
        if not (are_given(cells) & is_unfit).any():
            return
        mark = self.feed.decimal_mark
        _, is_number = parse.of_distinct(cells, lambda t: None if parse.decimal(t, mark) is None else 1, np.int8)
        is_text = are_given(cells) & ~is_number
        self.refuse(is_text, "value", lambda i: self._no_number(name, cells, i))

    def _no_number(self, name: str, cells: pa.StringArray, i: int) -> str:
        """Say that a cell is no number, and whether the other decimal mark would make it one."""
        other = {".": ",", ",": "."}[self.feed.decimal_mark]
        is_one = parse.decimal(cells[i].as_py(), other) is not None
        hint = f'; it is one with `decimal_mark: "{other}"`' if is_one else ""
        return f"{name} {shown(cells, i)} is no number{hint}"

    def _merge_key(self) -> pa.StringArray:
        column = self.feed.one_event_per
        if column is None:
            return pa.nulls(len(self.good), pa.string())
        cells = self.text(column)
        self.refuse(
            ~are_given(cells), "one_event_per", lambda _: f"{column} is missing: it says which lines are one event"
        )
        return cells

    # --- identity of rows ---------------------------------------------------------------------------------------

    def _event_ids(self, prefix: str) -> pa.StringArray:
        """Return the delivered ids; a row without one gets a hash of its feed and all its fields."""
        given = self.delivered("event_id")
        if prefix:
            given = pc.binary_join_element_wise(prefix, given, "")
        is_wanted = self.good & ~are_given(given)
        if not is_wanted.any():
            return given
        texts = zip(self.rows.fingerprints(), is_wanted.tolist(), strict=True)
        hashes = [hash_id(self.feed_name, text) if wanted else None for text, wanted in texts]
        return pc.coalesce(given, pa.array(hashes, pa.string()))


def hash_id(*parts: str) -> str:
    """Return an id of 32 hexadecimal digits that depends on `parts` only."""
    return blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _renamed(cells: pa.StringArray, names: Mapping[str, str], others: str | None = None) -> pa.StringArray:
    """Return `names` of the cells; a cell without one becomes `others`, or keeps its text where that is None."""
    texts, place = parse.distinct(cells)
    renamed = [*(names.get(t, others or t) for t in texts), None]
    return pa.array(renamed, pa.string()).take(pa.array(np.where(place < 0, len(texts), place)))
