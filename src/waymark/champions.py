"""The models that forecast, and those that did before them: where they are kept, and how one follows another.

    models/champion/succession.json               who reigns, who reigned, who was taken back
    models/champion/<target>/<version>/           the model of a reign, as training wrote it

A reign begins and ends with the writing of succession.json, after the files it names and before those that it no longer
names are removed: whoever reads finds the old champion whole, or the new one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.base import ClassifierMixin

from waymark import models, tables
from waymark.clock import TrainClock
from waymark.errors import InputError

FOLDER = tables.MODELS / "champion"
_RECORD = "succession.json"


@dataclass(frozen=True)
class Reign:
    """A model while it is champion of a target."""

    version: str
    name: str  # of `models.MODELS`
    role: str  # what it was when it became champion: candidate or baseline
    trained_until: str  # newest cut-off among its training rows
    known_until: str  # end of what its training could see, labels included
    training: Mapping[str, Any]  # version of that data, and how it was split
    question: Mapping[str, Any]  # the settings that say what is forecast, of whom
    run_id: str  # the MLflow run that remembers the model
    contest: Mapping[str, Any]  # versions of the models and the data that were compared when it won

    @classmethod
    def of(
        cls,
        card: Mapping[str, Any],
        role: str,
        clock: TrainClock,
        settings: Mapping[str, Any],
        run_id: str,
        contest: Mapping[str, Any],
    ) -> Reign:
        """Return the reign of the model of `card`, which was trained on what `clock` says with `settings`."""
        facts = {
            "training": {"data_version": clock.data_version, "split": settings["split"]},
            "question": {
                "source": settings["source"]["name"],
                "journey": settings["journey"],
                "targets": settings["targets"],
                "points": settings["features"]["points"],
                "population": settings["features"]["population"],
            },
        }
        plain = json.loads(json.dumps(facts, default=str))  # as it comes back from the file: YAML has dates
        named = {k: card[k] for k in ("version", "name", "trained_until")}
        return cls(role=role, known_until=clock.as_of.isoformat(), run_id=run_id, contest=contest, **named, **plain)

    @property
    def saw_until(self) -> pd.Timestamp:
        """End of what its training could see."""
        return pd.Timestamp(self.known_until)

    def told(self) -> dict[str, str]:
        """Return what a reader wants to know of it."""
        kept = asdict(self)
        return {k: kept[k] for k in ("name", "version", "role", "trained_until", "known_until", "run_id")}


@dataclass(frozen=True)
class Succession:
    """The reigns of one target."""

    reigns: tuple[Reign, ...] = ()  # the last one is in force
    taken_back: tuple[Reign, ...] = ()

    @property
    def present(self) -> Reign | None:
        """The reign in force."""
        return self.reigns[-1] if self.reigns else None

    def before(self, contest: Mapping[str, Any]) -> Succession:
        """Return the reigns as they were before `contest` was decided: deciding it again replaces its outcome."""
        is_outcome = self.present is not None and self.present.contest == contest
        return Succession(self.reigns[:-1], self.taken_back) if is_outcome else self


def read(target: str, folder: Path = FOLDER) -> Succession:
    """Return the reigns of a target; there are none before the first."""
    kept = _record(folder).get(target, {"reigns": [], "taken_back": []})
    return Succession(**{k: tuple(Reign(**r) for r in reigns) for k, reigns in kept.items()})


def reign_of(target: str, folder: Path = FOLDER) -> Reign:
    """Return the reign in force; raise `InputError` where there is none."""
    present = read(target, folder).present
    if present is None:
        raise InputError(f"{target} has no champion; `dvc repro -P` promotes one")
    return present


def load(target: str, folder: Path = FOLDER) -> tuple[ClassifierMixin, dict[str, Any]]:
    """Return the champion of a target and its card."""
    return models.load(folder_of(target, reign_of(target, folder).version, folder))


def folder_of(target: str, version: str, folder: Path = FOLDER) -> Path:
    """Return where a champion, present or past, is kept."""
    return folder / target / version


def settle(
    target: str, before: Succession, new: Reign | None, model: Path, keep: int, folder: Path = FOLDER
) -> Succession:
    """Let a reign begin, with the model in the folder `model`, or leave the one before in force; return the reigns.

    The `keep` reigns before it are kept.
    """
    reigns = before.reigns
    if new is not None:
        place = folder_of(target, new.version, folder)
        if not place.exists():
            with tables.new_folder(place) as made:
                for name in models.FILES:
                    shutil.copy2(model / name, made / name)
        reigns = (*reigns[-keep:], new)
    after = Succession(reigns, before.taken_back[-keep:])
    if after != read(target, folder):
        _write(target, after, folder)
    return after


def take_back(target: str, folder: Path = FOLDER) -> tuple[Reign, Reign]:
    """End the reign in force and put the one before it in force; return both.

    Raises
    ------
    InputError
        There is no such target, no earlier champion, or it forecast something else.
    """
    if target not in models.TARGETS:
        raise InputError(f"there is no target {target!r}; there are {', '.join(models.TARGETS)}")
    kept = read(target, folder)
    if len(kept.reigns) < 2:
        state = "has no champion yet" if not kept.reigns else "has had no other champion that is still kept"
        raise InputError(f"{target} {state}, so there is none to go back to")
    *_, before, last = kept.reigns
    if differing := differences(last.question, before.question):
        raise InputError(
            f"the champion of {target} before this one, {before.name} {before.version}, forecast something else:"
            f" {', '.join(differing)} differ"
        )
    _write(target, Succession(kept.reigns[:-1], (*kept.taken_back, last)), folder)
    return last, before


def differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings in which two questions differ."""
    return [key for key in sorted({*one, *two}) if one.get(key) != two.get(key)]


def _record(folder: Path) -> dict[str, Any]:
    path = folder / _RECORD
    return tables.read_json(path) if path.exists() else {}


def _write(target: str, succession: Succession, folder: Path) -> None:
    tables.write_json(_record(folder) | {target: asdict(succession)}, folder / _RECORD)
    kept = {reign.version for reign in (*succession.reigns, *succession.taken_back)}
    for old in [p for p in (folder / target).iterdir() if p.name not in kept]:
        shutil.rmtree(old)
