"""Settings enter once; a wrong one ends in one sentence."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from waymark import config
from waymark.config import Settings, SplitConfig, TargetsConfig, check
from waymark.errors import InputError
from waymark.steps.config import compose_settings
from waymark.steps.config import main as config_step
from waymark.tracking import chosen_params

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@functools.cache
def _composed(conf: Path, chosen: str) -> str:
    return compose_settings(yaml.safe_load(chosen), conf)


def compose(conf: Path = CONF, **chosen: Any) -> dict[str, Any]:
    """Return the settings that params.yaml gives with other choices in it."""
    return yaml.safe_load(_composed(conf, yaml.safe_dump(PARAMS | chosen)))


def refusal(conf: Path = CONF, **chosen: Any) -> str:
    with pytest.raises(InputError) as caught:
        compose(conf, **chosen)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A copy of conf/ to be spoilt."""
    return shutil.copytree(CONF, tmp_path / "conf")


# --- experiments ----------------------------------------------------------------------------------------------------


def test_a_grid_of_model_families_and_feature_groups_is_one_choice_each(tmp_path):
    """As README has it: DVC parts the grid and writes each of its choices into params.yaml."""
    from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

    [line] = re.findall(r"dvc exp run --queue (.*groups=.*)", (ROOT / "README.md").read_text(encoding="utf-8"))
    grid = get_hydra_sweeps({"params.yaml": shlex.split(line.replace("-S ", ""))})
    found = []
    for i, overrides in enumerate(grid):
        params = tmp_path / f"{i}.yaml"
        params.write_text(yaml.safe_dump(PARAMS))
        apply_overrides(str(params), overrides["params.yaml"])
        settings = compose(**yaml.safe_load(params.read_text()))
        found.append(
            (settings["model"].get("churn", settings["model"]) or settings["model"], settings["features"]["groups"])
        )
    few, more = ["recency", "counts"], ["recency", "counts", "channels"]
    assert [(model["name"], groups) for model, groups in found] == [
        (name, groups) for name in ("hazard", "logistic") for groups in (few, more)
    ]


# --- conf/ as it is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", sorted(f.stem for f in (CONF / "source").glob("*.yaml")))
def test_every_source_composes(source):
    settings = compose(source=source)
    assert settings["source"]["name"] == source
    assert Settings.model_validate(settings)
    assert list(settings) == list(Settings.model_fields)


# What a source chooses together, and what can be chosen alone.
TOGETHER = {"source", "features", "targets", "split"}
ALONE = {d.name: sorted(f.stem for f in d.glob("*.yaml")) for d in sorted(CONF.iterdir()) if d.is_dir()}
ROUNDS = list(zip_longest(*(names for group, names in ALONE.items() if group not in TOGETHER)))


@pytest.mark.parametrize("names", ROUNDS, ids=str)
def test_every_file_can_be_chosen(names):
    groups = [group for group in ALONE if group not in TOGETHER]
    chosen = {group: name for group, name in zip(groups, names, strict=True) if name}
    settings = compose(**chosen)
    for group, name in chosen.items():
        written = yaml.safe_load((CONF / group / f"{name}.yaml").read_text(encoding="utf-8"))
        assert set(written) - {"defaults"} <= set(settings[group])


def test_every_file_that_a_source_may_choose_is_chosen_by_one_or_by_default():
    texts = [f.read_text(encoding="utf-8") for f in (CONF / "source").glob("*.yaml")]
    texts.append((CONF / "config.yaml").read_text(encoding="utf-8"))
    for group in TOGETHER - {"source"}:
        for name in ALONE[group]:
            assert any(re.search(rf"{group}: {name}\b", text) for text in texts)


def test_params_choose_every_group_that_conf_has():
    groups = {d.name for d in sorted(CONF.iterdir()) if d.is_dir()}
    defaults = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    assert {name.removeprefix("override /") for d in defaults if isinstance(d, dict) for name in d} == groups
    assert set(PARAMS) <= groups | {"landing", "cutoff_time", "seed", "set"}


