"""Features of past nights are kept while all that they hang on stays; of many persons, some are drawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from waymark import tables
from waymark.clock import TrainClock
from waymark.eventlog import micro
from waymark.features import count_halvings
from waymark.lots import widest
from waymark.steps import features_train
from waymark.store.store import Store

KEPT = tables.FEATURES / "train"


@pytest.fixture
def project(small_project: Path, tmp_path: Path, monkeypatch) -> Path:
    """A copy of what the step reads and wrote, as the present folder."""
    for name in ("resolved.yaml", tables.STORE, tables.CLOCK, tables.FEATURES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (small_project / name).is_dir() else shutil.copy2
        copy(small_project / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    features_train.main()  # under the code of this process
    return tmp_path


def choose(**features: object) -> None:
    settings = yaml.safe_load(Path("resolved.yaml").read_text())
    settings["features"] |= features
    Path("resolved.yaml").write_text(yaml.safe_dump(settings))


def files() -> dict[str, int]:
    return {file.name: file.stat().st_ino for file in KEPT.iterdir()}


def test_nights_are_kept_until_a_setting_changes(project):
    before, rows = files(), tables.read(KEPT)
    features_train.main()
    assert files() == before
    choose(half_lives_days=[3])
    features_train.main()
    assert set(files()) == set(before)
    assert not set(files().values()) & set(before.values())
    assert set(tables.read(KEPT)) != set(rows)


def test_a_night_that_is_missing_is_made_and_the_others_are_kept(project):
    before, rows = files(), tables.read(KEPT)
    gone = min(before)
    (KEPT / gone).unlink()
    features_train.main()
    assert {name for name, inode in files().items() if before[name] == inode} >= set(before) - {gone}
    pd.testing.assert_frame_equal(tables.read(KEPT), rows)


def test_above_the_limit_the_same_persons_are_left_out_on_every_night(project):
    everybody = tables.read(KEPT)
    choose(max_train_rows=1000)
    features_train.main()
    drawn = tables.read(KEPT)
    persons = set(drawn["person_id"])
    assert 0 < len(drawn) < len(everybody)
    pd.testing.assert_frame_equal(
        drawn, everybody[everybody["person_id"].isin(persons)].reset_index(drop=True)[list(drawn)]
    )


def test_above_the_limit_whole_persons_are_drawn_whoever_they_were_on_a_night(project):
    everybody = set(tables.read(KEPT)["person_id"])
    choose(max_train_rows=1000)
    features_train.main()
    drawn = set(tables.read(KEPT)["person_id"])
    [log] = Store().logs()
    component = pd.Series(widest(log.identities, as_of()), index=log.identities.person_ids)
    ids_of = {code: set(ids.index) & everybody for code, ids in component.groupby(component)}
    several = [ids for ids in ids_of.values() if len(ids) > 1]
    assert len(several) > 10  # who merged between two nights
    assert {len(ids & drawn) / len(ids) for ids in several} == {0.0, 1.0}


def as_of() -> int:
    return micro(TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json")).as_of)


def look(days_earlier: int) -> None:
    """Let training look so many days earlier, at the same nights."""
    clock = tables.read_json(tables.CLOCK / "train.json")
    moved = pd.Timestamp(clock["as_of"]) - pd.Timedelta(days=days_earlier)
    tables.write_json(clock | {"as_of": moved.isoformat()}, tables.CLOCK / "train.json")


def test_who_merged_since_training_looked_last_is_drawn_anew_on_all_nights(project):
    """What is kept of nights whose own past did not change comes to what is made of everything."""
    everybody = files()
    look(days_earlier=20)
    features_train.main()
    assert files() == everybody  # without a draw, a night hangs on its own past alone
    choose(max_train_rows=1000)
    features_train.main()
    before = tables.read(KEPT)
    features_train.main()
    pd.testing.assert_frame_equal(tables.read(KEPT), before)
    look(days_earlier=-20)
    features_train.main()
    grown = {file.name: file.read_bytes() for file in KEPT.iterdir()}
    assert not before.equals(tables.read(KEPT))
    shutil.rmtree(KEPT)
    features_train.main()
    assert {file.name: file.read_bytes() for file in KEPT.iterdir()} == grown


@pytest.mark.parametrize(
    ("n", "at_most", "n_halvings"),
    [(10, None, 0), (1000, 1000, 0), (1001, 1000, 1), (2000, 1000, 1), (2001, 1000, 2), (64_000, 1000, 6)],
)
def test_halves_are_halved_until_few_enough_are_left(n, at_most, n_halvings):
    assert count_halvings(n, at_most) == n_halvings
    assert at_most is None or n / 2**n_halvings <= at_most
