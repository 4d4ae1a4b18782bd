"""Rebuild a past night from the delivered files and compare it with what was published, byte for byte.

    python src/run.py waymark.replay cutoff_date=2025-09-28

Everything that the night stands on is made anew in a temporary folder by the steps themselves: the store,
features, targets, models and predictions, with the settings and the clocks that the night kept. Only a champion of an
earlier training is taken as it is kept, by its version. Nothing of the project is touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from waymark import champions, config, tables
from waymark.champions import Reign, Succession
from waymark.clock import ScoreClock, TrainClock
from waymark.errors import InputError
from waymark.linkage import link_customers
from waymark.scoring import FORECASTS, MANIFEST, SETTINGS
from waymark.store.landing import ingest
from waymark.store.report import clockless, report
from waymark.store.store import Store

_TRAINING = ("features_train", "targets", "train next_stage", "train churn", "evaluate", "track")
_SCORING = ("features_score", "score")


def replay(published: Path, folder: Path) -> Path:
    """Rebuild the night of the partition `published` in the empty `folder`; return the rebuilt partition.

    Raises
    ------
    InputError
        There is no such night, or what is delivered no longer holds what the night saw.
    """
    if not (published / SETTINGS).exists():
        nights = sorted(p.name.removeprefix("cutoff_date=") for p in published.parent.glob("cutoff_date=*"))
        raise InputError(f"{published} keeps no night to replay; there are {', '.join(nights) or 'none'}")
    manifest = tables.read_json(published / MANIFEST)
    settings = yaml.safe_load((published / SETTINGS).read_text(encoding="utf-8"))
    train_clock = TrainClock.from_json(manifest["clocks"]["train"])
    score_clock = ScoreClock.from_json(manifest["clocks"]["score"])
    landing, kept = Path(settings["landing"]).resolve(), champions.FOLDER.resolve()
    settings = {"engine": {"kind": "local"}} | settings | {"landing": str(landing)}
    with chdir(folder):
        tables.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), config.RESOLVED)
        source, rules = config.load(config.SourceConfig, "source"), config.load(config.IdentityConfig, "identity")
        ingest(landing, source, rules, tables.STORE, linked=link_customers(rules.linkage, landing))
        store = Store()
        account = report(store.manifest, store.facts, source)
        for name, clock, time in (
            ("train", train_clock, train_clock.as_of),
            ("score", score_clock, score_clock.cutoff_time),
        ):
            if store.facts.version_as_of(time) != clock.data_version:
                raise InputError(
                    f"{landing} no longer holds what the night {published.name} saw before {time:%Y-%m-%d}: files were"
                    f" changed or taken away, {_came_later(clockless(account))}or the code that reads"
                    " them is another"
                )
            tables.write_json(clock.to_json(), tables.CLOCK / f"{name}.json")
        for step in _TRAINING:
            _run(step)
        _crown(manifest, settings, train_clock, kept)
        for step in _SCORING:
            _run(step)
    return folder / tables.PREDICTIONS / published.name


def _crown(manifest: Mapping[str, Any], settings: Mapping[str, Any], clock: TrainClock, kept: Path) -> None:
    """Put the champions of the night in force: trained anew where they were of that training, else as `kept`."""
    for target, told in manifest["models"]["champion"].items():
        places = {"candidate": tables.MODELS / target, "baseline": tables.MODELS / "baseline" / target}
        cards = {role: tables.read_json(place / "model.json") for role, place in places.items() if place.exists()}
        role = next((role for role, card in cards.items() if card["version"] == told["version"]), None)
        if role is not None:
            # The same model may have won before other settings of the evaluation gave its training another run.
            reign = Reign.of(cards[role], role, clock, settings, manifest["mlflow_run_ids"][target], {})
            champions.settle(target, Succession(), reign, places[role], 1)
            continue
        past = champions.read(target, kept)
        reign = next((r for r in (*past.reigns, *past.taken_back) if r.version == told["version"]), None)
        if reign is None:
            raise InputError(
                f"{target} was forecast by {told['name']} {told['version']}, which training does not give any more and"
                f" {champions.FOLDER} does not keep"
            )
        champions.settle(target, Succession(), reign, champions.folder_of(target, reign.version, kept), 1)


def _came_later(clockless: list[str]) -> str:
    """Say what else may have changed the past where feeds do not tell when their rows were known."""
    if not clockless:
        return ""
    feeds = ", ".join(clockless)
    return f"a later file holds events dated before it (nothing tells when those of feed {feeds} were known), "


def _run(step: str) -> None:
    """Run a step in the present folder, as DVC does; its store of experiments is there as well."""
    starter = Path(__file__).parents[1] / "run.py"
    environment = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "DVC_ROOT")}
    name, *arguments = step.split()
    command = [sys.executable, str(starter), f"waymark.steps.{name}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"the step {step} of the night does not run any more: {done.stderr.strip().splitlines()[-1]}")


def differences(published: Path, rebuilt: Path) -> list[str]:
    """Say what differs between two partitions of one night; nothing where their bytes are the same."""
    found = [text for name in FORECASTS.values() for text in _differences(published / name, rebuilt / name)]
    one, two = (tables.read_json(folder / MANIFEST)["sha256"] for folder in (published, rebuilt))
    others = sorted((set(one) | set(two)) - set(FORECASTS.values()))
    return found + [f"{name}: its bytes differ" for name in others if one.get(name) != two.get(name)]


def _differences(published: Path, rebuilt: Path) -> list[str]:
    if not published.exists() or not rebuilt.exists():
        return [f"only one night has {published.name}"] if published.exists() != rebuilt.exists() else []
    if published.read_bytes() == rebuilt.read_bytes():
        return []
    one, two = (pd.read_parquet(path).set_index("person_id") for path in (published, rebuilt))
    found = [
        f"{len(ids)} persons {where}"
        for ids, where in (
            (one.index.difference(two.index), "published only"),
            (two.index.difference(one.index), "rebuilt only"),
        )
        if len(ids)
    ]
    both = one.index.intersection(two.index)
    columns = [c for c in one if c in two and not one.loc[both, c].equals(two.loc[both, c])]
    differing = [*found, *(f"{c} differs" for c in columns)] or ["the bytes differ, the values do not"]
    return [f"{published.name}: {text}" for text in differing]


def main(arguments: list[str]) -> int:
    """Replay the night named on the command line; return 0 where it comes out the same."""
    choices = dict(a.partition("=")[::2] for a in arguments)
    if set(choices) != {"cutoff_date"}:
        raise InputError("say which night: cutoff_date=YYYY-MM-DD")
    published = (tables.PREDICTIONS / f"cutoff_date={choices['cutoff_date']}").resolve()
    with tempfile.TemporaryDirectory(prefix="waymark-replay-") as folder:
        found = differences(published, replay(published, Path(folder)))
    verdict = f"not the same: {'; '.join(found)}" if found else "the same bytes"
    print(f"{published.name}: {verdict}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
