"""Choices written into params.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from waymark.choose import choose, main
from waymark.errors import InputError

TEXT = (Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8")


def chosen(*choices: str) -> dict[str, object]:
    return yaml.safe_load(choose(TEXT, list(choices)))


def test_only_what_is_chosen_changes():
    text = choose(TEXT, ["source=cdnow", "cutoff_time=2025-06-01"])
    before, after = TEXT.splitlines(), text.splitlines()
    changed = {b.split(":")[0] for b, a in zip(before, after, strict=True) if b != a}
    assert changed == {"source", "cutoff_time"}
    assert yaml.safe_load(text)["source"] == "cdnow"
    assert choose(text, ["source=simulated", "cutoff_time=latest"]) == TEXT


def test_comments_stay():
    text = choose(TEXT, ["landing=elsewhere", "source=cdnow"])
    assert [line.partition("#")[2] for line in text.splitlines()] == [
        line.partition("#")[2] for line in TEXT.splitlines()
    ]


def test_nothing_chosen_changes_nothing():
    assert choose(TEXT, []) == TEXT


def test_a_landing_folder_is_written_as_an_absolute_path_unless_a_step_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert chosen("landing=data/landing/simulated")["landing"] == "data/landing/simulated"
    assert chosen("landing=data/landing/shop")["landing"] == str(tmp_path / "data/landing/shop")
    assert chosen("landing=../outside")["landing"] == str(tmp_path.parent / "outside")


@pytest.mark.parametrize("value", ["/data/my shop", "/data/it's #1", "/data/a: b", "/data/[x]", "/data/back\\slash"])
def test_a_folder_may_be_called_anything(value):
    assert chosen(f"landing={value}")["landing"] == value


@pytest.mark.parametrize("value", ["/data/it's #1", "/data/a: b", "/data/plain"])
def test_choosing_again_leaves_nothing_of_the_first_choice(value):
    assert choose(choose(TEXT, [f"landing={value}"]), ["landing=data/landing/simulated"]) == TEXT


def test_single_settings_may_be_chosen_in_one_line():
    assert chosen("set={targets: {horizon_days: 14}}")["set"] == {"targets": {"horizon_days": 14}}


@pytest.mark.parametrize("choice", ["sauce=cdnow", "source", "source=", "=cdnow"])
def test_what_is_no_choice_is_named_with_the_choices(choice):
    with pytest.raises(InputError, match=r"is not a choice; write key=value with a key of source, landing, model"):
        choose(TEXT, [choice])


def test_a_wrong_choice_leaves_the_file_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("conf").symlink_to(Path(__file__).parents[1] / "conf")
    Path("params.yaml").write_text(TEXT, encoding="utf-8")
    for wrong in ("sauce=cdnow", "source=cdnoww", "seed=many"):
        monkeypatch.setattr("sys.argv", ["choose", "model=logistic", wrong])
        with pytest.raises(InputError):
            main()
        assert Path("params.yaml").read_text(encoding="utf-8") == TEXT
    monkeypatch.setattr("sys.argv", ["choose", "model=logistic"])
    main()
    assert yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["model"] == "logistic"
