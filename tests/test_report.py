import json
import re
import shutil
import subprocess
from datetime import timedelta
from functools import cache
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from a_night import (
    BACKTESTS,
    EVALUATION,
    EXPOSURE,
    INGEST,
    JUDGED,
    LEAKCHECK,
    MANIFEST,
    NIGHT,
    PATH,
    PROMOTION,
    REALISED,
    SETTINGS,
    a_night,
    forecast,
    journeys_of,
    random_journeys,
)
from waymark import schema, tables
from waymark.report import words
from waymark.report.flows import count_flows
from waymark.report.layout import CARD_WIDTH, lay_out
from waymark.report.markup import tag
from waymark.report.nights import read_night_before
from waymark.report.outlook import Outlook
from waymark.report.page import CONTENTS, build_page
from waymark.report.quality import BETTER, UNPROVEN, WORSE, judge
from waymark.steps import report as step


class Reader(HTMLParser):
    """Reads a page the strict way: every element is closed in its turn; ids, links and text are kept."""

    VOID = ("meta", "br", "hr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        self.ids += [v for k, v in attributes if k == "id"]
        self.addresses += [v for k, v in attributes if k in ("href", "src", "xlink:href", "action")]
        if name in ("td", "th"):
            self.cells.append("")
        if name not in self.VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if {"td", "th"} & set(self.open):
            self.cells[-1] += data

    def says(self, *sentences: str) -> bool:
        text = " ".join(self.text.split())
        return all(s in text for s in sentences)


def read(**other: object) -> Reader:
    return Reader(build_page(**a_night(**other)))


@cache
def full() -> Reader:
    return read()


def pairs(*walks: str) -> dict[tuple[str, str], int]:
    flows = count_flows(journeys_of(*walks), NIGHT, PATH)
    return {(p.from_stage, p.to_stage): p.n for p in flows.pairs.itertuples()}


# --- the page -------------------------------------------------------------------------------------------------------


def test_every_section_of_the_contents_is_there_once_and_ids_are_unique():
    page = full()
    assert set(CONTENTS) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert {f"#{key}" for key in CONTENTS} <= set(page.addresses)


def test_the_page_needs_nothing_from_elsewhere():
    text = build_page(**a_night())
    assert not re.search(r"(https?:)?//[a-z]|@import|<script|<link|<img|<iframe|javascript:", text)
    assert all(address.startswith("#") for address in Reader(text).addresses)
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {f"#pattern-{k}" for k in ("regression", "detour", "reentry")}


def test_the_same_input_gives_the_same_bytes_in_whatever_order_its_rows_come():
    night = a_night()
    shuffled = {k: night[k].sample(frac=1, random_state=1) for k in ("journeys", "predictions", "previous")}
    assert build_page(**night) == build_page(**a_night()) == build_page(**{**night, **shuffled})


def test_a_summary_in_plain_words_opens_the_page():
    predictions = a_night()["predictions"]
    n = int((predictions["p_silent_30d"] >= 0.5).sum())
    assert n > 0
    assert full().says(
        "100 people were scored as of 28 September 2025, 00:00 UTC.",
        f"{n} of them ({n}.0%) are more likely than not to go silent: no activity in the next 30 days.",
        "Next stage: lightgbm against back_off: judged. Going silent: lightgbm against rfm_logistic: judged.",
    )


def test_what_ran_names_data_code_models_and_settings():
    page = full()
    assert page.says("05e36ad", "run-77", "d41d8cd9", "churn-9", "next-4", "29 August 2025, 00:00 UTC", "7, 30")
    assert page.says("1,099,008, 1 January 2025 to 27 September 2025")
    assert not page.says("Trained on data after this night")


@pytest.mark.parametrize("warnings", [[], ["models learnt too late"]])
@pytest.mark.parametrize("until", ["2025-09-28T00:00:01+00:00", {"churn": "2025-10-05T00:00:00+00:00"}])
def test_a_model_trained_after_the_night_is_warned_of(until, warnings):
    page = read(manifest={**MANIFEST, "trained_until": until, "warnings": warnings})
    assert page.says("Trained on data after this night", *warnings)


def test_training_up_to_the_very_night_is_fair():
    assert not read(manifest={**MANIFEST, "trained_until": NIGHT.isoformat()}).says("Trained on data after")


def test_every_delivered_row_is_accounted_for():
    page = full()
    assert page.says("1,284,551delivered=1,279,008accepted+4,211duplicates+1,332rejected, 200 of them left out")
    assert page.says("Every delivered row is accounted for", "time not parsed", "campaign (feed shop <b>)")
    assert "0.11%" in page.cells


def test_what_told_when_rows_were_known_is_said_and_a_missing_second_clock_noticed():
    page = full()
    assert {"the file's date", "a column, else event time + 1,439 min"} <= set(page.cells)
    assert page.says("Feeds without a second clock", "only when they happened: shop <b>. What came late")
    clocked = json.loads(json.dumps(INGEST))
    clocked["feeds"]["shop <b>"]["known_time_from"] = ["column"]
    assert not read(ingest=clocked).says("without a second clock")
    for feed in clocked["feeds"].values():  # as an earlier version wrote it
        del feed["known_time_from"], feed["known_delay_minutes"]
    assert read(ingest=clocked).says("Every delivered row is accounted for")


@pytest.mark.parametrize("feed", [None, "web"])
def test_rows_that_do_not_add_up_are_said_to(feed):
    broken = json.loads(json.dumps(INGEST))
    (broken["feeds"][feed] if feed else broken)["accepted"] -= 1
    page = read(ingest=broken)
    assert page.says("The rows do not add up") and not page.says("Every delivered row is accounted for")


@pytest.mark.parametrize(
    "missing",
    [
        {"evaluation": {}},
        {"evaluation": {"targets": {"churn": EVALUATION["targets"]["churn"]}}},
        {"evaluation": {"targets": {"churn": {"models": {}, "best_baseline": None, "differences": {}}}}},
        {"judged": {}},
        {"judged": {"targets": {"churn": JUDGED["targets"]["churn"]}}},
        {"ingest": {}},
        {"leakcheck": {}},
        {"promotion": {}},
        {"manifest": {}, "settings": {}},
        {"previous": None},
        {"realised": REALISED.iloc[:0]},
        {"realised": REALISED.iloc[:1]},
        {"previous": forecast([])},
        {"journeys": journeys_of()},
        {"journeys": journeys_of("ann awareness")},
        {"journeys": journeys_of(), "predictions": forecast([]), "previous": None},
        {"predictions": forecast(["ann"])},
        {"predictions": forecast(["ann"]).drop(columns="p_silent_30d")},
        {"path": ()},
        {"max_flows": 1},
    ],
    ids=lambda missing: "-".join(missing),
)
def test_what_is_missing_is_left_out_and_the_rest_stays(missing):
    page = read(**missing)
    assert set(CONTENTS) <= set(page.ids)
    assert not page.says("nan") and not page.says("None") and not page.says("NaT")


def test_missing_numbers_of_an_evaluation_show_as_dashes():
    evaluation = json.loads(json.dumps(EVALUATION))
    for model in evaluation["targets"]["churn"]["models"].values():
        model["metrics"]["auc"] = {"value": None, "low": None, "high": None}
    for baseline in evaluation["targets"]["churn"]["differences"].values():
        baseline["log_loss"] |= {"low": None, "high": None}
    page = read(evaluation=evaluation)
    assert words.NONE in page.cells
    assert read(judged=evaluation).says("no proven difference to RFM logistic")


def test_what_is_said_of_forecasts_is_said_of_the_champions():
    """The model of churn that was trained last is no champion: only the comparison with the baselines speaks of it."""
    page = full()
    assert page.says("Next stage by LightGBM is", "Going silent by logistic regression is")
    for caption in ("forecasts by size", "by group, 400 people", "by group of people"):
        assert page.says(f"Going silent by logistic regression: {caption}")
        assert not page.says(f"Going silent by LightGBM: {caption}")
    why = "it learnt from what happened until 2025-08-30; too few test rows are newer"
    unknown = {"champion": {"name": "hazard"}, "missing": why}
    page = read(judged={"targets": {"next_stage": JUDGED["targets"]["next_stage"], "churn": unknown}})
    said = f"Going silent by hazard of return is not judged here: {why}."
    assert page.text.count(said) == 5  # in each section that would show it
    assert page.says("Going silent by hazard of return isNot judged", "Next stage by LightGBM: forecasts by size")


def test_what_moves_the_forecasts_is_told_by_group_and_by_feature_with_its_direction():
    page = full()
    assert page.says("where on the journey, and the way there", "70.0%")
    assert {
        "days since the last <visit>more: “goes silent” likelier",
        "the present stageintent: “purchase” likelier",
    } <= {*page.cells}
    assert page.says("moves “stays in stage”, now up, now down")
    assert page.says("The first reason holds for 97.2% of the people sampled")


def test_models_that_do_not_say_what_moves_them_show_what_training_gained():
    judged = json.loads(json.dumps(JUDGED))
    for target in judged["targets"].values():
        target["reasons"] = {"n_persons": 0, "groups": [], "features": [], "removal": []}
    assert read(judged=judged).says("share of what training gained", "visits in the last 30 days")
    for target in judged["targets"].values():
        target["importance"] = []
    assert read(judged=judged).says("The models do not say what moves them.")


def test_whatever_data_says_is_shown_and_never_run():
    attack = "<script>alert(1)</script>\"'&"
    journeys = journeys_of("ann awareness consideration", "bob awareness consideration")
    journeys["stage"] = journeys["stage"].str.replace("consideration", attack)
    evaluation = json.loads(json.dumps(EVALUATION).replace("judged", json.dumps(attack)[1:-1]))
    judged = json.loads(json.dumps(JUDGED).replace("judged", json.dumps(attack)[1:-1]))
    judged["targets"]["churn"]["reasons"]["features"][0] |= {"words": attack, "likelier": attack}
    judged["targets"]["churn"]["slices"][0]["value"] = attack
    judged["targets"]["next_stage"] = {"champion": {"name": attack}, "missing": attack}
    backtests = json.loads(json.dumps(BACKTESTS).replace("is ahead", json.dumps(attack)[1:-1]))
    promotion = json.loads(json.dumps(PROMOTION).replace("judged", json.dumps(attack)[1:-1]))
    text = build_page(
        **a_night(
            title=attack,
            source=attack,
            path=("awareness", attack),
            journeys=journeys,
            predictions=forecast(["ann", "bob"], stages=(attack, "awareness")),
            evaluation=evaluation,
            judged=judged,
            backtests=backtests,
            promotion=promotion,
            ingest={**INGEST, "rejects_by_rule": {attack: 3}, "feeds": {attack: INGEST["feeds"]["web"]}},
            manifest={**MANIFEST, "versions": {attack: attack}, "warnings": [attack]},
            settings={**SETTINGS, "model": {"name": attack}},
        )
    )
    page = Reader(text)
    assert "<script" not in text
    assert page.text.count(attack) >= 12
    assert attack in page.cells


def test_markup_escapes_text_and_attributes_and_leaves_out_what_is_absent():
    assert tag("a", "<", tag("b", "&"), title='"', class_="x", role=None) == (
        '<a title="&quot;" class="x">&lt;<b>&amp;</b></a>'
    )


# --- what the sections say ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "low", "high", "said"),
    [
        ("log_loss", -0.03, -0.01, BETTER),
        ("log_loss", 0.01, 0.03, WORSE),
        ("auc", 0.01, 0.03, BETTER),
        ("auc", -0.03, -0.01, WORSE),
        ("auc", -0.01, 0.02, UNPROVEN),
        ("ece", 0.0, 0.02, UNPROVEN),
        ("ece", None, None, UNPROVEN),
    ],
)
def test_only_an_interval_without_nought_proves_a_difference(metric, low, high, said):
    assert judge(metric, {"value": 0.0, "low": low, "high": high}) == said


