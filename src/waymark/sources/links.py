"""Delivered rows of links between identifiers -> rows of `schema.LINKS`, and the rows that break the contract."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark.config import LINK_ENDS, LinkFeed
from waymark.sources.cells import MINUTE, Mapped, RowMapper, are_given, shown
from waymark.sources.rows import Rows

KINDS = ("alias", "erase")  # what a row may say; without a word it is the first


def map_links(rows: Rows, feed: LinkFeed, time_zone: str, delivered_time: int | None = None) -> Mapped:
    """Say which links `rows` tell of.

    Parameters
    ----------
    time_zone
        Of times without a zone, where the feed names none.
    delivered_time
        Of their file, in microseconds since 1970; None where it is not known.

    Returns
    -------
    Mapped
        `rows` has `id_a`, `id_b`, `kind`, `known_time` in microseconds since 1970, and `line`. A row is refused for
        the first rule that it breaks.
    """
    return _LinkMapper(rows, feed, time_zone, delivered_time).mapped()


class _LinkMapper(RowMapper):
    """Maps one chunk of rows to links."""

    def mapped(self) -> Mapped:
        known_time = self._known_time()
        one, two = self._ends()
        is_ordered = pc.less(one, two)
        columns = {
            "id_a": pc.if_else(is_ordered, one, two),  # by text: `anonymous:` comes before `customer:`
            "id_b": pc.if_else(is_ordered, two, one),
            "kind": self._kinds(),
            "known_time": pa.array(known_time),
            "line": pa.array(self.rows.lines),
        }
        return self.mapped_as(pa.table(columns))

    def _known_time(self) -> np.ndarray:
        """Return when each link was known: not before it came about, where that is given, too."""
        times = {}
        for name in ("known_time", "event_time"):
            times[name] = self.times(name, partial(self.delivered, name))
        (known_time, is_known), (event_time, has_happened) = times.values()
        self.is_told = is_known
        if self.delivered_time is not None:
            known_time, is_known = np.where(is_known, known_time, self.delivered_time), np.ones_like(is_known)
        wanted = next((name for name in times if name in self.feed.columns), "known_time")
        self.refuse(~(is_known | has_happened), wanted, lambda _: f"{wanted} is missing")
        self.refuse_the_future(event_time, np.where(is_known, known_time, event_time))
        delayed = event_time + self.feed.known_delay_minutes * MINUTE
        return np.where(is_known, np.maximum(known_time, event_time), delayed)

    def _ends(self) -> list[pa.StringArray]:
        ends = []
        for name in (n for n in LINK_ENDS if n in self.feed.columns):
            cells = self.delivered(name)
            self.refuse(~are_given(cells), "identity", lambda _, name=name: f"{name} is missing: it takes two to link")
            ends.append(pc.binary_join_element_wise(LINK_ENDS[name], cells, ""))
        is_one = pc.fill_null(pc.equal(*ends), False).to_numpy(zero_copy_only=False)
        self.refuse(is_one, "identity", lambda i: f"{shown(ends[0], i)} is linked to itself")
        return ends

    def _kinds(self) -> pa.StringArray:
        kinds = pc.fill_null(self.delivered("kind"), KINDS[0])
        is_unknown = ~pc.is_in(kinds, pa.array(KINDS)).to_numpy(zero_copy_only=False)
        self.refuse(is_unknown, "kind", lambda i: f"kind {shown(kinds, i)} is neither {' nor '.join(KINDS)}")
        return kinds


_LINK = ["id_a", "id_b", "kind", "known_time"]
