"""The ledger of a bucket: the links that its events carry and those that were told of, in codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from waymark import schema
from waymark.ledger import link_coded
from waymark.store.buckets import Bucket, Ids
from waymark.store.events import NEVER, micros_of
from waymark.store.names import Names
from waymark.store.segments import live_rows, together

_ROW = ("customer", "anonymous", "actor", "event_time", "known_time", "superseded_time", "source")
CUSTOMER_ACTS = schema.ACTORS.index("customer")


def write_ledger(root: Path, bucket: Bucket, ids: Ids, names: Names, file: str, rows: pa.Table | None = None) -> str:
    """Write the ledger of a bucket and return the name of its file; `rows` are its events, if they are at hand."""
    if rows is None:
        rows = together(live_rows(root, s, _ROW) for s in bucket.events)
    _, source_order = names.in_order("source")
    told = together(live_rows(root, s) for s in bucket.told)
    links = link_coded(
        _rows(rows, source_order),
        _told(told, source_order),
        len(ids.texts),
    )
    code = np.empty(len(source_order), np.int16)  # of each source, by its place in the order of names
    code[source_order] = np.arange(len(source_order))
    table = pa.table(
        {
            "one": links["id_a"].to_numpy(np.int32),
            "two": links["id_b"].to_numpy(np.int32),
            "kind": pd.Categorical(links["kind"], categories=schema.LINK_KINDS).codes,
            "known_time": pa.array(links["known_time"].to_numpy("datetime64[us]"), pa.timestamp("us", "UTC")),
            "source": code[links["source"].to_numpy(np.int64)],
            "probability": links["probability"].to_numpy(np.float64),
        }
    )
    pq.write_table(table, root / file, compression="lz4", write_page_checksum=True)
    return file


def _rows(coded: pa.Table, source_order: np.ndarray) -> pd.DataFrame:
    """Return coded events as `link_coded` takes them."""
    if not coded.num_rows:
        coded = pa.table({c: pa.array([], pa.int64()) for c in _ROW})
    happened, known, until = (micros_of(coded[c]) for c in ("event_time", "known_time", "superseded_time"))
    return pd.DataFrame(
        {
            "id_a": coded["anonymous"].to_numpy(),
            "id_b": coded["customer"].to_numpy(),
            "is_customer": coded["actor"].to_numpy() == CUSTOMER_ACTS,
            "happened": _times(happened),
            "known_time": _times(np.maximum(happened, known)),
            "until": _times(until),
            "source": source_order[coded["source"].to_numpy()],
            "probability": np.nan,
        }
    )


def _told(coded: pa.Table, source_order: np.ndarray) -> pd.DataFrame:
    if not coded.num_rows:
        empty = {"id_a": "int32", "id_b": "int32", "kind": "str", "known_time": "datetime64[us, UTC]"}
        empty |= {"source": "int32", "probability": "float64"}
        return pd.DataFrame({c: pd.Series(dtype=kind) for c, kind in empty.items()})
    return pd.DataFrame(
        {
            "id_a": coded["one"].to_numpy(),
            "id_b": coded["two"].to_numpy(),
            "kind": pd.array(np.array(schema.LINK_KINDS, object)[coded["kind"].to_numpy()], "str"),
            "known_time": _times(micros_of(coded["known_time"])),
            "source": source_order[coded["source"].to_numpy()],
            "probability": coded["probability"].to_numpy(zero_copy_only=False),
        }
    )


def _times(micros: np.ndarray) -> pd.DatetimeIndex:
    times = micros.astype("datetime64[us]")
    times[micros == NEVER] = np.datetime64("NaT")
    return pd.DatetimeIndex(times).tz_localize("UTC")
