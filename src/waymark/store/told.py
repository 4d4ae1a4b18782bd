"""Links that somebody told of, in texts and in codes: what the other segments of a bucket hold.

In texts, a link has `id_a`, `id_b`, `kind`, `known_time` (microseconds), `source` and `probability`. A bucket holds the
links of which it holds an end.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema
from waymark.store.events import ANONYMOUS, DAY, content_sum, micros_of
from waymark.store.names import Names, encoded
from waymark.store.routes import Pairs, hash_texts

COLUMNS = tuple(schema.LINKS.columns)


def thing_texts(links: pa.Table) -> pa.Array:
    """Return what makes each link one: all that it says."""
    parts = (links["id_a"], links["id_b"], links["kind"], links["known_time"].cast(pa.string()))
    return pc.binary_join_element_wise(*parts, "\n")


def encode(links: pa.Table, names: Names, one: np.ndarray, two: np.ndarray) -> pa.Table:
    """Return `links` in codes; `one` and `two` hold the places of their ends in the list of the bucket."""
    return pa.table(
        {
            "key": hash_texts(thing_texts(links)),
            "one": one.astype(np.int32),
            "two": two.astype(np.int32),
            "kind": pc.index_in(links["kind"], pa.array(schema.LINK_KINDS)).cast(pa.int8()),
            "known_time": links["known_time"].cast(pa.timestamp("us", tz="UTC")),
            "source": pa.array(names.encode("source", links["source"])).cast(pa.int16()),
            "probability": links["probability"],
        }
    )


def decode(coded: pa.Table, names: Names, ids: pa.Array) -> pa.Table:
    """Return coded links in texts; `ids` are the identifiers of their bucket, with their prefixes."""
    return pa.table(
        {
            "id_a": ids.take(coded["one"].combine_chunks()),
            "id_b": ids.take(coded["two"].combine_chunks()),
            "kind": pa.array(schema.LINK_KINDS).take(coded["kind"].combine_chunks()),
            "known_time": micros_of(coded["known_time"]),
            "source": names.decode("source", coded["source"].to_numpy()),
            "probability": coded["probability"],
        }
    )


def id_texts(links: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Return both ends of each link."""
    return links["id_a"], links["id_b"]


def pairs(links: pa.Table) -> Pairs:
    """Return the pairs of identifiers that links join; the end of a link joins its pair as well."""
    ends = [hash_texts(texts) for texts in id_texts(links)]
    flags = [pc.starts_with(texts, ANONYMOUS).to_numpy(zero_copy_only=False) for texts in id_texts(links)]
    may_be_hub = flags[0].astype(np.uint8) + np.uint8(2) * flags[1].astype(np.uint8)
    return Pairs(*ends, links["known_time"].to_numpy(), may_be_hub)


def tally(links: pa.Table) -> Counter[str]:
    """Count the links and add up a hash of them, by the day when they were known."""
    out: Counter[str] = Counter()
    days = links["known_time"].to_numpy() // DAY
    hashes = content_sum(links, ("id_a", "id_b", "kind", "known_time"))
    for day in np.unique(days).tolist():
        out[f"n|{day}"] = int((days == day).sum())
        out[f"hash|{day}"] = int(hashes[days == day].sum(dtype=np.uint64))
    distinct, place = encoded(links["source"])
    for name, n in zip(distinct.to_pylist(), np.bincount(place, minlength=len(distinct)).tolist(), strict=True):
        out[f"source|{name}"] += n
    return out