def test_the_same_choices_give_the_same_bytes():
    assert compose_settings(dict(reversed(PARAMS.items())), CONF) == _composed(CONF, yaml.safe_dump(PARAMS))


# --- what is chosen wins --------------------------------------------------------------------------------------------


def test_set_wins_over_conf_and_touches_nothing_else():
    usual, changed = compose(), compose(set={"split": {"gap_days": 3}})
    assert changed["split"] == usual["split"] | {"gap_days": 3}
    assert {k: v for k, v in changed.items() if k != "split"} == {k: v for k, v in usual.items() if k != "split"}


def test_what_is_forecast_is_known_to_what_hangs_on_it():
    changed = compose(set={"targets": {"horizon_days": 14, "churn_event_types": ["order"]}})
    assert changed["targets"]["horizons_days"] == [7, 14, 30, 90]
    assert changed["features"]["active_event_types"] == ["order"]


@pytest.mark.parametrize("path", sorted(CONF.glob("*/**/*.yaml")), ids=lambda path: "/".join(path.parts[-2:]))
def test_a_file_of_a_group_stands_by_itself(path):
    """`dvc exp run -S conf/features/snapshots.yaml:last_k=3` resolves the file alone."""
    OmegaConf.to_container(OmegaConf.load(path), resolve=True)


def test_single_choices_win_over_what_a_source_chooses():
    usual = compose(source="online_retail")
    assert usual["targets"]["horizon_days"] == 90
    changed = compose(source="online_retail", targets="silent_30d", set={"split": {"n_test": 7}})
    assert (changed["targets"]["horizon_days"], changed["split"]["n_test"]) == (30, 7)
    assert changed["source"] == usual["source"]


WORDS = ["order", "call, or not", 'say "so"', "it's", "no", "null", "1", "{braced} [listed] = a: b # c", "\\d+\\", ""]
RULES = [{"stage": "done", "event_type": ["pay: now"], "count_at_least": 2}, {"stage": "{event_type}"}]


def test_every_kind_of_value_survives():
    settings = compose(
        landing="C:\\data\\my shop, 'new' = 2025",
        set={
            "features": {
                "windows_days": [1, 2, 400],
                "half_lives_days": [],
                "population": {"active_within_days": None, "event_types": WORDS},
            },
            "targets": {"churn_event_types": []},
            "split": {
                "test_cutoffs": yaml.safe_load("[2025-06-01, 2025-06-08 12:00:00+02:00, '2025-06-15']"),
                "embargo": False,
                "train_fraction": 1e-05,
            },
            "journey": {"rules": RULES, "path": [], "allowed": {"shop": ["new"]}},
            "report": {"title": WORDS[-3]},
        },
    )
    assert settings["landing"] == "C:\\data\\my shop, 'new' = 2025"
    assert settings["features"]["windows_days"] == [1, 2, 400]
    assert settings["features"]["half_lives_days"] == []
    assert settings["features"]["population"]["active_within_days"] is None
    assert settings["features"]["population"]["event_types"] == WORDS
    assert settings["targets"]["churn_event_types"] == []
    assert settings["split"]["test_cutoffs"] == [
        *("2025-06-01T00:00:00Z", "2025-06-08T10:00:00Z", "2025-06-15T00:00:00Z")
    ]
    assert settings["split"]["embargo"] is False
    assert settings["split"]["train_fraction"] == 1e-05
    assert settings["report"]["title"] == WORDS[-3]
    for rule, wanted in zip(settings["journey"]["rules"], RULES, strict=True):
        assert {k: rule[k] for k in wanted} == wanted


def test_tonight_may_be_chosen():
    assert compose()["clock"] == {"cutoff_time": "latest"}
    assert compose(cutoff_time=yaml.safe_load("2025-06-01"))["clock"] == {"cutoff_time": "2025-06-01T00:00:00Z"}
    assert compose(cutoff_time="2025-06-01T02:00:00+02:00")["clock"] == {"cutoff_time": "2025-06-01T00:00:00Z"}


