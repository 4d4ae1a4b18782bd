"""A model written as a file of `conf/model/`, where `model=<name>` finds it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from waymark import tables
from waymark.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def place(conf: Path, name: str, may_overwrite: bool) -> Path:
    """Return where the file of a model called `name` goes; refuse a name that does not fit or is taken."""
    if not _NAME.fullmatch(name):
        raise InputError(f"name={name} does not fit a file of conf/model/: small letters, digits and _ after a letter")
    path = conf / "model" / f"{name}.yaml"
    if path.exists() and not may_overwrite:
        raise InputError(f"{path} exists already; choose another name, or say overwrite=yes")
    return path


def write(path: Path, comment: str, model: str, settings: Mapping[str, Any]) -> None:
    """Write a model with a comment above it, whole or not at all."""
    head = "".join(f"# {line}\n" for line in textwrap.wrap(comment, 116))
    body = yaml.safe_dump({"name": model, "settings": dict(settings)}, sort_keys=False, allow_unicode=True)
    tables.write_text(head + body, path)