def test_a_difference_that_is_not_proven_is_not_called_one():
    page = full()
    assert page.says("no proven difference to RFM logistic, log loss −0.005")
    assert page.says("than back-off, the best baseline: log loss −0.050")


def test_calibration_shows_the_model_beside_its_best_baseline_with_counts():
    page = full()
    assert page.says("RFM logistic: forecast 5.0%, came true 8.0%, 200 forecasts")
    assert not page.says("recency: forecast")


def test_past_nights_are_shown_over_time_beside_the_best_baseline_of_their_day():
    page = read()
    assert page.says("How past nights came out", "the model, 29 August 2025: 0.500", "the best baseline")
    assert page.says("the best baseline, 18 August 2025: 0.710", "14 earlier ones")
    assert read(realised=REALISED.iloc[:0]).says("No past night's horizon has passed yet")
    assert read(realised=REALISED.assign(source="elsewhere")).says("No past night's horizon has passed yet")
    ahead = REALISED.assign(known_until=pd.Timestamp(NIGHT) + pd.Timedelta(days=1))
    assert read(realised=ahead).says("No past night's horizon has passed yet")


def alarms(n: int) -> dict:
    found = [
        {"check": "at_cutoff", "name": f"n_<{i}>", "verdict": "ALARM", "detail": f"{i} of 900 rows change"}
        for i in range(n)
    ]
    return {"n_alarms": n, "findings": [*found, *LEAKCHECK["findings"]]}


