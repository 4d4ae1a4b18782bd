"""A night hangs on nothing that became known after it, whether that is left out, scrambled or invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pandas.testing import assert_frame_equal

from table_facts import TableFacts
from waymark import config, tables
from waymark.clock import ScoreClock, TrainClock, known_before, set_score_clock, set_train_clock
from waymark.features import build_features, build_training_features
from waymark.ledger import link_identities
from waymark.store.store import Store
from waymark.targets import build_targets

DAYS_AGO = 25
Night = tuple[ScoreClock, TrainClock]


@pytest.fixture(scope="module")
def delivered(small_project: Path) -> tuple[pd.DataFrame, dict]:
    """All events of a small brand, and its settings."""
    settings = yaml.safe_load((small_project / "resolved.yaml").read_text(encoding="utf-8"))
    return Store(small_project / tables.STORE).events(), settings


def section(settings: dict, cls: type, name: str):
    return config.check(cls, settings[name], name)


@pytest.fixture(scope="module")
def night(delivered) -> Night:
    """A night of some weeks ago, with the clocks that it had on the evening itself."""
    events, settings = delivered
    end = events["known_time"].max().floor("D") - pd.Timedelta(days=DAYS_AGO)
    by_then = known_before(events, end)
    split, targets = section(settings, config.SplitConfig, "split"), section(settings, config.TargetsConfig, "targets")
    links = link_identities(by_then)
    score = set_score_clock(TableFacts(by_then, links), config.ClockConfig(cutoff_time="latest"))
    assert score.cutoff_time == end
    return score, set_train_clock(TableFacts(by_then, links), split, targets)


def made(events: pd.DataFrame, settings: dict, night: Night) -> dict[str, pd.DataFrame]:
    """Return what the models of a night learn from and what they forecast from."""
    score, train = night
    links = link_identities(events)
    journey, rules = (
        section(settings, config.JourneyConfig, "journey"),
        section(settings, config.IdentityConfig, "identity"),
    )
    chosen = section(settings, config.FeaturesConfig, "features")
    cutoffs = (*train.train_cutoffs, *train.test_cutoffs)
    features, _, vocabulary = build_training_features(
        events, links, cutoffs, train.as_of, journey, chosen, rules, learn_until=train.learn_until
    )
    targets = build_targets(
        features,
        events,
        links,
        train,
        chosen.points,
        journey,
        section(settings, config.TargetsConfig, "targets"),
        section(settings, config.SplitConfig, "split"),
        rules,
    )
    tonight, _ = build_features(events, links, score.cutoff_time, journey, chosen, vocabulary, rules)
    return {"features": features, "targets": targets, "tonight": tonight}


def deleted(events: pd.DataFrame, is_news: pd.Series) -> pd.DataFrame:
    return events[~is_news]


def scrambled(events: pd.DataFrame, is_news: pd.Series) -> pd.DataFrame:
    """Deal the columns of the news out anew, each for itself."""
    news, rng = events[is_news], np.random.default_rng(0)
    for column in ("event_time", "event_type", "actor", "channel", "value_cents", "customer_id"):
        news = news.assign(**{column: news[column].sample(frac=1, random_state=int(rng.integers(1e6))).array})
    nobodys = news["customer_id"].isna() & news["anonymous_id"].isna()
    return pd.concat([events[~is_news], news[~nobodys]], ignore_index=True)


def invented(events: pd.DataFrame, is_news: pd.Series) -> pd.DataFrame:
    """Restate the whole past, and join everybody with one customer."""
    news = events[is_news]["known_time"].min()
    wild = events[~is_news].assign(known_time=news, event_type="order", value_cents=999_999, customer_id="everybody")
    past = events.assign(
        superseded_time=events["superseded_time"].fillna(news).where(~is_news, events["superseded_time"])
    )
    return pd.concat([past, wild], ignore_index=True)


@pytest.mark.parametrize("tamper", [deleted, scrambled, invented])
def test_what_became_known_later_changes_nothing_of_a_past_night(delivered, night, tamper):
    events, settings = delivered
    is_news = events["known_time"] >= max(night[0].cutoff_time, night[1].as_of)
    assert is_news.sum() > 500
    one, two = made(events, settings, night), made(tamper(events, is_news), settings, night)
    for name, table in one.items():
        assert len(table) > 50
        assert_frame_equal(table, two[name])


def test_what_was_known_does(delivered, night):
    events, settings = delivered
    is_recent = events["known_time"].between(night[0].cutoff_time - pd.Timedelta(days=2), night[0].cutoff_time)
    one, two = made(events, settings, night), made(events[~is_recent], settings, night)
    assert not one["tonight"].equals(two["tonight"])
