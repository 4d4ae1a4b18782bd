"""Features of past nights are kept while all that they hang on stays; of many persons, some are drawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from by_hand import events
from waymark import tables
from waymark.eventlog import read_log
from waymark.features import count_halvings, draw
from waymark.ledger import link_identities
from waymark.steps import features_train

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


def test_who_is_drawn_of_fewer_is_drawn_of_more():
    told = events(*(f"c{i} 2025-01-01 web view" for i in range(4000)))
    log = read_log(told, link_identities(told))
    assert draw(log, 0) is None
    half, quarter = draw(log, 1), draw(log, 2)
    assert not (quarter & ~half).any()
    assert half.mean() == pytest.approx(0.5, abs=0.03)
    assert quarter.mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("n", "at_most", "n_halvings"),
    [(10, None, 0), (1000, 1000, 0), (1001, 1000, 1), (2000, 1000, 1), (2001, 1000, 2), (64_000, 1000, 6)],
)
def test_halves_are_halved_until_few_enough_are_left(n, at_most, n_halvings):
    assert count_halvings(n, at_most) == n_halvings
    assert at_most is None or n / 2**n_halvings <= at_most