def test_an_alarm_of_leakcheck_heads_the_page():
    page = read(leakcheck=alarms(1))
    assert page.says("Something knew what it could not know", "n_<0> (at cutoff): 0 of 900 rows change")
    text = " ".join(page.text.split())
    assert text.index("Something knew") < text.index("People scored")
    assert "alarm" in page.cells and not full().says("Something knew")
    many = read(leakcheck=alarms(30))
    assert many.says("and 25 more") and many.cells.count("alarm") == 30


def test_every_check_of_leakcheck_has_its_line():
    page = full()
    assert page.says("Does anything know the future?", "1,000 rows stay as they are", "too few of 315 persons")
    assert page.cells.count("ok") == 2 and page.cells.count("not judged") == 1
    assert read(leakcheck={}).says("Leakcheck has not looked")


def test_the_page_says_who_forecasts_and_why():
    page = read()
    assert page.says("Next stage is forecast by back-off, trained until 30 June 2025.")
    assert page.says("Going silent is forecast by logistic regression, trained until 30 June 2025.")
    assert page.says("The champion logistic is champion: so it was judged.")
    assert {"champion so far", "candidate", "best baseline"} <= set(page.cells)
    assert {"candidate less champion so far", "clearly worse", "0.050 (0.040 to 0.060)"} <= set(page.cells)
    stale = json.loads(json.dumps(PROMOTION))
    stale["churn"]["contenders"]["candidate"]["refused"] = "stale: <older>"
    assert "stale: <older>" in read(promotion=stale).cells
    assert read(promotion={}).says("No champion has been chosen.")


