"""Threads and workers of Dask come to the same, and what can go wrong with workers is said in a sentence."""

from __future__ import annotations

import filecmp
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import planted
from small_project import PARAMS, ROOT, commands, finish
from waymark import catalogue, engine, hazard_trials, models, schema, tables, training
from waymark.config import EngineConfig, IdentityConfig, JourneyConfig, check, load
from waymark.console import set_up_logging
from waymark.engine import started
from waymark.errors import InputError
from waymark.eventlog import micro
from waymark.keeping import make_kept
from waymark.kept import MANIFEST
from waymark.parts import Out, Part, make_tables
from waymark.periods import Horizons
from waymark.renewing import WHOSE
from waymark.schema import Table
from waymark.steps.journeys import OUTS, persons_and_visits
from waymark.store.store import Store

LOCAL = EngineConfig(kind="local", workers=2)
DASK = EngineConfig(kind="dask", workers=2)
TOGETHER = EngineConfig(kind="dask", workers=2, training="dask")
NUMBERS = Table(name="numbers", grain="a number", key=("number",), columns={"number": "int64"})


def has_loopback():
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def workers():
    """Two workers of Dask, that all tests of the file use."""
    pytest.importorskip("distributed")
    if not has_loopback():
        pytest.skip("no loopback to talk over")
    with started(DASK) as there:
        yield there


# --- wrong settings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"kind": "spark"}, "kind: Input should be 'local' or 'dask'"),
        ({"kind": "dask", "workers": 0}, "workers: Input should be greater than or equal to 1"),
        ({"kind": "dask", "address": "10.0.0.5"}, "write for example tcp://10.0.0.5:8786"),
        ({"kind": "local", "address": "tcp://10.0.0.5:8786"}, "go with kind: dask"),
        ({"kind": "local", "training": "dask"}, "go with kind: dask"),
        ({"kind": "dask", "training": "spark"}, "training: Input should be 'local' or 'dask'"),
        ({"kind": "dask", "adress": "x"}, "adress is not a setting; there are address, kind, training, workers"),
    ],
)
def test_a_wrong_setting_is_named(given, sentence):
    with pytest.raises(InputError) as error:
        check(EngineConfig, given, "section engine")
    assert sentence in str(error.value)


@pytest.mark.parametrize("file", sorted((ROOT / "conf/engine").glob("*.yaml")), ids=lambda f: f.stem)
def test_what_conf_offers_is_right(file):
    assert check(EngineConfig, yaml.safe_load(file.read_text()), str(file)).kind == file.stem


def test_without_dask_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(InputError, match="needs Dask, an extra: `make setup-dask` adds it"), started(DASK):
        pass


