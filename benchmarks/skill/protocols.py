"""The protocols: what is split how, what is known of it elsewhere, and what we want to reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skill import known_laws, midnights, purchases, waits
from skill.judging import judge
from skill.logs import Points, read

Found = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """A bound of a metric of ours; `of` names a model whose metric it multiplies."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    of: str | None = None

    @property
    def words(self) -> str:
        """The goal as the table has it."""
        name = self.metric.replace("_", " ")
        bound = self.at_least if self.at_most is None else self.at_most
        whose = f"{self.of.replace('_', ' ')}'s" if self.of else ""
        than = whose if whose and bound == 1 else " x ".join(filter(None, (f"{bound:g}", whose)))
        return f"{name} {'>=' if self.at_most is None else '<='} {than}"

    def is_reached(self, found: Found) -> bool:
        """Say whether ours is within the bound."""
        value = found["models"][found["ours"]][self.metric]
        unit = found["models"][self.of][self.metric] if self.of else 1.0
        return value >= self.at_least * unit if self.at_most is None else value <= self.at_most * unit


@dataclass(frozen=True)
class Ahead:
    """The paired interval of the difference to the best baseline excludes 0, to our side."""

    metric: str = "log_loss"

    @property
    def words(self) -> str:
        """The goal as the table has it."""
        return f"proven gain in {self.metric.replace('_', ' ')}"

    def is_reached(self, found: Found) -> bool:
        """Say whether the gain is proven."""
        difference = found["difference"][self.metric]
        return difference["low"] > 0 if self.metric in ("auc", "accuracy") else difference["high"] < 0


@dataclass(frozen=True)
class Kept:
    """Promotion keeps the best baseline, whether it reigns already or not."""

    words: str = "the gate keeps the best baseline"

    def is_reached(self, found: Found) -> bool:
        """Say whether it does."""
        return set(found["gate"].values()) == {found["best_baseline"]}


@dataclass(frozen=True)
class Protocol:
    """One line of the table."""

    title: str
    words: str  # which rows train and test
    published: str
    goals: tuple[Goal | Ahead | Kept, ...]
    run: Callable[[Path], Found]  # given the folder of logs


ACTIVITIES = (
    "cases in file order, the first 2/3 train, prefixes of 2 events and more test, the end of a case is not scored"
)
CANDIDATE = {"targets": {"end_of_case": "candidate"}}

OTHER_BY_NIGHT = {
    "features": {"points": "snapshots", "population": {"active_within_days": 30}},
    "targets": {"end_of_case": "excluded", "horizon_days": 14},
    "split": {"kind": "cutoffs", "step_days": 1, "n_train": 60, "n_test": 14},
}
RETAIL_CUTOFFS = {283: "2011-09-09", 313: "2011-10-09", 343: "2011-11-08"}
MIDNIGHTS = (
    "completed work items (W_); a point for each case and midnight (UTC) that has an item behind and one to come; what"
    " comes next, whenever it does; the newest 20 % of the nights test; points whose next item came before those train"
)


def points_of(source: str, folder: str, **changed: Any) -> Callable[[Path], Points]:
    """Return what reads the points of a log."""
    return lambda logs: read(source, logs / folder, **changed)


def at(source: str, cutoff: str, **changed: Any) -> Callable[[Path], Points]:
    """Return what reads the points of a log that is tested at one cut-off."""
    return points_of(source, source, split={"test_cutoffs": [cutoff]}, **changed)


def judging(points: Callable[[Path], Points], target: str) -> Callable[[Path], Found]:
    """Return what judges forecasts of the points of a log."""
    return lambda logs: judge(points(logs), target)


def retail(day: int, days: int, rfm: float, bg_nbd: float, points: Callable[[Path], Points]) -> Protocol:
    """Return one cut-off of Online Retail."""
    cutoff = RETAIL_CUTOFFS[day]
    return Protocol(
        f"online_retail, {days} days at day {day}",
        f"customers with an order before {cutoff}; weekly cut-offs whose {days} days had passed by then train",
        f"RFM logistic AUC {rfm}, BG/NBD {bg_nbd}",
        (Ahead("auc"), Ahead(), Goal("ece", at_most=0.015)),
        judging(points, "churn"),
    )


POINTS: dict[str, Callable[[Path], Points]] = {
    "bpi_12_w": points_of("tax2017_bpi_12_w", "tax2017"),
    "bpi_12_w_end": points_of("tax2017_bpi_12_w", "tax2017", **CANDIDATE),
    "helpdesk": points_of("tax2017_helpdesk", "tax2017"),
    "helpdesk_end": points_of("tax2017_helpdesk", "tax2017", **CANDIDATE),
    "bpic2012": points_of("bpic2012", "bpic2012"),
    "bpi_12_w_other": points_of("tax2017_bpi_12_w", "tax2017", **OTHER_BY_NIGHT),
    "retail_90": at("online_retail", RETAIL_CUTOFFS[283], targets={"horizon_days": 90}),
    "retail_30_a": at("online_retail", RETAIL_CUTOFFS[313], targets={"horizon_days": 30}),
    "retail_30_b": at("online_retail", RETAIL_CUTOFFS[343], targets={"horizon_days": 30}),
    "cdnow": purchases.read_cdnow,
    "complete_journey": at("complete_journey", "2017-11-05"),
}