def test_two_nights_are_compared_person_by_person():
    page = full()
    assert page.says(
        "27 September 2025", "90 people were scored on both nights, 10 are new and 10 are no longer scored"
    )
    assert read(previous=None).says("There is no earlier night to compare with")


def test_probabilities_add_up_to_everybody():
    outlook = Outlook(forecast([f"p{i}" for i in range(50)]), 30, ("trouble <&>",))
    outcomes = outlook.outcomes()
    assert outcomes["n_expected"].sum() == pytest.approx(50)
    assert outcomes["n_likeliest"].sum() == 50
    assert "trouble <&>" in outcomes.index and outcomes.index[-1] == "silent"
    assert sum(outlook.silence_bins()) == 50


def test_stages_count_everybody_scored_once():
    outlook = Outlook(forecast([f"p{i}" for i in range(50)]), 30)
    stages = outlook.stages(PATH)
    assert stages["n"].sum() == 50
    assert stages["n_silent"].sum() == outlook.n_likely_silent
    assert stages["stage"].tolist()[:3] == list(PATH)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.123, "12.3%"), (0.0, "0.0%"), (0.00001, "<0.1%"), (None, "–"), (float("nan"), "–"), (1.0, "100.0%")],
)
def test_shares_are_written_in_percent(value, written):
    assert words.share(value) == written


@pytest.mark.parametrize(("days", "written"), [(8.25, "8.2 days"), (1.5, "36.0 h"), (0.0, "0.0 min"), (None, "–")])
def test_durations_are_written_in_a_unit_that_suits_them(days, written):
    assert words.duration(days) == written


def test_times_are_written_for_readers_in_utc():
    assert words.moment(pd.Timestamp("2025-03-01 01:30", tz="Europe/Berlin")) == "1 March 2025, 00:30 UTC"
    assert words.moment("2025-12-31") == "31 December 2025"
    assert words.moment("last week") == "last week"


def test_the_leaderboard_says_who_leads_and_whose_distance_is_not_proven():
    page = full()
    assert page.says(
        "lightgbm is ahead; no proven difference in log loss to logistic",
        "Judged on 600 rows of 310 people, forecast from 2025-06-02 and 2025-06-30",
        "hazard of return, at 2025-06-02: there are 3 rows to learn from",
    )
    cells = [" ".join(c.split()) for c in page.cells]
    assert "no proven difference +0.005 (−0.001 to +0.011) log loss" in cells
    assert "worse +0.090 (+0.080 to +0.100) log loss" in cells
    assert not page.says("This backtest is stale")


