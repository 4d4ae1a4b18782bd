"""What is typed after a command: `key=value`, as in `make search ARGS="target=churn n_trials=30"`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from waymark.errors import InputError
from waymark.models import TARGETS


def read(typed: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """Return the value of every key of `known`: the one typed, else the one there; refuse what is no such key.

    Examples
    --------
    >>> read(["target=churn"], {"target": "", "n_trials": "30"})
    {'target': 'churn', 'n_trials': '30'}
    """
    given = dict(known)
    for text in typed:
        key, separator, value = text.partition("=")
        if not separator or not value or key not in known:
            raise InputError(f"{text!r} is no argument; write key=value with a key of {', '.join(known)}")
        given[key] = value
    return given


def target(text: str) -> str:
    """Return the name of a target."""
    if text not in TARGETS:
        raise InputError(f"target={text} is no target; there are {', '.join(TARGETS)}")
    return text


def targets(text: str) -> tuple[str, ...]:
    """Return the target named, or all of them where none is."""
    return (target(text),) if text else TARGETS


def whole(key: str, text: str) -> int:
    """Return a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{key}={text} is no whole number of at least 1")
    return int(text)


def yes(key: str, text: str) -> bool:
    """Return whether `yes` was typed and not `no`."""
    if text not in ("yes", "no"):
        raise InputError(f"{key}={text} is neither yes nor no")
    return text == "yes"