PROTOCOLS: dict[str, Protocol] = {
    "bpi_12_w": Protocol(
        "tax2017 bpi_12_w, next activity",
        f"{ACTIVITIES}, and no candidate",
        "LSTM .7600 (Tax et al. 2017); repeat-last .786, order-1 chain .787",
        (Goal("accuracy", at_least=0.80), Goal("log_loss", at_most=0.50), Ahead()),
        judging(POINTS["bpi_12_w"], "next_stage"),
    ),
    "bpi_12_w_end": Protocol(
        "tax2017 bpi_12_w, the end a candidate",
        f"{ACTIVITIES}, but a candidate",
        "as above; the chain never says `end`",
        (Goal("accuracy", at_least=0.80), Goal("log_loss", at_most=0.50), Ahead()),
        judging(POINTS["bpi_12_w_end"], "next_stage"),
    ),
    "helpdesk": Protocol(
        "tax2017 helpdesk, next activity",
        f"{ACTIVITIES}, and no candidate",
        "LSTM .7123 (Tax et al. 2017); order-1 chain .7255",
        (Goal("accuracy", at_least=0.755), Ahead()),
        judging(POINTS["helpdesk"], "next_stage"),
    ),
    "helpdesk_end": Protocol(
        "tax2017 helpdesk, the end a candidate",
        f"{ACTIVITIES}, but a candidate",
        "LSTM .7123 (Tax et al. 2017); order-1 chain .6934",
        (Goal("accuracy", at_least=0.72), Ahead()),
        judging(POINTS["helpdesk_end"], "next_stage"),
    ),
    "helpdesk_wait": Protocol(
        "tax2017 helpdesk, days to the next event",
        "the same rows; mean absolute error",
        "LSTM 3.75 (Tax et al. 2017); median by last activity 3.66",
        (Goal("mae", at_most=3.55), Ahead("mae")),
        lambda logs: waits.judge(logs, "tax2017_helpdesk"),
    ),
    "bpi_12_w_wait": Protocol(
        "tax2017 bpi_12_w, days to the next event",
        "the same rows; mean absolute error",
        "LSTM 1.56 (Tax et al. 2017); median by last activity 1.57",
        (Goal("mae", at_most=1.40), Ahead("mae")),
        lambda logs: waits.judge(logs, "tax2017_bpi_12_w"),
    ),
    "bpic2012": Protocol(
        "bpic2012, every event",
        "COMPLETE events only, the earliest 80 % of the cases train, every prefix tests, the end is scored",
        "back-off chain .765",
        (Goal("accuracy", at_least=0.81), Goal("log_loss", at_most=0.85, of="back_off"), Ahead()),
        judging(POINTS["bpic2012"], "next_stage"),
    ),
    "bpi_12_w_nights": Protocol(
        "bpic2012, work items at every midnight",
        f"as nearly as the laboratory's notes can be read: {MIDNIGHTS}",
        "laboratory, same LightGBM: trained on event rows .576, log loss 1.025; on nights .861, .348, ECE .009",
        (Goal("log_loss", at_most=0.33), Goal("ece", at_most=0.01), Ahead()),
        midnights.judge_midnights,
    ),
    "bpi_12_w_nights_bare": Protocol(
        "bpic2012, work items at every midnight, no attributes",
        "the same points; no resource and no amount, as in the encoding of Tax et al",
        "as above",
        (Goal("log_loss", at_most=0.33), Goal("ece", at_most=0.01), Ahead()),
        lambda logs: midnights.judge_midnights(logs, without=("attributes",)),
    ),
    "bpi_12_w_other": Protocol(
        "bpi_12_w, the next other activity by night",
        "a protocol of our own: at each of the newest 14 mature midnights, the next other activity within 14 days,"
        " or `stay`, of cases active in the last 30 days and again in those 14; the 60 midnights before train",
        "none",
        (Goal("ece", at_most=0.01), Ahead()),
        judging(POINTS["bpi_12_w_other"], "next_stage"),
    ),
    "retail_90": retail(283, 90, 0.734, 0.733, POINTS["retail_90"]),
    "retail_30_a": retail(313, 30, 0.725, 0.724, POINTS["retail_30_a"]),
    "retail_30_b": retail(343, 30, 0.736, 0.737, POINTS["retail_30_b"]),
    "cdnow": Protocol(
        "cdnow sample, 39 weeks after 39 weeks",
        "2,357 customers, any purchase in weeks 40 to 78; at the cut-off no label is known, only what happened so far",
        "BG/NBD AUC .773 (laboratory), recency .771",
        (
            *(Goal("auc", at_least=0.78), Ahead()),
            *(Goal("ece", at_most=1.0, of=rival) for rival in ("bg_nbd", "recency")),
        ),
        purchases.judge_cdnow,
    ),
    "complete_journey": Protocol(
        "complete_journey, 28 days at day 308",
        "households with a basket; weekly cut-offs whose 28 days had passed by 2017-11-05 train",
        "RFM logistic AUC .825, BG/NBD .820",
        (Goal("auc", at_least=0.84), Ahead()),
        judging(POINTS["complete_journey"], "churn"),
    ),
    "known_buyers": Protocol(
        "simulated buyers of a known law",
        "3,000 customers with Gamma rates and Beta chances to leave, 60 days at one cut-off; `bayes` knows the law and"
        " the history of each customer",
        "log loss of `bayes`",
        (Goal("log_loss", at_most=1.02, of="bayes"),),
        known_laws.judge_buyers,
    ),
    "known_chain": Protocol(
        "simulated Markov brand",
        "2,000 persons whose next stage hangs on the present one alone; `bayes` knows the chances",
        "log loss of `bayes`; the chain should stay unbeaten",
        (Goal("log_loss", at_most=1.02, of="bayes"), Kept()),
        known_laws.judge_chain,
    ),
}