def test_in_each_group_the_leaderboard_says_how_far_each_model_is_from_the_best_of_all():
    cells = [" ".join(c.split()) for c in full().cells]
    at = cells.index("stage: cart", cells.index("People", cells.index("Learnt from")))
    logistic, recency = "0.580 −0.050 to +0.010", "0.700 worse +0.040 to +0.160"
    assert cells[at + 1 : at + 6] == ["44", "31", "0.600", logistic, recency]


def test_a_backtest_of_an_earlier_version_is_still_shown():
    earlier = json.loads(json.dumps(BACKTESTS))
    for key in ("to_best", "n_persons"):
        del earlier["churn"]["pooled"]["slices"][0][key]
    cells = read(backtests=earlier).cells
    assert cells[cells.index("stage: cart", cells.index("Learnt from")) + 3 :][:2] == ["0.600", "0.580"]


def test_a_backtest_of_other_data_or_settings_is_called_stale():
    page = read(backtest_of={"data_version": "d2", "features": {"last_k": 5}})
    assert page.says("This backtest is stale", "It is of another data version than the models of tonight")
    assert read(backtests={}).says("No backtest was made; make backtest makes one.")


# --- the journey ----------------------------------------------------------------------------------------------------


def test_moves_are_counted_between_neighbouring_visits_of_one_person():
    assert pairs("ann awareness consideration purchase", "bob awareness consideration", "cid awareness") == {
        ("awareness", "consideration"): 2,
        ("consideration", "purchase"): 1,
    }


def test_a_move_is_counted_as_the_first_kind_that_holds():
    walks = ("ann awareness consideration awareness", "bob awareness purchase", "cid awareness consideration")
    flows = count_flows(journeys_of(*walks, "dan consideration purchase consideration purchase"), NIGHT, PATH)
    kinds = {(m.from_stage, m.to_stage, m.kind): m.n for m in flows.moves.itertuples()}
    assert kinds == {
        ("awareness", "consideration", "forward"): 2,
        ("consideration", "awareness", "regression"): 1,
        ("awareness", "purchase", "detour"): 1,
        ("consideration", "purchase", "forward"): 1,
        ("consideration", "purchase", "reentry"): 1,
        ("purchase", "consideration", "regression"): 1,
    }
    assert (flows.n_regressions, flows.n_detours, flows.n_reentries) == (2, 2, 3)


def test_days_before_a_move_are_those_in_the_stage_left():
    flows = count_flows(journeys_of("ann awareness consideration", step_days=4), NIGHT, PATH)
    assert flows.pairs["median_days"].tolist() == [4.0]


def test_nothing_after_the_night_is_counted():
    walks = [f"p{i} awareness consideration purchase" for i in range(3)]
    early = NIGHT - timedelta(days=85)  # the third visit begins five days after
    flows = count_flows(journeys_of(*walks), early, PATH)
    assert flows.n_moves == 3 and flows.n_people == 3
    assert flows.stages.set_index("stage")["n_now"].to_dict() == {"awareness": 0, "consideration": 3, "purchase": 0}


def test_the_event_at_the_cutoff_is_the_future():
    start = NIGHT - timedelta(days=10)
    assert count_flows(journeys_of("ann awareness consideration", start=start), NIGHT, PATH).n_moves == 0


def test_everybody_is_somewhere_likely_silent_or_not_scored():
    outlook = pd.Series([True, False], index=["ann", "bob"], dtype="boolean")
    journeys = journeys_of("ann awareness", "bob awareness", "cid awareness")
    stage = count_flows(journeys, NIGHT, PATH, outlook).stages.iloc[0]
    assert (stage.n_now, stage.n_now_silent, stage.n_now_unscored, stage.n_starts) == (3, 1, 1, 3)


def test_stages_are_in_designed_order_and_the_others_follow_as_people_meet_them():
    journeys = journeys_of("ann zeal awareness quiz", "bob purchase awareness quiz")
    assert count_flows(journeys, NIGHT, PATH).stages["stage"].tolist() == [*PATH, "zeal", "quiz"]


