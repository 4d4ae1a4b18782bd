from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import planted
from waymark import forecast, models, recoding, schema, scoring, tables
from waymark.clock import ScoreClock, TrainClock
from waymark.periods import Horizons
from waymark.replay import differences

RUNS = {"next_stage": "run-1", "churn": "run-2"}
NIGHT = pd.Timestamp("2025-04-01", tz="UTC")
CLOCK = ScoreClock(NIGHT, NIGHT - pd.Timedelta(hours=1), "data0001")
LEARNT = TrainClock(NIGHT - pd.Timedelta(days=1), (), (), "data0000")


@pytest.fixture(scope="module")
def trained():
    features, targets = planted.tables()
    out = {}
    for target in ("next_stage", "churn"):
        model, card = models.train(
            features, targets, planted.CATALOGUE, target, "lightgbm", {"n_estimators": 20}, planted.GROUPS, 7
        )
        out[target] = (model, {**card, "sha256": "0" * 64, "version": f"v_{target}"})
    return out


def tonight(n=40):
    features, _ = planted.tables(n_persons=n, n_nights=1, seed=3)
    return features.assign(cutoff_time=NIGHT)


def scored(trained, features=None, is_explained=None):
    features = tonight() if features is None else features
    return scoring.score(features, trained["next_stage"], trained["churn"], CLOCK, 14, RUNS, is_explained)


def predictions(trained, features=None):
    return scored(trained, features).predictions


def test_everybody_has_one_forecast_that_sums_to_one(trained):
    made = predictions(trained)
    probability = [c for c in made if c.startswith("p_")]
    assert made["person_id"].is_unique and len(made) == 40
    assert {"p_silent_14d", "p_stay", "p_next_cart", "p_next_order"} <= set(probability)
    assert not [c for c in probability if "end" in c]
    np.testing.assert_allclose(made[probability].sum(axis=1), 1, atol=1e-12)
    schema.to_arrow(made, schema.PREDICTIONS)


def test_a_hazard_forecasts_silence_at_every_horizon_and_the_day_of_return(trained):
    features, targets = planted.tables()
    horizons = Horizons(14, (7, 14, 60))
    model, card = models.train(
        *(features, targets, planted.CATALOGUE, "churn", "hazard", {"n_estimators": 20}, planted.GROUPS, 7),
        horizons=horizons,
    )
    made = predictions({**trained, "churn": (model, {**card, "version": "v"})})
    silent = made[["p_silent_7d", "p_silent_14d", "p_silent_60d"]].to_numpy()
    np.testing.assert_array_equal(silent, model.survival(tonight(), horizons.every))
    assert (np.diff(silent, axis=1) <= 0).all()
    stages = [c for c in made if c.startswith("p_next_")]
    np.testing.assert_allclose(made[["p_silent_14d", "p_stay", *stages]].sum(axis=1), 1, atol=1e-12)
    days = made[["return_days_low", "return_days", "return_days_high"]].to_numpy()
    assert (np.diff(days, axis=1) > 0).all() and (days > 0).all() and (days < 60).all()
    schema.to_arrow(made, schema.PREDICTIONS)
    assert not len(predictions({**trained, "churn": (model, {**card, "version": "v"})}, tonight().iloc[:0]))


def test_so_does_bg_nbd_and_it_says_why(trained):
    features, targets = planted.tables()
    of = planted.CATALOGUE, "churn", "bg_nbd", {}, planted.GROUPS, 7
    model, card = models.train(features, targets, *of, horizons=Horizons(14, (7, 14, 60)))
    made, why = scored({**trained, "churn": (model, {**card, "version": "v"})})
    silent = made[["p_silent_7d", "p_silent_14d", "p_silent_60d"]].to_numpy()
    assert (np.diff(silent, axis=1) < 0).all()
    assert made["return_days"].between(0, 60).all()
    of_silence = why[why["target"] == "churn"]
    assert (of_silence["reason_1"].str.contains("silence")).all()
    np.testing.assert_allclose(expit(of_silence["log_odds"]), made["p_silent_14d"], rtol=1e-9)


