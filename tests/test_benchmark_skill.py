import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier

import planted
from skill import ceilings, cost, families, holdings, known_laws, midnights, page, protocols, twins, waits
from skill.__main__ import main
from skill.judging import compare
from skill.logs import Points, settings_of
from skill.protocols import Ahead, Goal, Kept
from speed.measuring import Cost
from waymark import tables

TRUTH = np.random.default_rng(0).random(600)
Y = (np.random.default_rng(1).random(600) < TRUTH).astype(int)
PERSONS = [f"p{i // 2}" for i in range(600)]


def of(p):
    return np.column_stack([1 - p, p])


FOUND = compare(
    "churn",
    Y,
    {"lightgbm": of(TRUTH * 0.98 + 0.01), "recency": of(np.full(600, 0.5)), "bayes": of(TRUTH.clip(0.01, 0.99))},
    PERSONS,
    "lightgbm",
    ["recency"],
    n_train=1000,
) | {"cpu_seconds": 1.0, "peak_mb": 100.0}


def test_goals_are_bounds_of_ours_alone_or_times_what_another_model_has():
    loss = FOUND["models"]["lightgbm"]["log_loss"]
    assert Goal("log_loss", at_most=loss + 1e-9).is_reached(FOUND)
    assert not Goal("log_loss", at_most=loss - 1e-9).is_reached(FOUND)
    assert Goal("auc", at_least=0.7).is_reached(FOUND)
    assert not Goal("auc", at_least=0.99).is_reached(FOUND)
    assert Goal("log_loss", at_most=1.02, of="bayes").is_reached(FOUND)
    assert not Goal("log_loss", at_most=0.5, of="recency").is_reached(FOUND)
    assert Goal("log_loss", at_most=0.85, of="chain").words == "log loss <= 0.85 x chain's"
    assert Goal("ece", at_most=1.0, of="bg_nbd").words == "ece <= bg nbd's"
    assert Goal("auc", at_least=0.78).words == "auc >= 0.78"


@pytest.mark.parametrize("metric", ["log_loss", "auc"])
def test_a_gain_is_proven_where_its_interval_excludes_nought_to_our_side(metric):
    assert Ahead(metric).is_reached(FOUND)
    turned = {"difference": {metric: {k: -v for k, v in FOUND["difference"][metric].items()}}}
    turned["difference"][metric] |= {k: -FOUND["difference"][metric][o] for k, o in (("low", "high"), ("high", "low"))}
    assert not Ahead(metric).is_reached(turned)
    doubtful = {"difference": {metric: {"value": -0.1, "low": -0.2, "high": 0.1}}}
    assert not Ahead(metric).is_reached(doubtful)


def test_the_gate_keeps_the_best_baseline_only_if_it_does_so_reigning_or_not():
    gate = {"reigning": "recency", "before any reign": "recency"}
    assert Kept().is_reached(FOUND | {"gate": gate})
    assert not Kept().is_reached(FOUND | {"gate": gate | {"reigning": "lightgbm"}})


def test_at_midnight_the_next_event_is_forecast_of_cases_that_go_on():
    nights = pd.to_datetime(["2025-01-02", "2025-01-03", "2025-01-04", "2025-01-05"], utc=True).as_unit("us")
    rows = pd.DataFrame({
        "person_id": pd.array(["customer:ann"] * 4 + ["customer:bob"] * 4, "str"),
        "cutoff_time": [*nights, *nights],
        "prefix_length": np.array([1, 1, 2, 3, 1, 1, 1, 1], "int32"),
        "stage": pd.array(["call", "call", "call", "check", *["call"] * 4], "str"),
    })  # fmt: skip
    truth = rows[["person_id", "cutoff_time", "prefix_length"]].assign(
        next_stage=None, next_stage_status="?", fold=["train", "train", "train", "test"] * 2
    )
    events = pd.DataFrame({
        "customer_id": ["ann", "ann", "ann", "bob", "bob", "bob"],
        "event_time": pd.to_datetime(
            ["2025-01-01 09", "2025-01-03 12", "2025-01-04 00", "2025-01-01 09", "2025-01-07 10", "2025-01-07 10"],
            format="%Y-%m-%d %H",
            utc=True,
        ).as_unit("us"),
        "sequence": [0, 1, 2, 3, 5, 4],
        "event_type": ["call", "call", "check", "call", "check", "sign"],
    })  # fmt: skip
    found = midnights.what_comes_next(Points(rows, truth, [], None), events)
    told = found.truth.set_index(["person_id", "cutoff_time"])["next_stage"]
    # An event at midnight is one to come; ann ends with it. That of bob was not known when the test began.
    assert told["customer:ann"].tolist() == ["stay", "stay", "check"]
    assert told["customer:bob"].isna().tolist() == [True, True, True, False]
    assert told["customer:bob", nights[3]] == "sign"
    assert len(found.rows) == len(found.truth) == 7