def test_shares_of_moves_add_up():
    pairs_ = count_flows(random_journeys(200), NIGHT, PATH).pairs
    assert pairs_["share"].sum() == pytest.approx(1)
    assert np.allclose(pairs_.groupby("from_stage")["share_from"].sum(), 1)


@pytest.mark.parametrize("n_stages", [2, 7, 60])
def test_the_map_stays_inside_its_frame_and_ribbons_inside_their_cards(n_stages):
    stages = tuple(f"stage_{i}" for i in range(n_stages))
    layout = lay_out(count_flows(random_journeys(300, stages), NIGHT, stages[: n_stages // 2]), 24)
    tops, bottoms = layout.tops, [t + h for t, h in zip(layout.tops, layout.heights, strict=True)]
    assert all(b < t for b, t in zip(bottoms, tops[1:], strict=False))
    assert len(layout.ribbons) <= 24 and bottoms[-1] < layout.height
    for r in layout.ribbons:
        for row, y in ((r.start, r.start_y), (r.end, r.end_y)):
            assert tops[row] < y - r.thickness / 2 and y + r.thickness / 2 < bottoms[row]
        reach = r.bulge + r.width + 6.9 * len(words.count(r.n))  # its number stands outside
        assert reach < layout.left if r.is_back else layout.left + CARD_WIDTH + reach < layout.width


def test_the_largest_flows_are_drawn_and_the_others_counted():
    stages = tuple(f"stage_{i}" for i in range(40))
    journeys = random_journeys(300, stages)
    flows = count_flows(journeys, NIGHT, ())
    page = read(journeys=journeys, path=(), max_flows=5)
    assert page.says(f"The 5 largest flows are drawn, {words.portion(flows.moves['n'].head(5).sum(), flows.n_moves)}")
    assert page.says(f"{len(flows.moves) - 5} are left out", "No path is designed for them")


def test_kinds_differ_by_pattern_and_words_besides_colour():
    text = build_page(**a_night(journeys=journeys_of("ann awareness consideration awareness purchase awareness")))
    page = Reader(text)
    assert page.says("as designed", "detour: the design does not allow it", "step back along the designed path")
    assert page.says("awareness → consideration: 1, as designed")
    assert text.count('class="ribbon regression"') == 3  # two moves and the legend


# --- the step -------------------------------------------------------------------------------------------------------


def kept(predictions: pd.DataFrame, root: Path) -> None:
    reasons = {f"reason_{i}": pd.array(["more visits"] * len(predictions), "str") for i in (1, 2, 3)}
    night = predictions["cutoff_time"].iloc[0]
    frame = predictions.assign(**reasons, scored_at_cutoff=night)
    folder = root / f"cutoff_date={night:%Y-%m-%d}"
    tables.write(frame, folder / "predictions.parquet", schema.PREDICTIONS)
    tables.write_json(MANIFEST, folder / "manifest.json")


def test_every_horizon_is_judged_on_the_page_or_said_to_be_too_far():
    bounded = {"value": 0.41, "low": 0.4, "high": 0.42}
    metrics = dict.fromkeys(("log_loss", "brier", "auc", "ece"), bounded)
    near = {"days": 7, "n": 800, "models": {"hazard": metrics, "recency": metrics}, "best_baseline": "recency"}
    near |= {
        "difference": {"value": -0.1, "low": -0.2, "high": -0.05},
        "bias": {"value": 0.031, "low": 0.01, "high": 0.05},
        "ece_noise": {"mean": 0.0144, "high": 0.0212},
        "returns": {"n": 300, "inside": {"value": 0.74, "low": 0.7, "high": 0.78}, "sooner": 0.05, "later": 0.21},
    }
    judged = json.loads(json.dumps(JUDGED))
    judged["targets"]["churn"]["horizons"] = [near, {"days": 90, "n": 0, "n_silent": 0}]
    page = read(judged=judged)
    assert page.says("7 days") and "0.4100.400 to 0.420" in page.cells and "betterrecency, 0.410" in page.cells
    assert page.says("+0.031") and page.says("by luck alone 0.014, seldom above 0.021")
    assert page.says("no test was watched so long")
    assert "74.0%70.0% to 78.0%5.0% sooner, 21.0% later" in page.cells
    assert read().says("Going silent by logistic regression is not judged here: it forecasts one horizon only")


def test_mean_forecasts_stand_beside_what_came_true():
    bias = {"value": -0.0512, "low": -0.07, "high": -0.03}
    row = {"n": 1200, "predicted": 0.3, "observed": 0.3512, "bias": bias}
    judged = json.loads(json.dumps(JUDGED))
    groups = [("all", "all"), ("stage", "loyal"), ("night", "2025-03-04")]
    judged["targets"]["churn"]["reliability"] = [{"by": by, "value": value} | row for by, value in groups]
    page = read(judged=judged)
    assert page.says("night: 2025-03-04", "35.1%", "−0.051")


def test_each_next_stage_is_set_beside_how_often_it_came():
    judged = json.loads(json.dumps(JUDGED))
    bias = {"value": -0.0512, "low": -0.07, "high": -0.03}
    whole = {"by": "all", "value": "all", "n": 1200, "predicted": 0.8, "observed": 0.79, "bias": bias}
    outcome = {"outcome": "purchase", "predicted": 0.111, "observed": 0.162, "bias": bias}
    outcome |= {"ece": {"value": 0.0612, "low": 0.04, "high": 0.08}, "ece_noise": {"mean": 0.0144, "high": 0.0212}}
    outcome["bins"] = [{"bin": 0, "predicted": 0.0333, "observed": 0.0777, "n": 1200}]
    stay = outcome | {"outcome": "stay", "observed": 0.5}
    judged["targets"]["next_stage"] |= {"reliability": [whole], "outcomes": [outcome, stay]}
    page = read(judged=judged)
    at = page.cells.index("the likeliest")
    assert page.cells[at + 6 : at + 24 : 6] == ["stays in stage", "purchase", "Outcome"]  # the most frequent first
    assert page.cells[at + 12 : at + 16] == ["purchase", "1,200", "11.1%", "16.2%"]
    assert page.cells[at + 17] == "0.0610.040 to 0.080by luck alone 0.014, seldom above 0.021"
    assert page.says("Each outcome by size of its forecast") and "7.8%" in page.cells


def test_each_group_of_people_is_set_against_the_best_baseline_and_what_came_true():
    judged = json.loads(json.dumps(JUDGED))
    churn = judged["targets"]["churn"]
    value = churn["slices"][0]["value"]
    bias = {"value": 0.0777, "low": 0.03, "high": 0.12}
    churn["reliability"] = [{"by": "all", "value": "all", "n": 9, "predicted": 0.5, "observed": 0.4, "bias": bias}]
    churn["reliability"].append(churn["reliability"][0] | {"by": "stage", "value": value})
    cells = read(judged=judged).cells
    at = cells.index(f"stage: {value}", cells.index("Against RFM logistic"))
    assert cells[at : at + 7] == [f"stage: {value}", "better", "900", "90", "0.500", *cells[at + 5 : at + 7]]
    assert cells[at + 5].startswith("−0.100") and cells[at + 6].startswith("+0.078")
    stages = {s["value"]: cells[cells.index(f"stage: {s['value']}", at) + 1] for s in churn["slices"][:4]}
    assert [*stages.values()] == ["better", UNPROVEN, "worse", ""]


def test_silence_is_told_at_every_horizon_that_is_forecast():
    predictions = forecast([f"p{i}" for i in range(50)])
    page = read(predictions=predictions)
    for days in (30, 90):
        assert page.says(f"{days} days")
        assert page.says(words.share(predictions[f"p_silent_{days}d"].mean()))
    assert page.says("from one curve for each person")
    assert page.says(f"expected on day {words.number(predictions['return_days'].median(), 1)}")
    assert not read(predictions=predictions.drop(columns="p_silent_90d")).says("from one curve for each person")


def test_the_night_before_is_the_latest_kept_one_that_is_earlier(tmp_path):
    source = MANIFEST["source"]
    assert read_night_before(NIGHT, source, tmp_path) is None
    for days in (-1, 0, 3, 9):
        kept(forecast(["ann"], NIGHT - timedelta(days=days)), tmp_path)
    assert read_night_before(NIGHT, "another source", tmp_path) is None
    before = read_night_before(NIGHT, source, tmp_path)
    assert before["cutoff_time"].tolist() == [pd.Timestamp(NIGHT - timedelta(days=3))]


def test_the_step_writes_the_page_of_the_night_on_the_clock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    night = a_night()
    journey = {"initial": "awareness", "rules": [{"stage": s} for s in PATH], "path": list(PATH)}
    report = {"title": "Journeys & stages", "max_flows": 24}
    resolved = {**SETTINGS, "source": {"name": "simulated"}, "journey": journey, "report": report}
    tables.write_text(yaml.safe_dump(resolved), Path("resolved.yaml"))
    clock = {"cutoff_time": NIGHT.isoformat(), "scored_at_cutoff": NIGHT.isoformat(), "data_version": "d41d8cd9"}
    tables.write_json(clock, tables.CLOCK / "score.json")
    trained = {"as_of": NIGHT.isoformat(), "train_cutoffs": [], "test_cutoffs": [], "data_version": "d2"}
    tables.write_json(trained, tables.CLOCK / "train.json")
    tables.write_json(BACKTESTS["churn"], tables.BACKTEST / "churn.json")
    tables.write_json(EVALUATION, tables.REPORTS / "evaluation.json")
    tables.write_json(JUDGED, tables.REPORTS / "champions.json")
    tables.write_json(INGEST, tables.REPORTS / "ingest.json")
    tables.write_json(EXPOSURE, tables.REPORTS / "exposure.json")
    tables.write_json(LEAKCHECK, tables.REPORTS / "leakcheck.json")
    tables.write_json(PROMOTION, tables.REPORTS / "promotion.json")
    tables.write(REALISED, tables.REALISED, schema.REALISED)
    journeys = night["journeys"].astype({"n_events": "int32"})
    tables.write(journeys, tables.JOURNEYS / "part.parquet", schema.JOURNEYS)
    part = {"file": "part.parquet", "begin": None, "night": 0}
    tables.write_json({"parts": [part], "key": ["person_id"], "news": []}, tables.JOURNEYS / "kept.json")
    kept(night["predictions"], tables.PREDICTIONS)
    kept(night["previous"], tables.PREDICTIONS)
    step.main()
    first = step.PAGE.read_bytes()
    page = Reader(first.decode())
    assert page.says("Journeys & stages", "1,284,551", "100 people were scored", "90 people were scored on both nights")
    assert page.says('make repro ARGS="cutoff_time=2025-09-28"')
    assert page.says(
        "This backtest is stale", "another data version, source, journey, features, targets and split than"
    )
    step.main()
    assert step.PAGE.read_bytes() == first


# --- the browser ----------------------------------------------------------------------------------------------------

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--enable-logging=stderr"),
    # No name resolves and no proxy answers: a page that asked for anything would say so in its console.
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"),
)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on this machine")


def browse(page: str, folder: Path, *flags: str) -> str:
    """Open a page and return what the browser made of it; its console must stay empty."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, "--dump-dom"]
    address = (folder / "page.html").as_uri()
    done = subprocess.run([*command, address], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    return done.stdout


@in_browser
def test_a_browser_draws_every_section_without_network(tmp_path):
    image = pytest.importorskip("PIL.Image")
    page, shot = build_page(**a_night()), tmp_path / "shot.png"
    dom = browse(page, tmp_path, "--window-size=1280,2400", f"--screenshot={shot}")
    shown = Reader(dom[dom.index("<html") :])
    assert set(CONTENTS) <= set(shown.ids)
    assert shown.tags.count("svg") == Reader(page).tags.count("svg")
    assert shown.says("1,284,551", "trouble <&>")
    with image.open(shot) as picture:
        colours = picture.convert("RGB").getcolors(1 << 24)
    assert len(colours) > 200
    assert max(n for n, _ in colours) < 0.9 * sum(n for n, _ in colours)


@in_browser
def test_the_page_fits_a_telephone_and_a_desk(tmp_path):
    stages = tuple(f"W_Completeren_aanvraag_{'x' * 40}_{i}" for i in range(30))
    pages = (build_page(**a_night()), build_page(**a_night(journeys=random_journeys(80, stages), path=())))
    frames = (f'<iframe width="{w}" height="900" srcdoc="{escape(p)}"></iframe>' for p in pages for w in (420, 1280))
    widths = "[...document.querySelectorAll('iframe')].map(f => f.contentDocument.documentElement.scrollWidth)"
    script = f"<script>onload = () => document.title = {widths}.join(' ')</script>"
    dom = browse(f"<title>none</title>{''.join(frames)}{script}", tmp_path)
    assert re.search(r"<title>([^<]*)</title>", dom).group(1) == "420 1280 420 1280"
