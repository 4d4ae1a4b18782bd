"""A model written as a file of `conf/model/`, where `model=<name>` finds it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import yaml

from waymark import tables
from waymark.config import Estimator, ModelConfig
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


def write(path: Path, comment: str, model: ModelConfig) -> None:
    """Write a model with a comment above it, whole or not at all."""
    head = "".join(f"# {line}\n" for line in textwrap.wrap(comment, 116, break_on_hyphens=False))
    body = yaml.safe_dump(model.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)
    tables.write_text(head + body, path)


def with_estimator(model: ModelConfig, target: str, found: Estimator) -> ModelConfig:
    """Return `model` with another estimator of `target`, that of the other target as it was."""
    if target == "churn":
        return model.model_copy(update={"churn": found})
    return ModelConfig(name=found.name, settings=found.settings, churn=_plain(model.of("churn")))


def _plain(estimator: Estimator) -> Estimator:
    return Estimator(name=estimator.name, settings=estimator.settings)
