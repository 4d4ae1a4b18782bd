"""Deliver a simulated brand as real systems would: seven feeds, each with a layout of its own."""

import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from waymark.simulate.brand import Brand
from waymark.simulate.journal import EVENT_TYPES

TIME_ZONE = "Europe/Berlin"  # of the tills and the call centre
UNREADABLE = "00.00.0000"
_UTC = pa.timestamp("us", tz="UTC")
# What the systems call our event types; others go by our names.
WEB_NAMES = {
    "page_view": "Page Viewed", "ad_click": "Ad Clicked", "product_view": "Product Viewed",
    "search": "Products Searched", "compare": "Products Compared", "wishlist_add": "Product Added to Wishlist",
    "add_to_cart": "Product Added", "checkout": "Checkout Started", "order": "Order Completed",
    "review": "Product Reviewed", "referral": "Product Shared", "login": "Signed In",
    "order_status": "Order Status Viewed", "payment_error": "Payment Failed", "complaint": "Complaint Sent",
    "return_request": "Return Requested",
}  # fmt: skip
APP_NAMES = {"page_view": "screen_view", "product_view": "view_item", "order": "purchase", "checkout": "begin_checkout"}
STORE_NAMES = {"store_visit": "VISIT", "order": "SALE", "return_request": "RETURN"}
CALL_NAMES = {"complaint": "in/complaint", "support_call": "in/question", "support_answer": "out/answer"}
EMAIL_NAMES = {"email_sent": "delivered", "offer_sent": "offer delivered", "email_open": "opened"}
SOCIAL_NAMES = {"complaint": "mention", "referral": "recommendation"}


def write_landing(brand: Brand, folder: Path) -> int:
    """Write the delivered files below `folder`, in the order of delivery, and return the number of rows.

    The same brand gives the same bytes.
    """
    rows = brand.events.iloc[brand.deliveries["event"]].reset_index(drop=True)
    rows = rows.assign(known_time=brand.deliveries["known_time"], broken=brand.deliveries["broken"])
    rows["id"] = rows["event_id"].str.split(":").str[1].where(rows["broken"] == "", "x" + rows["event_id"].str[-7:])
    rows.loc[rows["broken"] == "ids", ["anonymous_id", "customer_id"]] = None
    day = rows["known_time"].dt.floor("D")
    for name, (period, ending, write) in _FEEDS.items():
        is_of_feed = rows["feed"] == name
        labels = {d: d.strftime(period) for d in day[is_of_feed].unique()}  # far fewer than rows, and slow to write
        (folder / name).mkdir(parents=True)
        for label, part in rows[is_of_feed].groupby(day[is_of_feed].map(labels)):
            (folder / name / f"{label}.{ending}").write_bytes(write(part))
    return len(rows)


def _web(rows: pd.DataFrame) -> bytes:
    rows = _there(rows, WEB_NAMES, _iso)
    names = ("id", "name_there", "anonymous_id", "customer_id", "time_there", "known_there")
    details = ("session_id", "device_type", "seen_campaign", "category", "value_cents")
    keys = ("messageId", "event", "anonymousId", "userId", "timestamp", "receivedAt")
    lines = (
        {
            **dict(zip(keys, message)),
            "type": "track",
            "context": {"sessionId": session, "device": {"type": device}, "campaign": campaign and {"name": campaign}},
            "properties": _given(category=category, revenue=cents and cents / 100, currency=cents and "EUR"),
        }
        for message, (session, device, campaign, category, cents) in zip(_cells(rows, *names), _cells(rows, *details))
    )
    return gzip.compress(_json_lines(lines), compresslevel=6, mtime=0)


def _app(rows: pd.DataFrame) -> bytes:
    rows = _there(rows, APP_NAMES, lambda times: _epoch(times) * 1000)
    names = (
        "id",
        "name_there",
        "time_there",
        "known_there",
        "anonymous_id",
        "customer_id",
        "session_id",
        "device_type",
    )
    keys = ("id", "name", "time_ms", "received_ms", "installation", "account", "session", "device")
    hits = _cells(rows, *names)
    params = _cells(rows, "category", "seen_campaign", "value_cents")
    lines = (
        {**dict(zip(keys, hit)), "params": _given(category=category, campaign=campaign, value_cents=cents)}
        for hit, (category, campaign, cents) in zip(hits, params)
    )
    return zstandard.ZstdCompressor(level=6).compress(_json_lines(lines))


