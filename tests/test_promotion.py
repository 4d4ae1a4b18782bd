"""Who becomes champion: a truly better model does; one of shuffled labels, a leaking one and a stale one do not."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import planted
from waymark import champions, eligibility, models, promotion, rollback, tables, tracking
from waymark.catalogue import Feature, to_json
from waymark.champions import Reign, Succession
from waymark.config import PromoteConfig
from waymark.errors import InputError
from waymark.promotion import BASELINE, CANDIDATE, CHAMPION, Contest
from waymark.recoding import missing, recode

FEATURES, TARGETS = planted.tables(n_persons=300)
SETTINGS = PromoteConfig(n_bootstrap=200)
FIRST = FEATURES["cutoff_time"].min()
TRAINED_UNTIL = TARGETS.loc[
    (TARGETS["fold"] == "train") & (TARGETS["next_stage_status"] == "mature"), "cutoff_time"
].max()
KNOWN_UNTIL = "2025-04-01T00:00:00+00:00"
TONIGHT = Reign("lightgbm", "lightgbm", CANDIDATE, TRAINED_UNTIL.isoformat(), KNOWN_UNTIL, {}, {}, "run", {})


def trained(name, version, features=FEATURES, targets=TARGETS, groups=planted.GROUPS, catalogue=planted.CATALOGUE):
    settings = {"n_estimators": 150} if name == "lightgbm" else {}
    model, card = models.train(features, targets, catalogue, "next_stage", name, settings, groups, 7)
    return model, card | {"version": version}


CHAIN, BACK_OFF, TREES = (trained(n, n) for n in ("chain", "back_off", "lightgbm"))
NONE = trained("chain", "another")  # a baseline as good as the champion


def reign_of(model, **other):
    card = model[1]
    named = {"version": card["version"], "name": card["name"], "trained_until": card["trained_until"]}
    return replace(TONIGHT, **named, **other)


def contest(contenders, succession=None, features=FEATURES, alarms=(), tonight=TONIGHT, trained_until=None):
    if succession is None:
        succession = Succession((reign_of(contenders[CHAMPION]),) if CHAMPION in contenders else ())
    rows = promotion.test_rows(features, TARGETS, "next_stage", "scored")
    return eligibility.contest(
        "next_stage",
        rows,
        planted.CATALOGUE,
        contenders,
        succession,
        tonight,
        alarms,
        trained_until=trained_until or dict.fromkeys(contenders, TRAINED_UNTIL),
        horizon_days=7,
        min_persons=50,
    )


def decide(*arguments, settings=SETTINGS, **named):
    return promotion.decide(contest(*arguments, **named), settings, 10, 7)


def pair(decided, challenger, rival):
    return next(c for c in decided["comparisons"] if (c["challenger"], c["rival"]) == (challenger, rival))


# --- the four cases -------------------------------------------------------------------------------------------------


def test_a_truly_better_candidate_becomes_champion():
    decided = decide({CANDIDATE: TREES, CHAMPION: CHAIN, BASELINE: NONE})
    assert decided["champion"] == CANDIDATE
    against = pair(decided, CANDIDATE, CHAMPION)
    own, other = (decided["contenders"][role]["metrics"]["log_loss"]["value"] for role in (CANDIDATE, CHAMPION))
    assert against["log_loss"]["value"] == pytest.approx(own - other, abs=2e-6)
    assert against["log_loss"]["high"] < 0
    assert decided["verdict"].startswith("the candidate lightgbm becomes champion: against the champion chain, ")
    assert "against the best baseline chain, the candidate lightgbm is proven better, by 1." in decided["verdict"]


@pytest.mark.parametrize("champion", [{}, {CHAMPION: TREES}])
def test_a_candidate_of_shuffled_labels_is_refused(champion):
    targets = TARGETS.copy()
    is_known = targets["next_stage"].notna()
    shuffled = np.random.default_rng(3).permutation(targets.loc[is_known, "next_stage"])
    targets.loc[is_known, "next_stage"] = shuffled
    decided = decide({CANDIDATE: trained("lightgbm", "shuffled", targets=targets), BASELINE: BACK_OFF} | champion)
    assert decided["champion"] == (CHAMPION if champion else BASELINE)
    for rival in (BASELINE, *champion):
        against = pair(decided, CANDIDATE, rival)
        assert not against["is_accepted"]
        assert against["answer"].startswith("proven worse, by ")
        assert against["answer"] in decided["verdict"]


def test_a_leaking_candidate_is_refused_however_good_it_looks():
    key = ["person_id", "cutoff_time"]
    label = FEATURES[key].merge(TARGETS[[*key, "next_stage"]])["next_stage"].astype("category").cat.codes
    features = FEATURES.assign(f_noise=label.to_numpy("float32"))
    leaking = trained("lightgbm", "v-cand", features=features)
    contenders = {CANDIDATE: leaking, CHAMPION: BACK_OFF, BASELINE: CHAIN}
    assert decide(contenders, features=features)["champion"] == CANDIDATE
    alarm = {"check": "too_good", "name": "noise", "verdict": "ALARM", "detail": ""}
    decided = decide(contenders, features=features, alarms=[alarm])
    assert decided["champion"] == CHAMPION
    assert decided["contenders"][CANDIDATE]["refused"] == "leaking: leakcheck raised an alarm for noise"
    assert "the candidate lightgbm is refused, leaking" in decided["verdict"]
    fine = alarm | {"verdict": "ok"}
    assert decide(contenders, features=features, alarms=[fine])["champion"] == CANDIDATE


def test_an_alarm_speaks_of_the_models_that_use_the_feature_and_one_of_labels_of_all():
    without = trained("lightgbm", "v-cand", groups=[g for g in planted.GROUPS if g != "noise"])
    contenders = {CANDIDATE: without, CHAMPION: CHAIN, BASELINE: NONE}
    alarm = {"check": "too_good", "name": "noise", "verdict": "ALARM", "detail": ""}
    assert decide(contenders, alarms=[alarm])["champion"] == CANDIDATE
    decided = decide(contenders, alarms=[alarm | {"name": "next_stage"}])
    assert decided["champion"] == CHAMPION
    assert {role for role, c in decided["contenders"].items() if c["refused"]} == {CANDIDATE, BASELINE}


def test_a_stale_candidate_is_refused():
    """Older than the training rows there are, than the champion, or of an older training clock."""
    old = TARGETS.assign(fold=np.where(TARGETS["cutoff_time"] < FIRST + pd.Timedelta(days=14), "train", "test"))
    stale = trained("lightgbm", "v-cand", targets=old)
    contenders = {CANDIDATE: stale, CHAMPION: CHAIN, BASELINE: NONE}
    newest = pd.Timestamp(stale[1]["trained_until"])
    assert newest < TRAINED_UNTIL
    decided = decide(contenders)
    assert (decided["champion"], decided["contenders"][CANDIDATE]["refused"]) == (
        CHAMPION,
        "stale: its training rows end 2025-03-10, and those there are now 2025-03-17",
    )
    found = contest({CANDIDATE: stale, CHAMPION: CHAIN}, trained_until={CANDIDATE: newest})
    assert found.refused == {CANDIDATE: "stale: its training rows end 2025-03-10, those of the champion 2025-03-17"}
    later = Succession((reign_of(CHAIN, known_until="2025-04-08T00:00:00+00:00"),))
    found = contest({CANDIDATE: TREES, CHAMPION: CHAIN}, later)
    assert found.refused == {
        CANDIDATE: "stale: it learnt from what was known by 2025-04-01, the champion by 2025-04-08"
    }


def test_a_hazard_that_learnt_from_silences_still_watched_makes_nobody_stale():
    """In case logs, rows train a hazard whose horizon has not passed, and nobody else."""
    is_watched = TARGETS["cutoff_time"] == TRAINED_UNTIL  # the newest of those that train
    targets = TARGETS.assign(
        churn_status=np.where(is_watched, "immature", "mature"),
        is_silent=TARGETS["is_silent"].astype("boolean").mask(is_watched),
        return_days=TARGETS["return_days"].mask(is_watched & (TARGETS["return_days"] >= 7)),
        observed_days=np.where(is_watched, 7.0, 90.0),
    )
    found, trained_until = {}, {}
    for role, name, settings in ((CANDIDATE, "hazard", {"n_estimators": 20}), (BASELINE, "recency", {})):
        model, card = models.train(FEATURES, targets, planted.CATALOGUE, "churn", name, settings, planted.GROUPS, 7)
        found[role] = model, card | {"version": name}
        trained_until[role] = models.newest_training_cutoff(targets, "churn", model)
        assert card["trained_until"] == trained_until[role].isoformat()
    assert trained_until[CANDIDATE] > trained_until[BASELINE]
    assert contest(found, trained_until=trained_until).refused == {}
    reign = reign_of(found[CANDIDATE])
    champion = {CHAMPION: found[CANDIDATE], BASELINE: found[BASELINE]}
    assert contest(champion, Succession((reign,)), trained_until=trained_until).refused == {}


# --- who is compared ------------------------------------------------------------------------------------------------


def test_who_was_taken_back_does_not_come_again():
    succession = Succession((reign_of(CHAIN),), (reign_of(TREES),))
    decided = decide({CANDIDATE: TREES, CHAMPION: CHAIN}, succession)
    assert decided["champion"] == CHAMPION
    assert decided["contenders"][CANDIDATE]["refused"] == "it was champion and was taken back"
    again = trained("lightgbm", "trained anew")
    assert decide({CANDIDATE: again, CHAMPION: CHAIN}, succession)["champion"] == CANDIDATE


def test_a_candidate_that_reigns_already_is_compared_with_nobody_as_candidate():
    found = contest({CANDIDATE: TREES, CHAMPION: TREES, BASELINE: CHAIN})
    assert set(found.contenders) == {CHAMPION, BASELINE}
    assert found.absent == {CANDIDATE: "it is the champion"}
    decided = promotion.decide(found, SETTINGS, 10, 7)
    assert decided["verdict"].startswith(
        "the champion lightgbm stays champion: against the champion lightgbm, the best"
    )


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"question": {"targets": {"horizon_days": 90}}}, "it forecasts something else: targets changed"),
        ({}, "it needs features that are no longer built: f_gone"),
    ],
)
def test_a_champion_that_cannot_forecast_what_is_asked_is_set_aside(other, why):
    model, card = CHAIN
    champion = (model, card if other else card | {"columns": [*card["columns"], "f_gone"]})
    decided = decide(
        {CANDIDATE: TREES, CHAMPION: champion, BASELINE: NONE},
        Succession((reign_of(champion, **other),)),
    )
    assert decided["champion"] == CANDIDATE
    assert decided["absent"] == {CHAMPION: why}
    assert set(decided["contenders"]) == {CANDIDATE, BASELINE}


def test_a_champion_is_not_judged_on_rows_that_it_may_have_learnt_from():
    rows = promotion.test_rows(FEATURES, TARGETS, "next_stage", "scored")
    elsewhere = {"training": {"data_version": "another"}}
    newest = rows["cutoff_time"].max()
    for days, is_spared in ((8, False), (7, False), (6, True)):
        model, card = CHAIN
        champion = (model, card | {"trained_until": (newest - pd.Timedelta(days=days)).isoformat()})
        succession = Succession((reign_of(champion, **elsewhere),))
        found = contest({CANDIDATE: TREES, CHAMPION: champion}, succession)
        assert (found.is_spared, CHAMPION in found.contenders) == (is_spared, not is_spared)
        assert len(found.rows) == len(rows)
    decided = promotion.decide(found, SETTINGS, 10, 7)
    assert decided["champion"] == CHAMPION
    assert "; the champion is not compared, it learnt from what happened until 2025-03-25" in decided["verdict"]


def test_test_rows_that_the_champion_saw_are_left_out_for_everybody():
    targets = TARGETS.assign(fold=np.where(TARGETS["cutoff_time"] >= FIRST + pd.Timedelta(days=14), "test", "train"))
    rows = promotion.test_rows(FEATURES, targets, "next_stage", "scored")
    model, card = CHAIN
    champion = (model, card | {"trained_until": (FIRST + pd.Timedelta(days=14)).isoformat()})
    succession = Succession((reign_of(champion, training={"data_version": "another"}),))
    found = eligibility.contest(
        "next_stage",
        rows,
        planted.CATALOGUE,
        {CANDIDATE: TREES, CHAMPION: champion},
        succession,
        TONIGHT,
        (),
        trained_until=dict.fromkeys((CANDIDATE, CHAMPION), TRAINED_UNTIL),
        horizon_days=7,
        min_persons=50,
    )
    assert rows["cutoff_time"].nunique() == 2
    assert found.rows["cutoff_time"].unique().tolist() == [FIRST + pd.Timedelta(days=21)]


def test_an_older_champion_reads_the_categories_that_it_learnt():
    """Categories are coded by how frequent they are, so that every training may code them otherwise."""
    turned = [replace(f, categories=f.categories[::-1]) if f.categories is not None else f for f in planted.CATALOGUE]
    codes = {f.column: 2 - FEATURES[f.column] for f in turned if f.categories is not None}
    champion = trained("back_off", "older", features=FEATURES.assign(**codes), catalogue=turned)
    decided = decide({CANDIDATE: BACK_OFF, CHAMPION: champion})
    assert pair(decided, CANDIDATE, CHAMPION)["log_loss"]["value"] == 0
    assert decided["champion"] == CHAMPION


def test_where_nobody_can_forecast_it_is_said():
    with pytest.raises(InputError, match="no model can forecast next_stage: the candidate is refused"):
        decide({CANDIDATE: TREES}, alarms=[{"name": "labels", "verdict": "ALARM"}])


# --- what is proven, equal and clearly worse ------------------------------------------------------------------------

N = 600
RNG = np.random.default_rng(11)
TRUE = RNG.uniform(0.2, 0.8, N)
ROWS = pd.DataFrame(
    {
        "person_id": [f"p{i // 2}" for i in range(N)],
        "cutoff_time": FIRST,
        "stage": np.where(np.arange(N) % 6 < 2, "rare", "common"),
        "label": np.where(RNG.random(N) < TRUE, "silent", "active"),
        "true": TRUE,
        "half": 0.5,
        "nearly": TRUE + np.where(np.arange(N) % 4 < 2, 0.01, -0.01),
    }
).assign(
    rare=lambda rows: np.where(rows["stage"] == "rare", 1 - rows["true"], rows["true"]),
    better=lambda rows: np.where(rows["label"] == "silent", 0.97, 0.03),
    loud=lambda rows: rows["better"].where(rows["label"] == "silent", 0.25),
)


def says(column: str, name: str):
    """A model that forecasts what a column says."""
    model = SimpleNamespace(
        classes_=np.array(["active", "silent"]),
        predict_proba=lambda X: np.column_stack([1 - X[column], X[column]]),
    )
    return model, {"name": name, "version": column, "trained_until": "", "columns": [], "catalogue": []}


def match(candidate, champion, rows=ROWS, **settings):
    contenders = {CANDIDATE: candidate, CHAMPION: champion}
    found = Contest("churn", rows, [], contenders, {}, {})
    return promotion.decide(found, PromoteConfig(**{"n_bootstrap": 200} | settings), 10, 7)


def test_what_rests_on_few_persons_is_no_proof():
    better, worse = says("true", "lightgbm"), says("half", "recency")
    assert match(better, worse, min_persons=300)["champion"] == CANDIDATE
    decided = match(better, worse, min_persons=301)
    assert decided["champion"] == CHAMPION
    assert "but that rests on 300 persons, and a proof needs 301 at least" in decided["verdict"]
    one = match(says("better", "lightgbm"), worse, rows=ROWS.assign(person_id="p1"))
    assert one["champion"] == CHAMPION and pair(one, CANDIDATE, CHAMPION)["log_loss"]["high"] < 0


def test_class_shares_in_the_place_of_a_model_do_not_challenge_the_models_that_come_later():
    champion = (CHAIN[0], CHAIN[1] | {"not_modelled": "all 3 rows to learn from are 'stay'"})
    decided = decide({CANDIDATE: TREES, CHAMPION: champion, BASELINE: BACK_OFF})
    assert decided["absent"] == {CHAMPION: "it is class shares, in the place of a model"}
    assert CHAMPION not in decided["contenders"] and decided["champion"] in (CANDIDATE, BASELINE)


def test_of_equals_the_simpler_one_is_champion():
    simple, trees = says("nearly", "recency"), says("true", "lightgbm")
    decided = match(simple, trees)
    assert decided["champion"] == CANDIDATE
    assert "equal and simpler" in decided["verdict"]
    assert match(says("true", "lightgbm"), says("nearly", "recency"))["champion"] == CHAMPION
    assert match(says("nearly", "lightgbm"), says("true", "lightgbm"))["champion"] == CHAMPION
    assert match(says("nearly", "recency"), trees, margin=0)["champion"] == CHAMPION


def test_a_simple_model_that_is_not_proven_worse_is_not_therefore_equal():
    few = ROWS.head(40)
    decided = match(says("half", "recency"), says("true", "lightgbm"), rows=few)
    assert pair(decided, CANDIDATE, CHAMPION)["log_loss"]["low"] < 0
    assert decided["champion"] == CHAMPION


def test_a_group_that_is_clearly_worse_guards_the_champion():
    rows = ROWS.assign(mixed=np.where(ROWS["stage"] == "rare", 1 - ROWS["true"], ROWS["better"]))
    decided = match(says("mixed", "lightgbm"), says("half", "recency"), rows=rows)
    found = pair(decided, CANDIDATE, CHAMPION)
    assert found["log_loss"]["high"] < 0
    assert [g["group"] for g in found["groups"] if g["is_worse"]] == ["rare"]
    assert decided["champion"] == CHAMPION
    assert "clearly worse where stage is rare, by 0." in decided["verdict"]
    small = match(says("mixed", "lightgbm"), says("half", "recency"), rows=rows, min_persons=250)  # of 300
    assert small["champion"] == CANDIDATE and pair(small, CANDIDATE, CHAMPION)["groups"] == []


def test_a_model_that_is_better_and_badly_calibrated_is_refused():
    decided = match(says("loud", "lightgbm"), says("true", "recency"))
    found = pair(decided, CANDIDATE, CHAMPION)
    assert found["log_loss"]["high"] < 0 < 0.01 < found["ece"]["low"]
    assert decided["champion"] == CHAMPION
    assert "badly calibrated, worse by 0." in decided["verdict"]
    assert decided["contenders"][CANDIDATE]["metrics"]["bias"]["low"] > 0
    assert match(says("loud", "lightgbm"), says("true", "recency"), max_ece=0.5)["champion"] == CANDIDATE


def test_a_candidate_must_prove_itself_against_the_best_baseline_as_well():
    contenders = {CANDIDATE: says("nearly", "lightgbm"), BASELINE: says("true", "recency")}
    found = Contest("churn", ROWS, [], contenders, {}, {})
    assert promotion.decide(found, SETTINGS, 10, 7)["champion"] == BASELINE
    with_champion = replace(found, contenders=contenders | {CHAMPION: says("half", "most_frequent")})
    decided = promotion.decide(with_champion, SETTINGS, 10, 7)
    assert pair(decided, CANDIDATE, CHAMPION)["is_accepted"]
    assert decided["champion"] == BASELINE


def test_the_order_of_the_rows_changes_nothing():
    turned = ROWS.sample(frac=1, random_state=3)
    one, two = (match(says("nearly", "lightgbm"), says("half", "recency"), rows=rows) for rows in (ROWS, turned))
    assert one == two


# --- where champions are kept ---------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    """Two reigns over next_stage: of the chain, and of back-off after it."""
    folder, reigns = tmp_path / "champion", []
    for name, (model, card) in (("chain", CHAIN), ("back_off", BACK_OFF)):
        written = models.write(model, card, tmp_path / name)
        reigns.append(replace(reign_of((model, written)), contest={"candidate": written["version"]}))
        before = champions.read("next_stage", folder)
        champions.settle("next_stage", before, reigns[-1], tmp_path / name, 5, folder)
    return folder, reigns


def test_a_champion_is_the_file_that_training_wrote(kept, tmp_path):
    folder, (first, second) = kept
    assert champions.reign_of("next_stage", folder) == second
    model, card = champions.load("next_stage", folder)
    assert (card["name"], card["version"]) == ("back_off", second.version)
    rows = FEATURES.head(9)
    np.testing.assert_array_equal(model.predict_proba(rows), BACK_OFF[0].predict_proba(rows))
    assert (folder / "next_stage" / first.version / "model.skops").exists()


def test_a_contest_that_is_decided_again_replaces_its_outcome(kept, tmp_path):
    folder, (first, second) = kept
    files = {p: p.read_bytes() for p in folder.rglob("*.*") if p.is_file()}
    before = champions.read("next_stage", folder).before(second.contest)
    assert before.present == first
    champions.settle("next_stage", before, second, tmp_path / "back_off", 5, folder)
    assert {p: p.read_bytes() for p in folder.rglob("*.*") if p.is_file()} == files
    champions.settle("next_stage", before, None, None, 5, folder)
    assert champions.reign_of("next_stage", folder) == first
    assert not (folder / "next_stage" / second.version).exists()


def test_so_many_champions_are_kept(kept, tmp_path):
    folder, (_, second) = kept
    written = models.write(*TREES, tmp_path / "trees")
    third = reign_of((TREES[0], written))
    champions.settle("next_stage", champions.read("next_stage", folder), third, tmp_path / "trees", 1, folder)
    assert champions.read("next_stage", folder).reigns == (second, third)
    assert {p.name for p in (folder / "next_stage").iterdir()} == {second.version, third.version}


def test_taking_back_restores_the_champion_before_and_keeps_the_other_in_mind(kept):
    folder, (first, second) = kept
    assert champions.take_back("next_stage", folder) == (second, first)
    assert champions.load("next_stage", folder)[1]["version"] == first.version
    assert champions.read("next_stage", folder).taken_back == (second,)
    with pytest.raises(InputError, match="next_stage has had no other champion that is still kept, so there is none"):
        champions.take_back("next_stage", folder)


def test_what_cannot_be_taken_back_is_said_in_one_sentence(kept, tmp_path):
    folder, (_, second) = kept
    with pytest.raises(InputError, match="there is no target 'chrun'; there are next_stage, churn"):
        champions.take_back("chrun", folder)
    with pytest.raises(InputError, match="churn has no champion yet, so there is none to go back to"):
        champions.take_back("churn", folder)
    with pytest.raises(InputError, match="churn has no champion; `dvc repro -P` promotes one"):
        champions.load("churn", folder)
    other = replace(second, question={"targets": {"horizon_days": 90}}, version="other", contest={})
    champions.settle("next_stage", champions.read("next_stage", folder), other, tmp_path / "chain", 5, folder)
    with pytest.raises(InputError, match=r"before this one, back_off .*, forecast something else: targets differ"):
        champions.take_back("next_stage", folder)


def test_one_command_goes_back_moves_the_alias_and_says_so(kept, tmp_path, monkeypatch, capsys):
    folder, (first, second) = kept
    monkeypatch.chdir(tmp_path)
    tables.write_text("tracking: {experiment: shop}\n", tmp_path / "resolved.yaml")
    folder.rename(tmp_path / "models_champion")
    (tmp_path / "models").mkdir()
    (tmp_path / "models_champion").rename(tmp_path / champions.FOLDER)
    told = []
    monkeypatch.setattr(tracking, "restore_champion", lambda *what: told.append(what) or "")
    monkeypatch.setattr(tracking, "record_decision", lambda run_id, *what: told.append(run_id) or "no server answers")
    rollback.main(["next_stage"])
    assert champions.reign_of("next_stage") == first
    assert told == [("shop", "next_stage", first.version), second.run_id]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"next_stage: back_off {second.version} is taken back by hand; chain {first.version} is ")
    assert said[1:] == ["no server answers"]
    for wrong in ([], ["next_stage", "churn"]):
        with pytest.raises(InputError, match="say which forecast, one of next_stage, churn: make rollback ARGS=churn"):
            rollback.main(wrong)


# --- features in an older model's terms -----------------------------------------------------------------------------


def test_categories_are_translated_and_unknown_ones_are_the_others():
    now = [Feature("type", "g", "", "category", ("pay", "call", "new")), Feature("n", "g", "", "count")]
    features = pd.DataFrame({"f_type": np.array([0, 1, 2, np.nan], "float32"), "f_n": 1.0})
    for learnt, codes in ((("call", "pay"), [1, 0, np.nan, np.nan]), (("call", "(other)"), [1, 0, 1, np.nan])):
        card = {"columns": ["f_type", "f_gone"], "catalogue": to_json([replace(now[0], categories=learnt)])}
        again = recode(features, now, card)
        np.testing.assert_array_equal(again["f_type"], codes)
        assert again["f_type"].dtype == "float32" and again["f_n"].equals(features["f_n"])
        assert missing(card, now) == ["f_gone"]
    turned = {"columns": ["f_type", "f_n"], "catalogue": to_json([now[0], replace(now[1], categories=("one",))])}
    assert missing(turned, now) == ["f_n"]  # a category then, a number now
    same = {"columns": ["f_type"], "catalogue": to_json(now[:1])}
    assert recode(features, now, same) is features
