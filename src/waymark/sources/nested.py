"""Values at dotted paths in nested JSON, as text."""

import json
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any


def value_at(row: dict[str, Any], path: str) -> Any:
    """Return what lies at `path` in `row`, or None.

    A step is a key of an object, a position in a list, or the key of an entry of a list of
    `{"key": ..., "value": ...}` objects (`name` for `key` will do), as analytics exports write parameters.

    Examples
    --------
    >>> value_at({"a": [{"b": 1}, {"b": 2}]}, "a.1.b")
    2
    >>> value_at({"event_params": [{"key": "page", "value": {"string_value": "/"}}]}, "event_params.page")
    {'string_value': '/'}
    """
    if path in row:
        return row[path]
    value: Any = row
    for step in path.split("."):
        value = _step(value, step)
        if value is None:
            return None
    return value


def _step(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if not isinstance(value, list):
        return None
    if step.isdecimal():
        return value[int(step)] if int(step) < len(value) else None
    entries = (e for e in value if isinstance(e, dict) and step in (e.get("key"), e.get("name")))
    return next((e.get("value") for e in entries), None)


def as_text(value: Any) -> str | None:
    """Return `value` as the text of one cell; None stays None.

    Of an object whose keys all end in `_value` (one key a type) the value that is there counts; other objects
    and lists become JSON.

    Examples
    --------
    >>> as_text({"string_value": None, "int_value": 7}), as_text(True), as_text(17850.0), as_text(["b", "a"])
    ('7', 'true', '17850', '["b","a"]')
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict) and value and all(k.endswith("_value") for k in value):
        return next((as_text(v) for v in value.values() if v is not None), None)
    if isinstance(value, (dict, list)):
        return canonical_json(value)
    return str(value)


def canonical_json(value: Any) -> str:
    """Return JSON that is the same for equal values, however their keys are ordered."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=as_text)