def test_the_page_has_a_line_a_protocol_and_every_model():
    text = page.show({"complete_journey": FOUND}, COST, {"date": "2026-01-01", "machine": "a machine"})
    line = next(line for line in text.splitlines() if line.startswith("| complete_journey, 28"))
    assert "(lightgbm)" in line
    assert "(recency)" in line
    assert line.endswith("| no; yes |")  # its AUC is .83
    assert "| bayes |" in text
    assert "500 made-up points with 60 features" in text
    assert "| train churn (hazard) |" in text
    assert protocols.PROTOCOLS["complete_journey"].words in text


def test_the_page_says_at_which_commit_it_was_measured():
    where = {"date": "2026-01-01", "machine": "a machine"}
    one = page.show({name: FOUND | {"commit": "abc"} for name in ("retail_90", "complete_journey")}, None, where)
    assert "on a machine, at commit abc." in one
    two = page.show(
        {"retail_90": FOUND | {"commit": "abc"}, "complete_journey": FOUND | {"commit": "def"}}, None, where
    )
    assert "at commit abc (retail_90); def (complete_journey)." in two


def test_a_share_of_the_persons_has_all_rows_of_each_and_is_part_of_a_larger_share():
    persons = pd.Series(np.repeat([f"p{i}" for i in range(400)], 3))
    tenth, half = (families.drawn(persons, share, "among few") for share in (0.1, 0.5))
    assert (tenth.reshape(-1, 3) == tenth.reshape(-1, 3)[:, :1]).all()
    assert (half[tenth]).all()
    assert half.mean() == pytest.approx(0.5, abs=0.08)
    assert (half & families.drawn(persons, 0.5, "held out")).mean() == pytest.approx(0.25, abs=0.08)  # another draw
    rows = pd.DataFrame({"person_id": persons})
    assert len(families.few(rows)) == len(rows)