def test_where_no_scheduler_answers_its_address_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(engine, "ANSWER_SECONDS", 1)
    there = EngineConfig(kind="dask", address="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match=r"no scheduler of Dask answers at tcp://127\.0\.0\.1:9"), started(there):
        pass


def test_a_scheduler_without_workers_is_not_waited_for_long(monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(engine, "START_SECONDS", 0.2)
    with distributed.LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        there = EngineConfig(kind="dask", address=cluster.scheduler_address)
        with pytest.raises(InputError, match="has no workers"), started(there):
            pass


# --- the same work --------------------------------------------------------------------------------------------------


def square(n):
    if n < 0:
        raise InputError(f"{n} is below zero")
    return n * n


@pytest.mark.slow
def test_results_come_in_the_order_of_the_items(workers):
    assert list(workers.over(square, range(50))) == [n * n for n in range(50)]
    with started(LOCAL) as here:
        assert list(here.over(square, range(50))) == [n * n for n in range(50)]


@pytest.mark.slow
def test_what_is_wrong_with_an_item_is_said_as_it_is_here(workers):
    with pytest.raises(InputError, match="-1 is below zero"):
        list(workers.over(square, [1, -1]))
    assert list(workers.over(square, [3])) == [9]


@pytest.mark.slow
def test_nobody_else_can_reach_the_workers(workers):
    psutil = pytest.importorskip("psutil")
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = {c.laddr.ip for p in ours for c in p.net_connections(kind="inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


@pytest.mark.slow
def test_workers_with_other_code_are_refused(workers, monkeypatch):
    monkeypatch.setattr(engine, "code_version", lambda: "another")
    with pytest.raises(InputError, match="other code than this folder holds; start the workers of Dask anew"):
        list(workers.over(square, [1]))


def test_the_store_is_sent_as_its_place_alone(small_project):
    import pickle

    store = Store(small_project / tables.STORE)
    assert store.manifest.n_events > 10_000
    assert len(pickle.dumps(store)) < 500


@pytest.mark.slow
def test_a_table_of_workers_has_the_bytes_of_ours(small_project, workers, tmp_path, monkeypatch):
    monkeypatch.chdir(small_project)
    tonight = pd.Timestamp(tables.read_json(tables.CLOCK / "score.json")["cutoff_time"])
    store = Store(tables.STORE, load(IdentityConfig, "identity"))
    work = partial(persons_and_visits, load(JourneyConfig, "journey"), tonight)
    outs = [out._replace(folder=tmp_path / out.folder.name) for out in OUTS]
    make_kept(workers, work, store, outs, micro(tonight), [])
    for out, ours in zip(outs, OUTS, strict=True):
        here = {f.name: f.read_bytes() for f in ours.folder.iterdir() if f.name != MANIFEST}
        assert {f.name: f.read_bytes() for f in out.folder.iterdir() if f.name != MANIFEST} == here
    assert {f.name for f in tmp_path.iterdir()} == {out.folder.name for out in outs}


# --- workers that die -----------------------------------------------------------------------------------------------


def slowly(at_work, n):
    (at_work / str(os.getpid())).touch()
    time.sleep(0.1)
    return Part([pd.DataFrame({"number": np.arange(n, 2000, 20)})])


def kill_the_first(at_work):
    """Kill whoever is the first to work, while it does."""
    while not (begun := list(at_work.iterdir())):
        time.sleep(0.01)
    os.kill(int(begun[0].name), signal.SIGKILL)


def fatal(n):
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


@pytest.mark.slow
def test_work_goes_on_where_a_worker_is_killed(workers, tmp_path):
    out = [Out(tmp_path / "here.parquet", NUMBERS), Out(tmp_path / "there.parquet", NUMBERS)]
    with started(LOCAL) as here:
        make_tables(here, partial(slowly, tmp_path), range(20), out[:1])
    before = set(workers.client.run(os.getpid).values())
    at_work = tmp_path / "at work"
    at_work.mkdir()
    killer = threading.Thread(target=kill_the_first, args=[at_work], daemon=True)
    killer.start()
    n_rows, _ = make_tables(workers, partial(slowly, at_work), range(20), out[1:])
    killer.join(timeout=1)
    assert n_rows == [2000]
    assert len(before - set(workers.client.run(os.getpid).values())) == 1
    assert len(list(at_work.iterdir())) > 1
    assert filecmp.cmp(out[0].path, out[1].path, shallow=False)


@pytest.mark.slow
def test_work_that_kills_every_worker_ends_in_a_sentence():
    pytest.importorskip("distributed")
    if not has_loopback():
        pytest.skip("no loopback to talk over")
    with started(DASK) as there, pytest.raises(InputError, match="died again and again over one bucket"):
        list(there.over(fatal, range(5)))


# --- trees that workers grow together --------------------------------------------------------------------------------


def what_to_train(project, target="next_stage", **settings):
    """Return the arguments of `training.train` after the engine, for a model that takes some seconds."""
    return (
        project / tables.FEATURES / "train",
        tables.read(project / tables.TARGETS),
        catalogue.from_json(tables.read_json(project / tables.FEATURES / "catalogue.json")),
        target,
        "lightgbm",
        {"start_order": 3, "n_estimators": 60} | settings,
        ["stage", "counts", "recency"],
        7,
        Horizons(30, (7, 30, 90)),
    )


@pytest.mark.slow
def test_workers_grow_a_hazard_too_of_the_same_rows_and_from_the_same_start(workers, tmp_path):
    x, targets = planted.tables(300)
    for i in range(3):  # no file has the rows of one person together
        tables.write(x.iloc[i::3], tmp_path / "train" / f"{i}.parquet", schema.FEATURES)
    settings = {"n_estimators": 40, "colsample_bytree": 1.0}
    given = (targets, planted.CATALOGUE, "churn", "hazard", settings, planted.GROUPS, 7, Horizons(30, (7, 30, 90)))
    here, _ = training.train(LOCAL, tmp_path / "train", *given)
    trained = [training.train(TOGETHER, tmp_path / "train", *given) for _ in "ab"]
    there, again = (models.write(*pair, tmp_path / name) for pair, name in zip(trained, "ab", strict=True))
    assert there["sha256"] == again["sha256"]
    assert there["engine"] == {"kind": "dask", "training": "dask", "workers": 2}
    model, _ = models.load(tmp_path / "a")
    np.testing.assert_array_equal(model.start_, here.start_)
    assert (model.rhythm_ is None) == (here.rhythm_ is None)
    assert model.n_rounds_ == here.n_rounds_ > 5
    assert model.trees_.num_feature() == here.trees_.num_feature()  # the clock among them
    assert model.trees_.feature_importance("gain")[-2:].sum() > 0
    apart = np.abs(model.survival(x, [7, 30]) - here.survival(x, [7, 30]))
    assert 0 < apart.mean() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hazard", "lightgbm"])
def test_workers_stop_at_about_the_round_that_serves_persons_held_out(name, workers, tmp_path, monkeypatch):
    monkeypatch.setattr(hazard_trials, "TRIAL_ROWS", 3000)
    x, targets = planted.tables(300)
    tables.write(x, tmp_path / "train" / "0.parquet", schema.FEATURES)
    given = (targets, planted.CATALOGUE, "churn", name, {}, planted.GROUPS, 7, Horizons(30, (7, 30, 90)))
    here, there = (training.train(engine, tmp_path / "train", *given)[0] for engine in (LOCAL, TOGETHER))
    assert 5 < there.n_rounds_ < 190
    assert there.n_rounds_ == pytest.approx(here.n_rounds_, rel=0.6)


def log_loss(model, project, target="next_stage"):
    features, targets = tables.read(project / tables.FEATURES / "train"), tables.read(project / tables.TARGETS)
    rows = models.labelled(features, targets, target)
    rows = rows[rows["fold"].eq("test") & rows["label"].isin(model.classes_)]
    place = np.searchsorted(model.classes_, rows["label"].to_numpy(str))
    return -np.log(model.predict_proba(rows)[np.arange(len(rows)), place]).mean()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["next_stage", "churn"])
def test_workers_grow_the_same_trees_each_time_and_as_good_ones_as_we(small_project, workers, tmp_path, target):
    here, card = training.train(LOCAL, *what_to_train(small_project, target))
    assert card["engine"] == {"kind": "local"}
    cards = []
    for name in "ab":
        there, card = training.train(TOGETHER, *what_to_train(small_project, target))
        cards.append(models.write(there, card, tmp_path / name))
        assert card["engine"] == {"kind": "dask", "training": "dask", "workers": 2}
    assert cards[0]["sha256"] == cards[1]["sha256"]
    there, _ = models.load(tmp_path / "a")
    assert type(there) is type(here)
    assert type(there.trees_) is type(here.trees_)
    if target == "churn":
        np.testing.assert_array_equal(there.pace_, here.pace_)
    assert log_loss(there, small_project, target) == pytest.approx(log_loss(here, small_project, target), abs=0.05)


@pytest.mark.slow
def test_trees_are_begun_anew_where_a_worker_is_killed(small_project, workers, tmp_path, caplog):
    from waymark.growing import Together

    folder, *what, _ = what_to_train(small_project, n_estimators=2000, early_stopping_rounds=0)
    what[5] = ["stage", "counts", "recency", "gaps", "decays"]
    files = sorted(folder.glob("*.parquet"))
    rows = pd.concat(
        [tables.read(f).assign(file=i, row=lambda frame: np.arange(len(frame))) for i, f in enumerate(files)]
    )

    def kill():
        while not any("_train_part" in str(key) for keys in workers.client.processing().values() for key in keys):
            time.sleep(0.05)
        os.kill(workers.client.run(os.getpid, workers=[sorted(workers.client.nthreads())[0]]).popitem()[1], 9)

    def grown(name):
        model, card = models.train(rows, *what, Together(workers, files, 2).grow_for)
        return models.write(model, card, tmp_path / name)["sha256"]

    undisturbed = grown("a")
    assert not caplog.messages
    threading.Thread(target=kill).start()
    assert grown("b") == undisturbed
    assert "a worker died while trees grew; they are begun anew" in caplog.messages


@pytest.mark.slow
def test_what_is_no_tree_is_trained_here(small_project):
    what = list(what_to_train(small_project))
    what[4], what[5] = "logistic", {}
    _, card = training.train(EngineConfig(kind="dask", training="dask", address="tcp://127.0.0.1:9"), *what)
    assert card["engine"] == {"kind": "local"}


# --- a whole project ------------------------------------------------------------------------------------------------


def run_here():
    """Run every step of the project that this is started in, with a store of small buckets."""
    import runpy

    from waymark.store import landing

    set_up_logging()
    landing.BUCKET_ROWS = 3000
    for module, *arguments in commands(Path.cwd()):
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)


@pytest.mark.slow
def test_every_file_of_a_project_is_the_same_with_dask(small_project, tmp_path):
    pytest.importorskip("distributed")
    choices = PARAMS | {"engine": "dask", "set": PARAMS["set"] | {"engine": {"workers": 2, "training": "local"}}}
    project = finish(tmp_path / "project", choices, __file__)
    assert len(Store(project / tables.STORE).buckets) > 3
    assert len(Store(small_project / tables.STORE).buckets) == 1

    def files(root):
        kept = [f.relative_to(root) for folder in ("data", "models", "reports") for f in (root / folder).rglob("*.*")]
        # Of buckets, and of times: the store, and what is remembered of the persons of each bucket.
        of_buckets = {"store", ".store-seen.json", WHOSE}
        told = (root / f for f in kept if not of_buckets & {*f.parts} and "heads" not in f.name)
        return {f.relative_to(root) for f in told if f.is_file()}

    def manifests(root):
        return [tables.read_json(root / folder / MANIFEST) | {"n_heads": 0} for folder in remembering]

    assert files(project) == files(small_project)
    differ = {f for f in files(project) if not filecmp.cmp(project / f, small_project / f, shallow=False)}
    remembering = tables.JOURNEYS, tables.EXPOSURE
    assert differ <= {folder / MANIFEST for folder in remembering}
    assert manifests(project) == manifests(small_project)


if __name__ == "__main__":
    run_here()