# --- what is wrong is named -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"source": "nowhere"}, ["no source is called 'nowhere'", "conf/source/ has", "cdnow", "simulated"]),
        ({"model": None}, ["no model is called None", "logistic"]),
        ({"modle": "logistic"}, ["modle is not a choice", "model", "set"]),
        ({"set": "targets.horizon_days=7"}, ["set", "targets.horizon_days=7"]),
        ({"cutoff_time": "tomorrow"}, ["cutoff_time", "'tomorrow'"]),
        ({"set": {"targets": 7}}, ["targets", "not a container"]),
        (
            {"set": {"model": {"settings": {"num_leafs": 3}}}},
            ["model.settings of lightgbm has no 'num_leafs'", "num_leaves"],
        ),
        ({"set": {"model": {"churn": {"name": "bg_nbd"}}}}, ["bg_nbd has no 'person_power'; it has none"]),
        ({"set": {"evaluate": {"baselines": {"next_stage": ["bg_nbd"]}}}}, ["bg_nbd forecasts churn, not next_stage"]),
        ({"set": {"split": {"kind": "cases"}}}, ["features.points=snapshots needs split.kind=cutoffs, not cases"]),
    ],
    ids=str,
)
def test_a_wrong_choice_ends_in_one_sentence_with_the_choices(chosen, words):
    message = refusal(**chosen)
    for word in words:
        assert word in message


@pytest.mark.parametrize("part", [{"settings": {}}, {"churn": {"name": "lightgbm", "settings": {}}}])
def test_trees_that_workers_grow_are_not_asked_to_be_calibrated(part):
    estimator = part.get("churn", part)
    estimator["settings"]["calibration_share"] = 0.25
    words = "calibration_share of lightgbm needs engine.training=local, not dask"
    assert words in refusal(model="lightgbm", engine="dask", set={"model": part})
    here = compose(model="lightgbm", engine="dask", set={"model": part, "engine": {"training": "local"}})
    assert here["engine"]["training"] == "local"


@pytest.mark.parametrize(
    "journey",
    [{"initial": "silent"}, {"path": ["silent"]}, {"allowed": {"silent": []}}, {"rules": [{"stage": "silent"}]}],
    ids=str,
)
def test_no_stage_is_called_what_forecasts_call_something_else(journey):
    words = "a stage cannot be called 'silent': forecasts use stay, end, silent"
    assert words in refusal(source="bpic2012", set={"journey": journey})


def naming(feed, **journey):
    """Settings of a source whose mapping names event types, each of them a stage."""
    feeds = {"source": {"feeds": {"log": {"columns": {"event_type": None}} | feed}}}
    return {"source": "bpic2012", "set": feeds | {"journey": journey}}


@pytest.mark.parametrize(
    "feed",
    [
        {"constants": {"event_type": "end"}},
        {"columns": {}, "event_types": {"A_DECLINED": "end"}},
        {"event_type_rules": [{"column": "activity", "matches": "DECLINED", "event_type": "end"}]},
    ],
    ids=str,
)
def test_an_event_type_that_a_mapping_names_is_refused_where_it_would_be_a_stage_of_that_name(feed):
    words = "source.feeds.log names the event type 'end', of which a rule of the journey makes a stage"
    assert words in refusal(**naming(feed))
    named = [{"stage": "declined", "event_type": ["end"]}, {"stage": "{event_type}"}]
    assert compose(**naming(feed, rules=named))["journey"]["rules"][0]["stage"] == "declined"
    assert compose(**naming(feed | {"actors": {"end": "system"}}))


def test_an_event_type_that_a_mapping_names_otherwise_may_be_a_stage():
    assert compose(**naming({"constants": {"event_type": "end"}, "event_types": {"end": "finished"}}))