def test_without_logs_or_with_an_unknown_protocol_it_says_what_it_needs(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("WAYMARK_LOGS", raising=False)
    with pytest.raises(SystemExit):
        main([])
    monkeypatch.setenv("WAYMARK_LOGS", str(tmp_path))
    with pytest.raises(SystemExit):
        main(["moon"])
    assert "there is no protocol moon; there are bpi_12_w" in capsys.readouterr().err


def test_what_was_found_before_is_not_run_again(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WAYMARK_LOGS", str(tmp_path))
    monkeypatch.setenv("WAYMARK_BENCHMARK", str(tmp_path / "kept"))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "cost.json").write_text(json.dumps(COST))
    for name in protocols.PROTOCOLS:
        (tmp_path / "kept" / f"{name}.json").write_text(json.dumps(WAIT if "wait" in name else FULL))
    for name in holdings.HOLDINGS:
        (tmp_path / "kept" / f"{name}.json").write_text(json.dumps(HELD))
    main([])
    page = capsys.readouterr().out
    assert page.count("s of CPU") == len(protocols.PROTOCOLS)
    assert page.count("go on alike 60.0% of the time") == len(holdings.HOLDINGS)
    assert "| random forest, 1,234 rows |  |  | 0.7000 | 0.8000 |" in page
    assert "| logistic, with hindsight |  |  | 0.7000 | 0.8000 |" in page
    assert "| ours, 80% of the persons (9) | 0.5000 | 1.0000 | 0.5000 | 1.0000 |" in page
    assert "| ours, 90% of the persons (11) |  |  | 0.5000 | 1.0000 |" in page
    assert "| ours, were it right |  |  | 0.6000 [0.5000, 0.7000] | 0.6000 [0.5000, 0.7000] |" in page


def test_each_part_of_the_cost_runs_on_what_those_before_it_left():
    def here(part, folder, n):
        cost.PARTS[part](folder, n)
        trained = [tables.read_json(card) for card in folder.glob("*/model.json")]
        assert not any("not_modelled" in card for card in trained)
        return Cost(1.5, 2.0, 300.0)

    found = cost.measure(1000, here)
    assert list(found["parts"]) == [*cost.PARTS][1:]
    assert found["parts"]["score both"] == {"cpu_seconds": 1.5, "peak_mb": 300.0}


COST = {
    "n_points": 500,
    "n_features": 60,
    "n_explained": 100,
    "parts": {"train churn (hazard)": {"cpu_seconds": 1.0, "peak_mb": 200.0}},
}
FULL = FOUND | {
    "models": {
        name: {"accuracy": 0.5, "auc": 0.5, "log_loss": 0.5, "ece": 0.1}
        for name in ("lightgbm", "recency", "bayes", "back_off", "bg_nbd")
    },
    "gate": {"reigning": "recency"},
}
JUDGED = {"accuracy": 0.5, "log_loss": 1.0}
HELD = {
    "target": "next_stage",
    "curve": [
        {"share": 0.8, "n_persons": 9, "held_out": JUDGED, "test": JUDGED},
        {"share": 0.9, "n_persons": 11, "test": JUDGED},
    ],
    "families": {n: {"accuracy": 0.7, "log_loss": 0.8} for n in ("logistic", "random forest")},
    "n_named": 1234,
    "hindsight": {"logistic": {"accuracy": 0.7, "log_loss": 0.8}},
    "right": {m: {"mean": 0.6, "low": 0.5, "high": 0.7} for m in JUDGED},
    "twins": {"share": 0.9, "alike": 0.6, "at_most": 0.77, "accuracy": 0.7},
}
WAIT = FOUND | {
    "models": {"lightgbm": {"mae": 1.0}, "recency": {"mae": 1.5}},
    "difference": {"mae": {"value": -0.5, "low": -0.6, "high": -0.4}},
}


def test_the_median_of_a_wait_is_read_from_the_spans():
    days = np.arange(2400) / 100
    spans = waits.Spans(days)
    assert len(spans.names) == 24
    assert spans.of(np.array([0.0, 0.5, 23.9, 99.0])).tolist() == ["00", "00", "23", "23"]
    alike = np.full((1, 24), 1 / 24)
    assert spans.median(alike, spans.names) == pytest.approx(12, abs=0.02)
    surely = np.eye(24)[[5]]
    assert spans.median(surely, spans.names) == pytest.approx(5.5, abs=0.02)
    later = np.zeros((1, 24))
    later[0, [2, 7]] = 0.4, 0.6  # a sixth of the second has to pass
    assert spans.median(later, spans.names) == pytest.approx(7 + 1 / 6, abs=0.02)
    assert spans.median(later[:, [2, 7]], ["02", "07"]) == pytest.approx(7 + 1 / 6, abs=0.02)  # some were never seen


def test_many_waits_of_one_length_share_a_span():
    spans = waits.Spans(np.array([0.0] * 90 + [1.0] * 10))
    assert spans.names.tolist() == ["00", "01"]
    assert spans.median(np.array([[0.9, 0.1], [0.1, 0.9]]), spans.names).tolist() == [0.0, 1.0]


def test_no_rule_beats_the_bound_of_twins():
    rng = np.random.default_rng(5)
    n_contexts, n_cases, chances = 40, 60, rng.dirichlet(np.full(4, 0.5), 40)
    best = chances.max(axis=1).mean()
    alike = (chances**2).sum(axis=1).mean()
    assert best <= twins.at_most(alike, 4) < best + 0.1
    assert twins.at_most(1.0, 4) == 1
    assert twins.at_most(0.25, 4) == pytest.approx(0.25)  # nobody can tell, and there are four
    drawn = np.array([rng.choice(4, n_cases, p=p) for p in chances])
    counts = np.stack([(drawn == k).sum(axis=1) for k in range(4)], axis=1)
    seen = (counts * (counts - 1)).sum() / (n_contexts * n_cases * (n_cases - 1))
    assert seen == pytest.approx(alike, abs=0.02)


def test_sequences_are_those_of_the_whole_case_so_far():
    rows = pd.DataFrame({
        "person_id": ["b", "a", "b", "a", "c"],
        "prefix_length": [2, 1, 1, 2, 1],
        "stage": ["y", "x", "x", "y", "xy"],
    })  # fmt: skip
    found = twins.sequences(rows).set_index(["person_id", "prefix_length"])["sequence"]
    assert found["a", 2] == found["b", 2] != found["a", 1] == found["b", 1]
    assert found["c", 1] not in {found["a", 1], found["a", 2]}


def test_a_wait_is_drawn_from_those_of_its_span():
    spans = waits.Spans(np.arange(2400) / 100)
    drawn = spans.draw(np.repeat([0, 23], 50), np.random.default_rng(1))
    assert (drawn[:50] >= 0).all() and (drawn[:50] < 1.01).all() and drawn[:50].std() > 0.1
    assert (drawn[50:] >= 22.9).all()


FEW = {"random forest": lambda: RandomForestClassifier(30, min_samples_leaf=20, random_state=0)}


@pytest.fixture(scope="module")
def buyers():
    """Points of planted persons at four weekly nights, the last of which tests."""
    features, truth = planted.tables()
    settings = settings_of("cdnow", Path())
    groups = settings.features.model_copy(update={"groups": list(planted.GROUPS)})
    return Points(features, truth, planted.CATALOGUE, settings.model_copy(update={"features": groups}))


def test_limits_of_churn_are_looked_for(buyers, monkeypatch):
    monkeypatch.setattr(families, "FAMILIES", FEW)
    monkeypatch.setattr(ceilings, "SHARES", (0.2, 0.8))
    question = ceilings.Labels(buyers, "churn")
    found = ceilings.explore(question)
    some, most = found["curve"]
    assert 0 < some["n_persons"] < most["n_persons"] < question.persons.nunique()
    assert set(some["held_out"]) == set(some["test"]) == {"auc", "log_loss", "ece"}
    monkeypatch.setattr(ceilings, "SHARES", (0.8,))
    monkeypatch.setattr(ceilings, "MOST_LEARNT", len(question.named) / 4)
    [fewer], _ = ceilings.learning_curve(question)
    assert fewer["n_persons"] == some["n_persons"]
    assert set(found["families"]) == {"logistic", "random forest"}
    assert set(found["hindsight"]) == {"trees like ours", "logistic", "random forest"}
    assert found["families"]["logistic"]["auc"] > 0.6
    assert all(v["low"] < v["mean"] < v["high"] for v in found["right"].values())
    assert "twins" not in found


def test_who_learns_is_not_judged_and_nobody_who_tests_learns(buyers):
    question = ceilings.Labels(buyers, "churn")
    some, others = set(question.persons[:20]), set(question.persons[20:])
    held_out = question.held_out(some)
    assert set(held_out["person_id"]) <= some
    assert set(held_out["cutoff_time"]).isdisjoint(question.test["cutoff_time"])
    dealt = question._dealt(others, "train", "other").truth
    learns = dealt[dealt["fold"] == "train"]
    assert set(learns["person_id"]) <= others
    assert set(learns["cutoff_time"]).isdisjoint(question.test["cutoff_time"])


def test_forecasts_that_are_right_are_judged_as_the_truth_would_judge_them(buyers):
    question = ceilings.Labels(buyers, "churn")
    silent = np.full(len(question.test), 0.3)
    half = len(silent) // 2
    silent[:half] = 0.6
    found = ceilings.right(question, np.column_stack([1 - silent, silent]))
    entropy = [-(p * np.log(p) + (1 - p) * np.log(1 - p)) for p in silent]
    assert found["log_loss"]["mean"] == pytest.approx(np.mean(entropy), abs=0.01)
    above = 0.6 * 0.7 / (0.6 * 0.7 + 0.4 * 0.3)  # of pairs with one of each outcome and forecasts that differ
    same = 0.5 * (0.6 * 0.4 + 0.3 * 0.7)
    apart = 0.5 * (0.6 * 0.7 + 0.4 * 0.3)
    assert found["auc"]["mean"] == pytest.approx((apart * above + same * 0.5) / (apart + same), abs=0.02)


def test_silence_learnt_within_fewer_days_is_carried_on_at_one_rate(buyers):
    question = ceilings.Labels(buyers, "churn", known_days=buyers.horizons.judged / 2)
    rows = question.named
    assert (rows["observed_days"] >= question.known_days).all()
    model = DummyClassifier(strategy="prior").fit(rows, rows["label"].astype(str))
    p = model.predict_proba(rows[:1])[0, 1]
    assert question.forecast(model, rows[:1], False)[0] == pytest.approx([1 - p**2, p**2])
    assert question.forecast(model, rows[:1], True)[0] == pytest.approx([1 - p, p])


@pytest.mark.slow
def test_limits_are_looked_for_on_the_rows_that_ours_is_judged_on(tmp_path, monkeypatch):
    monkeypatch.setattr(families, "FAMILIES", FEW)
    points, test, p, classes = known_laws.chain_points(tmp_path)
    few = points.rows["person_id"].unique()[::4]
    points = replace(
        points, **{k: v[v["person_id"].isin(few)] for k, v in {"rows": points.rows, "truth": points.truth}.items()}
    )
    is_few = test["person_id"].isin(few).to_numpy()
    y = np.searchsorted(classes, test.loc[is_few, "label"].astype(str))
    best = -np.log(p[is_few][np.arange(len(y)), y]).mean()
    monkeypatch.setattr(ceilings, "MOST_ASKED", len(y) - 1)
    found = ceilings.explore(ceilings.Labels(points, "next_stage"))
    assert found["twins"]["at_most"] > (p[is_few].argmax(axis=1) == y).mean() - 0.02  # by luck, on these rows
    assert [c["n_persons"] for c in found["curve"]] == sorted(c["n_persons"] for c in found["curve"])
    losses = [found["curve"][-1]["test"]["log_loss"], *(f["log_loss"] for f in found["families"].values())]
    assert best - 0.002 < min(losses) < best * 1.03
    assert found["hindsight"] == {}, "more rows test than are asked"


def test_the_interval_of_a_difference_is_over_persons():
    error = np.repeat(np.random.default_rng(2).normal(-1, 1, 50), 20)  # twenty rows of a person are one
    found = waits._difference(error, pd.Series(np.repeat(np.arange(50), 20)))
    assert found["value"] == pytest.approx(error.mean())
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 / np.sqrt(50), rel=0.3)


def test_the_chances_of_the_markov_brand_are_chances():
    np.testing.assert_allclose(known_laws.CHAIN.sum(axis=1), 1)


@pytest.mark.slow
def test_nobody_beats_who_knows_the_law(tmp_path):
    for judge in (known_laws.judge_buyers, known_laws.judge_chain):
        found = judge(tmp_path)
        models = found["models"]
        others = [m["log_loss"] for name, m in models.items() if name != "bayes"]
        assert models["bayes"]["log_loss"] < min(others) + 0.002  # by luck, on these rows
    assert found["best_baseline"] == "chain"
    assert found["gate"] == {"reigning": "chain", "before any reign": "chain"}
