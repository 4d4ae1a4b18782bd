"""Features that are read from disk into the place where a fit needs them."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

import planted
from waymark import evaluation, models, schema, tables
from waymark.estimators import Rows, Task, grow, pieces
from waymark.inputs import select
from waymark.on_disk import filled_from, places, read_rows
from waymark.period_rows import InPeriods
from waymark.periods import Horizons

FEATURES, TARGETS = planted.tables()
HORIZONS = Horizons(30, (7, 30))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three files of training features, as of three nights: no file has the rows of one person together."""
    folder = tmp_path_factory.mktemp("train")
    for i in range(3):
        tables.write(FEATURES.iloc[i::3], folder / f"{i}.parquet", schema.FEATURES)
    return sorted(folder.iterdir())


def test_rows_are_read_from_any_file_in_any_order(files):
    here = places(files, ["stage"]).sample(frac=0.5, random_state=3)
    columns = [f.column for f in planted.CATALOGUE][::-1]
    x = read_rows(files, here["file"].to_numpy(), here["row"].to_numpy(), columns)
    key = list(schema.FEATURES.key)
    wanted = here[key].merge(FEATURES, on=key)[columns].to_numpy(np.float32)
    np.testing.assert_array_equal(x, wanted)


@pytest.mark.parametrize(("target", "name"), [("next_stage", "lightgbm"), ("churn", "hazard"), ("churn", "logistic")])
def test_a_model_learns_the_same_from_disk(files, target, name, tmp_path):
    what = (TARGETS, planted.CATALOGUE, target, name, {}, planted.GROUPS, 7)
    here, there = (
        models.write(*models.train(*given, *what, horizons=HORIZONS, **how), tmp_path / place)
        for place, given, how in [
            ("here", [FEATURES], {}),
            ("there", [places(files)], {"fill": filled_from(files)}),
        ]
    )
    assert here == there


def test_models_are_judged_the_same_from_disk(files):
    trained = {
        target: models.train(
            FEATURES, TARGETS, planted.CATALOGUE, target, name, {}, planted.GROUPS, 7, horizons=HORIZONS
        )
        for target, name in (("next_stage", "chain"), ("churn", "hazard"))
    }
    how = {
        "baselines": {"next_stage": ["back_off"], "churn": ["recency", "bg_nbd"]},
        "horizons": HORIZONS,
        "end_of_case": "excluded",
        "n_bootstrap": 20,
        "interval": 0.9,
        "n_bins": 5,
        "n_explained": 30,
        "seed": 7,
    }
    here = evaluation.evaluate(FEATURES, TARGETS, planted.CATALOGUE, trained, **how)
    narrow = places(files, ["stage"])
    assert evaluation.evaluate(narrow, TARGETS, planted.CATALOGUE, trained, **how, fill=filled_from(files)) == here


def test_rows_apart_are_taken_where_they_lie():
    x = np.random.default_rng(1).normal(size=(900, 4)).astype(np.float32)
    codes = (x[:, 0] + x[:, 1] > 0).astype(int)
    at = np.flatnonzero(x[:, 3] > -0.5)
    settings = {"n_estimators": 5, "deterministic": True, "force_col_wise": True, "verbose": -1}
    apart = grow(partial(pieces, x), Task(settings, "auto", Rows(at, codes[at], None, None)))
    copied = grow(lambda some: x[at][some], Task(settings, "auto", Rows(np.arange(len(at)), codes[at], None, None)))
    assert apart.model_to_string() == copied.model_to_string()


def test_rows_in_batches_are_binned_as_the_same_rows_at_once():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3)).astype(np.float32)
    at = np.repeat(np.arange(300), 4)
    clock = rng.normal(size=(1200, 2)).astype(np.float32)
    codes = (x[at, 0] + clock[:, 0] > 0).astype(int)
    # A sample of the rows lays the bins, and a column that splits nowhere is dropped: both as the settings say.
    settings = {"n_estimators": 5, "bin_construct_sample_cnt": 400, "min_child_samples": 90, "random_state": 3}
    task = Task(settings | {"deterministic": True, "verbose": -1}, "auto", Rows(np.arange(1200), codes, None, None))
    batches = grow(lambda some: InPeriods(x, at[some], clock[some]), task)
    at_once = grow(partial(pieces, np.column_stack([x[at], clock])), task)
    assert batches.model_to_string() == at_once.model_to_string()


def test_columns_that_lie_side_by_side_are_not_copied():
    x = np.zeros((1000, 20), np.float32)
    frame = pd.DataFrame(x, columns=[f"f_{i}" for i in range(20)], copy=False)
    assert np.shares_memory(select(frame, frame.columns[3:17]).to_numpy(np.float32), x)
    apart = select(frame, ["f_3", "f_1"])
    assert apart.columns.tolist() == ["f_3", "f_1"]