def test_all_wrong_settings_are_named_at_once():
    """Unknown names with those there are, wrong types, bad ranges, words that are not among the choices."""
    message = refusal(
        seed=-1,
        set={
            "target": {"horizon_days": 7},
            "targets": {"horizon": 7, "horizon_days": 0, "end_of_case": "maybe"},
            "features": {"windows_days": [30, 7], "last_k": "five", "max_mixed": 7.5},
            "split": {"test_cutoffs": ["soon"], "train_fraction": 1},
            "journey": {"path": ["nirvana"]},
            "report": {"max_flows": None},
        },
    )
    for words in (
        "target is not a setting; there are backtest, clock, engine, evaluate, features",
        "targets.horizon is not a setting; there are churn_event_types, end_of_case, horizon_days",
        "targets.horizon_days: Input should be greater than or equal to 1 (given: '0')",
        "targets.end_of_case: Input should be 'excluded', 'candidate' or 'scored' (given: 'maybe')",
        "features.windows_days: Value error, must be ascending whole days of at least 1 (given: '[30, 7]')",
        "features.last_k: Input should be a valid integer",
        "features.max_mixed: Input should be a valid integer",
        "split.test_cutoffs: Value error, Invalid isoformat string: 'soon'",
        "split.train_fraction: Input should be less than 1",
        "journey: Value error, path or allowed names nirvana, which no rule gives; there are",
        "report.max_flows: Input should be a valid integer (given: 'None')",
        "seed: Input should be greater than or equal to 0",
    ):
        assert words in message


def test_a_setting_without_a_value_is_named(conf):
    (conf / "tracking" / "base.yaml").write_text("experiment: ???\n")
    assert "tracking.experiment: no value" in refusal(conf)


def test_a_file_that_is_not_yaml_is_named(conf):
    (conf / "report" / "base.yaml").write_text("title: [unclosed\n")
    assert "base.yaml" in refusal(conf)


def test_the_step_writes_what_the_sections_read(tmp_path, monkeypatch):
    shutil.copytree(CONF, tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"resolved.yaml does not exist; .*dvc repro config"):
        config.load(TargetsConfig, "targets")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"set": {"targets": {"horizon_days": 9}}}))
    config_step()
    assert config.load(TargetsConfig, "targets").horizon_days == 9
    assert config.load(SplitConfig, "split") == check(SplitConfig, compose()["split"], "split")
    assert config.value("seed") == PARAMS["seed"]


@pytest.mark.parametrize("text", ["source: [simulated\n", "", "- source\n"])
def test_params_that_are_no_choices_are_refused_and_leave_the_settings_alone(tmp_path, monkeypatch, text):
    shutil.copytree(CONF, tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "resolved.yaml").write_text("old\n")
    with pytest.raises(InputError, match=r"params\.yaml"):
        config_step()
    assert (tmp_path / "resolved.yaml").read_text() == "old\n"


def test_settings_cannot_be_changed_once_read():
    targets = check(TargetsConfig, {"horizon_days": 7}, "targets")
    with pytest.raises(ValueError, match="frozen"):
        targets.horizon_days = 8


def test_what_tells_two_experiments_apart_is_among_the_parameters_that_mlflow_remembers():
    """Each is another model, or another question or test of the same one."""
    files = sorted(file.stem for file in (CONF / "model").glob("*.yaml"))
    others = [{"split": {"n_unripe": 2}}, {"split": {"persons": "disjoint"}}, {"targets": {"horizons_days": [14]}}]
    others += [{"model": {"churn": {"settings": {"num_leaves": 5}}}}]
    experiments = [compose(model=name) for name in files] + [compose(model="hazard", set=other) for other in others]
    told = [tuple(sorted((k, str(v)) for k, v in chosen_params(settings).items())) for settings in experiments]
    assert len(set(told)) == len(experiments)
    assert {dict(t)["model.churn.name"] for t in told} >= {"hazard", "lightgbm", "logistic", "rfm_logistic"}
