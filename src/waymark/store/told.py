"""Links that somebody told of, in texts and in codes: what the other segments of a bucket hold.

In texts, a link has `id_a`, `id_b`, `kind`, `known_time` (microseconds), `source` and `probability`. A bucket holds the
links of which it holds an end. Where the two ends live apart, the copy that lies with the second counts for nothing in
what is added up over buckets.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark import schema
from waymark.store.buckets import Ids
from waymark.store.events import ANONYMOUS, DAY, micros_of
from waymark.store.hashes import hash_rows, sums_by
from waymark.store.names import Names
from waymark.store.routes import Pairs

IDS = (("id_a", ""), ("id_b", ""))


def thing_texts(links: pa.Table) -> pa.Array:
    """Return what makes each link one: all that it says."""
    parts = (links["id_a"], links["id_b"], links["kind"], links["known_time"].cast(pa.string()))
    return pc.binary_join_element_wise(*parts, "\n")


def encode(links: pa.Table, names: Names, one: np.ndarray, two: np.ndarray) -> pa.Table:
    """Return `links` in codes; `one` and `two` hold the places of their ends in the list of the bucket."""
    return pa.table(
        {
            "key": links["key"],
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
            "key": coded["key"],
        }
    )


def pairs(coded: pa.Table, ids: Ids) -> Pairs:
    """Return the pairs of identifiers that links join; the end of a link joins its pair as well."""
    is_anonymous = pc.starts_with(ids.texts, ANONYMOUS).to_numpy()
    one, two = (coded[c].to_numpy() for c in ("one", "two"))
    may_be_hub = is_anonymous[one].astype(np.uint8) + np.uint8(2) * is_anonymous[two].astype(np.uint8)
    return Pairs(ids.hashes[one], ids.hashes[two], micros_of(coded["known_time"]), may_be_hub).once()


def tally(coded: pa.Table, names: Names, id_hashes: np.ndarray) -> Counter[str]:
    """Count the links and add up a hash of them, by the day when they were known; see `events.tally`."""
    out: Counter[str] = Counter()
    days, place = np.unique(micros_of(coded["known_time"]) // DAY, return_inverse=True)
    sums = sums_by(hash_rows({"key": (coded["key"].to_numpy(), np.True_)}), place, len(days))
    counts = np.bincount(place, minlength=len(days)).tolist()
    for day, n, digest in zip(days.tolist(), counts, sums, strict=True):
        out[f"n|{day}"] += n
        out[f"hash|{day}"] += digest
    texts = names.lists.get("source", [])
    for name, n in zip(texts, np.bincount(coded["source"].to_numpy(), minlength=len(texts)).tolist(), strict=True):
        out[f"source|{name}"] += n
    return out