def _store(rows: pd.DataFrame) -> bytes:
    rows = _there(rows, STORE_NAMES, _local, _iso)
    quantity = rows["value_cents"].map(lambda v: next((q for q in (3, 2) if v % q == 0), 1), na_action="ignore")
    return _table(rows, ",", {
        "receipt": rows["id"], "loyalty_card": rows["customer_id"], "till_time": rows["time_there"],
        "received_at": rows["known_there"], "kind": rows["name_there"], "department": rows["category"],
        "unit_price": _units(rows["value_cents"] // quantity), "quantity": quantity,
    })  # fmt: skip


def _call_centre(rows: pd.DataFrame) -> bytes:
    rows = _there(rows, CALL_NAMES, _local, _iso)
    return _table(rows, ";", {
        "call": rows["id"], "contact": rows["name_there"], "customer_number": rows["customer_id"],
        "site_visitor": rows["anonymous_id"], "local_time": rows["time_there"], "received_at": rows["known_there"],
    })  # fmt: skip


def _email(rows: pd.DataFrame) -> bytes:
    rows = _there(rows, EMAIL_NAMES, _epoch)
    text = _table(rows, "\t", {
        "message": rows["id"], "member": rows["customer_id"], "status": rows["name_there"],
        "mailing": rows["mailing"], "time": rows["time_there"], "received": rows["known_there"],
    })  # fmt: skip
    return gzip.compress(text, compresslevel=6, mtime=0)


def _social(rows: pd.DataFrame) -> bytes:
    rows = _there(rows, SOCIAL_NAMES, _iso)
    names = ("id", "name_there", "time_there", "anonymous_id", "customer_id", "known_there")
    return _json_lines(
        {
            "post": {"id": number, "kind": name, "created_at": time},
            "author": {"handle": handle, "member": member},
            "received_at": known_time,
        }
        for number, name, time, handle, member, known_time in _cells(rows, *names)
    )


def _logistics(rows: pd.DataFrame) -> bytes:
    delivered_at = rows["event_time"].where(rows["broken"] != "time")
    scans = pa.table({
        "scan": pa.array(rows["id"], pa.string()),
        "parcel_of": pa.array(rows["customer_id"], pa.string()),
        "ordered_on": pa.array(rows["anonymous_id"], pa.string()),
        "delivered_at": pa.array(delivered_at.dt.tz_convert(None).to_numpy(), _UTC, from_pandas=True),
        "received_at": pa.array(rows["known_time"].dt.tz_convert(None).to_numpy(), _UTC),
    })  # fmt: skip
    sink = io.BytesIO()
    pq.write_table(scans, sink)
    return sink.getvalue()


def _there(
    rows: pd.DataFrame,
    names: dict[str, str],
    times: Callable[[pd.Series], pd.Series],
    known_times: Callable[[pd.Series], pd.Series] | None = None,
) -> pd.DataFrame:
    """Add event type and times as the delivering system writes them."""
    time_there = times(rows["event_time"]).astype(object)
    return rows.assign(
        name_there=rows["event_type"].map({n: names.get(n, n) for n in EVENT_TYPES}),
        time_there=time_there.where(rows["broken"] != "time", UNREADABLE),
        known_there=(known_times or times)(rows["known_time"]).astype(object),
    )


def _iso(times: pd.Series) -> pd.Series:
    return pd.Series([f"{t}Z" for t in _written(times.dt.tz_localize(None))], times.index, dtype=object)


def _local(times: pd.Series) -> pd.Series:
    local = times.dt.tz_convert(TIME_ZONE).dt.tz_localize(None)
    return pd.Series([t.replace("T", " ") for t in _written(local)], times.index, dtype=object)


def _written(times: pd.Series) -> list[str]:
    return np.datetime_as_string(times.to_numpy("datetime64[s]")).tolist()


def _epoch(times: pd.Series) -> pd.Series:
    return times.astype("int64") // 1_000_000


def _units(cents: pd.Series) -> pd.Series:
    return cents.map(lambda c: f"{c // 100}.{c % 100:02d}", na_action="ignore")


def _cells(rows: pd.DataFrame, *names: str) -> Iterator[tuple[Any, ...]]:
    """Yield the cells of each row as plain values, None where they are empty."""
    columns = (rows[name].astype(object) for name in names)
    return zip(*(column.where(column.notna(), None).tolist() for column in columns))


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _json_lines(values: Iterable[Any]) -> bytes:
    encode = json.JSONEncoder(separators=(",", ":")).encode
    return "".join([encode(v) + "\n" for v in values]).encode()


def _table(rows: pd.DataFrame, delimiter: str, columns: dict[str, pd.Series]) -> bytes:
    return pd.DataFrame(columns, index=rows.index).to_csv(sep=delimiter, index=False, lineterminator="\n").encode()


_FEEDS = {
    "web": ("%G-W%V", "jsonl.gz", _web),
    "app": ("%G-W%V", "jsonl.zst", _app),
    "store": ("%Y-%m", "csv", _store),
    "call_centre": ("%Y-%m", "csv", _call_centre),
    "email": ("%Y-%m", "tsv.gz", _email),
    "social": ("%Y-%m", "jsonl", _social),
    "logistics": ("%Y-%m", "parquet", _logistics),
}