@pytest.mark.parametrize("name", sorted({*models.MODELS} - {"repeat_last", "hazard", "bg_nbd"}))
def test_every_model_of_one_horizon_forecasts_the_others_at_the_pace_of_all(trained, tmp_path, name):
    features, targets = planted.tables()
    settings = {"n_estimators": 20} if name == "lightgbm" else {}
    of = planted.CATALOGUE, "churn", name, settings, planted.GROUPS, 7
    model, card = models.train(features, targets, *of, horizons=Horizons(14, (7, 14, 60)))
    models.write(model, card, tmp_path)
    made = predictions({**trained, "churn": models.load(tmp_path)})
    silent = made[["p_silent_7d", "p_silent_14d", "p_silent_60d"]].to_numpy()
    assert (np.diff(silent, axis=1) < 0).all()
    np.testing.assert_allclose(silent[:, 1], model.predict_proba(tonight())[:, 1], rtol=1e-12)
    stages = [c for c in made if c.startswith("p_next_")]
    for days in (7, 14, 60):
        np.testing.assert_allclose(forecast.at_horizon(made, days).sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(made[["p_silent_14d", "p_stay", *stages]].sum(axis=1), 1, atol=1e-12)
    days = made[["return_days_low", "return_days", "return_days_high"]].to_numpy()
    assert (np.diff(days, axis=1) > 0).all() and (days > 0).all() and (days < 60).all()
    assert not len(predictions({**trained, "churn": (model, {**card, "version": "v"})}, tonight().iloc[:0]))


def test_a_model_that_was_never_told_of_horizons_tells_no_day_of_return(trained):
    """Such as a champion that was kept before there were paces."""
    made = predictions(trained)
    assert [c for c in made if c.startswith("p_silent_")] == ["p_silent_14d"]
    assert made["return_days"].isna().all()


def test_the_order_of_the_features_does_not_matter(trained):
    shuffled = tonight().sample(frac=1, random_state=1)
    again = predictions(trained, shuffled).sort_values("person_id", ignore_index=True)
    pd.testing.assert_frame_equal(predictions(trained), again)


def test_stretches_come_to_what_the_whole_does(trained, tmp_path):
    whole = scoring.publish([scored(trained)], 40, CLOCK, LEARNT, "shop", tmp_path / "whole")
    stretches = [scored(trained, tonight()[begin : begin + 15]) for begin in range(0, 40, 15)]
    bits = scoring.publish(stretches, 40, CLOCK, LEARNT, "shop", tmp_path / "bits")
    assert {p.name: p.read_bytes() for p in whole.iterdir()} == {p.name: p.read_bytes() for p in bits.iterdir()}


def test_where_there_are_many_the_least_certain_are_given_reasons(trained):
    features = tonight()
    everybody = predictions(trained, features)
    is_chosen = scoring.least_certain([features[:25], features[25:]], trained["churn"], 10)
    doubt = (everybody["p_silent_14d"] - 0.5).abs()
    assert is_chosen.sum() == 10 and doubt[is_chosen].max() <= doubt[~is_chosen].min()
    made, why = scored(trained, features, is_chosen)
    assert why["person_id"].tolist() == features["person_id"][is_chosen].repeat(2).tolist()
    pd.testing.assert_frame_equal(made[is_chosen], everybody[is_chosen])
    reasons = ["reason_1", "reason_2", "reason_3"]
    assert (made.loc[~is_chosen, reasons] == "").all(axis=None)
    pd.testing.assert_frame_equal(made.drop(columns=reasons), everybody.drop(columns=reasons))


def test_an_older_model_is_given_the_categories_that_it_learnt(trained):
    """The catalogue of tonight codes categories the other way round."""
    turned = [replace(f, categories=f.categories[::-1]) if f.categories else f for f in planted.CATALOGUE]
    codes = {f.column: 2 - tonight()[f.column] for f in turned if f.categories}
    given = {target: recoding.with_features(model, turned) for target, model in trained.items()}
    pd.testing.assert_frame_equal(predictions(given, tonight().assign(**codes)), predictions(trained))


def test_who_is_silent_for_long_is_told_so_first(trained):
    features = tonight()
    made = predictions(trained, features).set_index("person_id")
    longest = features.set_index("person_id")["f_days_since_last_activity"].idxmax()
    reasons = made.loc[longest, ["reason_1", "reason_2", "reason_3"]].tolist()
    assert made.loc[longest, "next_stage"] == "silent"
    assert "days since the last activity: silence likelier" in reasons[0]


def test_reasons_speak_of_what_the_forecast_can_name(trained):
    """Who clicks goes on to `cart`; who is there already cannot go there."""
    made = predictions(trained, tonight(300))
    reasons = made[["reason_1", "reason_2", "reason_3"]].agg(" | ".join, axis=1)
    assert reasons.str.contains(": cart likelier").any()
    for stage, there in reasons.groupby(made["stage"]):
        assert not there.str.contains(f": {stage} (?:less )?like").any(), stage


def test_a_model_without_reasons_gives_none(trained):
    features, targets = planted.tables()
    model, card = models.train(features, targets, planted.CATALOGUE, "churn", "most_frequent", {}, planted.GROUPS, 7)
    plain = (model, {**card, "version": "v"})
    made, why = scored({**trained, "churn": plain})
    assert not made["reason_1"].str.contains("silence").any()
    of_silence = why[why["target"] == "churn"]
    assert (of_silence["base"] == of_silence["log_odds"]).all() and (of_silence["reason_1"] == "").all()


def test_how_far_the_groups_moved_a_forecast_adds_up_to_what_is_published(trained, tmp_path):
    made, why = scored(trained)
    moved = why.filter(like="by_")
    np.testing.assert_allclose(why["base"] + moved.sum(axis=1), why["log_odds"], rtol=1e-9)
    apart = {target: rows.set_index("person_id") for target, rows in why.groupby("target")}
    told = made.set_index("person_id")
    assert (apart["churn"]["outcome"] == "silent").all()
    np.testing.assert_allclose(expit(apart["churn"]["log_odds"]), told["p_silent_14d"], rtol=1e-9)
    next_stage = apart["next_stage"].loc[told.index]
    columns = next_stage["outcome"].map({"stay": "p_stay", "cart": "p_next_cart", "order": "p_next_order"})
    published = [told.loc[person, column] for person, column in columns.items()]
    np.testing.assert_allclose(expit(next_stage["log_odds"]) * (1 - told["p_silent_14d"]), published, rtol=1e-9)
    strongest = why.assign(points=why["points_1"].abs()).sort_values("points").groupby("person_id")["reason_1"].last()
    pd.testing.assert_series_equal(strongest.loc[told.index], told["reason_1"], check_names=False)
    folder = scoring.publish([(made, why)], len(made), CLOCK, LEARNT, "shop", tmp_path)
    pd.testing.assert_frame_equal(tables.read(folder / "reasons.parquet")[why.columns], why, check_dtype=False)


def test_a_night_without_persons_is_a_night(trained, tmp_path):
    made, why = scored(trained, tonight().iloc[:0])
    folder = scoring.publish([(made, why)], len(made), CLOCK, LEARNT, "shop", tmp_path)
    assert tables.read_json(folder / "manifest.json")["n_persons"] == 0
    assert list(tables.read(folder / "predictions.parquet").columns) == list(made.columns) or made.empty


def test_a_partition_says_what_it_holds_and_other_nights_stay(trained, tmp_path):
    made, why = scored(trained)
    first = scoring.publish([(made, why)], len(made), CLOCK, LEARNT, "shop", tmp_path)
    before = {p: p.read_bytes() for p in first.iterdir()}
    later = ScoreClock(NIGHT + pd.Timedelta(days=1), NIGHT, "data0002")
    scoring.publish([(made.assign(cutoff_time=later.cutoff_time), why)], len(made), later, LEARNT, "shop", tmp_path)
    assert {p: p.read_bytes() for p in first.iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cutoff_date=2025-04-01", "cutoff_date=2025-04-02"]
    manifest = tables.read_json(first / "manifest.json")
    assert manifest["sha256"]["predictions.parquet"] == tables.sha256(first / "predictions.parquet")
    assert manifest["versions"]["model_version_churn"] == "v_churn"
    assert manifest["warnings"] == []


def test_a_partition_says_which_stage_each_column_speaks_of(trained, tmp_path):
    features, targets = planted.tables()
    renamed = targets.assign(next_stage=targets["next_stage"].replace({"cart": "на складе", "order": "至急"}))
    model, card = models.train(
        features, renamed, planted.CATALOGUE, "next_stage", "most_frequent", {}, planted.GROUPS, 7
    )
    for n in (0, 40):
        made, why = scored({**trained, "next_stage": (model, {**card, "version": "v"})}, tonight().iloc[:n])
        folder = scoring.publish([(made, why)], len(made), CLOCK, LEARNT, "shop", tmp_path / str(n))
        said = tables.read_json(folder / "manifest.json")["next_stages"]
        assert sorted(said) == [c for c in made if c.startswith("p_next_")]
        assert sorted(said.values()) == ["на складе", "至急"]
    share = dict(zip(model.classes_, model.predict_proba(features.head(1))[0], strict=True))
    for column, stage in said.items():
        assert (made[column] / made["p_stay"]).tolist() == pytest.approx([share[stage] / share["stay"]] * len(made))


def test_models_that_saw_what_came_after_are_marked(trained, tmp_path):
    hindsight = TrainClock(NIGHT + pd.Timedelta(days=1), (), (), "data0000")
    folder = scoring.publish([scored(trained)], 40, CLOCK, hindsight, "shop", tmp_path)
    assert "after this cut-off" in tables.read_json(folder / "manifest.json")["warnings"][0]


def test_older_champions_are_told_by_what_their_training_could_see(trained, tmp_path):
    seen = {"next_stage": NIGHT - pd.Timedelta(days=40), "churn": NIGHT - pd.Timedelta(days=10)}
    hindsight = TrainClock(NIGHT + pd.Timedelta(days=1), (), (), "data0000")
    folder = scoring.publish([scored(trained)], 40, CLOCK, hindsight, "shop", tmp_path, known_until=seen)
    manifest = tables.read_json(folder / "manifest.json")
    assert manifest["trained_until"] == {target: time.isoformat() for target, time in seen.items()}
    assert (manifest["warnings"], manifest["mlflow_run_ids"]) == ([], RUNS)


def test_a_failure_on_the_way_leaves_the_night_as_it_was(trained, tmp_path):
    made, why = scored(trained)
    folder = scoring.publish([(made, why)], len(made), CLOCK, LEARNT, "shop", tmp_path)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(schema.ContractError):
        scoring.publish([(pd.concat([made, made]), why)], 80, CLOCK, LEARNT, "shop", tmp_path)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_a_partition_keeps_the_checksums_of_both_forecasts_and_of_what_they_were_made_from(trained, tmp_path):
    features = tonight()
    file = tmp_path / "features.parquet"
    tables.write(features, file, schema.FEATURES)
    plain = {
        target: models.train(*planted.tables(), planted.CATALOGUE, target, "most_frequent", {}, planted.GROUPS, 7)
        for target in ("next_stage", "churn")
    }
    baselines = {target: (model, {**card, "version": "b"}) for target, (model, card) in plain.items()}
    baseline = scoring.score_baselines(features, baselines, 14)
    probability = [c for c in baseline if c.startswith("p_")]
    np.testing.assert_allclose(baseline[probability].sum(axis=1), 1, atol=1e-12)
    made, why = scored(trained, features)
    folder = scoring.publish([(made, why)], len(made), CLOCK, LEARNT, "shop", tmp_path / "nights", {}, [baseline], file)
    manifest = tables.read_json(folder / "manifest.json")
    assert manifest["models"]["baseline"]["churn"] == {"name": "most_frequent", "version": "b"}
    assert manifest["sha256"] == {
        "predictions.parquet": tables.sha256(folder / "predictions.parquet"),
        "baseline.parquet": tables.sha256(folder / "baseline.parquet"),
        "reasons.parquet": tables.sha256(folder / "reasons.parquet"),
        file.as_posix(): tables.sha256(file),
    }
    assert set(tables.read(folder / "baseline.parquet")["person_id"]) == set(made["person_id"])
    assert scoring.are_complete(baselines) and not scoring.are_complete({"churn": baselines["churn"]})


def test_a_replay_says_what_differs(trained, tmp_path):
    made, why = scored(trained)
    one = scoring.publish([(made, why)], len(made), CLOCK, LEARNT, "shop", tmp_path / "one")
    assert differences(one, scoring.publish([(made, why)], len(made), CLOCK, LEARNT, "shop", tmp_path / "same")) == []
    other = made.iloc[1:].assign(p_stay=0.5)
    other.attrs = made.attrs
    file = tmp_path / "file"
    file.write_text("other features")
    two = scoring.publish([(other, why)], len(other), CLOCK, LEARNT, "shop", tmp_path / "two", features=file)
    assert differences(one, two) == [
        "predictions.parquet: 1 persons published only",
        "predictions.parquet: p_stay differs",
        f"{file.as_posix()}: its bytes differ",
    ]
