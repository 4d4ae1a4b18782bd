"""Leakcheck on real logs and on the simulated brand: what is shipped raises no alarm, in a minute or less."""

import json
import os
import time
from pathlib import Path

import pytest
import yaml

from ingested import ingest
from table_facts import TableFacts
from waymark import clock, features, findings, leak_subject, leakcheck, targets
from waymark.config import Settings, check
from waymark.ledger import link_identities
from waymark.steps.config import compose_settings

LOGS = os.environ.get("WAYMARK_LOGS")
ROOT = Path(__file__).parents[1]
SOURCES = {
    "online_retail": "online_retail",
    "cdnow": "cdnow",
    "bpic2012": "bpic2012",
    "retentioneering_ecom": "retentioneering_ecom",
    "tax2017_helpdesk": "tax2017",
    "tax2017_bpi_12_w": "tax2017",
    "tax2017_bpi_12_w_no_repeat": "tax2017",
    "tax2017_env_permit": "tax2017",
    "tax2017_bpi_13_incidents": "tax2017",
    "complete_journey": "complete_journey",
    "airline_tweets": "airline_tweets",
    "olist_funnel": "olist_funnel",
    "attribution_playbook": "attribution_playbook",
}


def settings_of(source: str, landing: Path) -> Settings:
    chosen = {"source": source, "landing": str(landing)}
    return check(Settings, yaml.safe_load(compose_settings(chosen, ROOT / "conf")), "conf/")


def subject_of(source: str, landing: Path) -> tuple[leak_subject.Subject, Settings]:
    """Return the tables of a shipped source with its own settings."""
    cfg = settings_of(source, landing)
    events = ingest(landing, cfg.source).events
    links = link_identities(events)
    known = clock.set_train_clock(TableFacts(events), cfg.split, cfg.targets)
    nights = (*known.train_cutoffs, *known.test_cutoffs)
    rows, catalogue, words = features.build_training_features(
        *(clock.known_before(events, known.as_of), links, nights, known.as_of, cfg.journey, cfg.features, cfg.identity),
        learn_until=known.learn_until,
    )
    kind, rules = cfg.features.points, cfg.identity
    truth = targets.build_targets(rows, events, links, known, kind, cfg.journey, cfg.targets, cfg.split, rules)
    tables = (events, links, rows, truth, catalogue, words, known)
    return leak_subject.Subject(*tables, cfg.journey, cfg.features, cfg.targets, cfg.split, rules), cfg


@pytest.mark.slow
@pytest.mark.skipif(not LOGS, reason="WAYMARK_LOGS names no folder of public logs")
@pytest.mark.parametrize("source", SOURCES)
def test_the_shipped_features_raise_no_alarm_on_a_real_log(source):
    landing = Path(LOGS) / SOURCES[source]
    wanted = [name for feed in settings_of(source, landing).source.feeds.values() for name in feed.files]
    missing = [name for name in wanted if not (landing / name).is_file()]
    if missing:
        pytest.skip(f"no {landing.name}/{missing[0]} among the logs")
    subject, cfg = subject_of(source, landing)
    begun = time.perf_counter()
    found = findings.to_json(leakcheck.leakcheck(subject, cfg.leakcheck, cfg.seed))
    seconds = time.perf_counter() - begun
    print(f"\n{source}: {seconds:.1f} s\n{findings.as_text(found)}")
    assert found["n_alarms"] == 0
    assert {f["check"] for f in found["findings"]} == set(leakcheck.CHECKS)
    assert seconds < 60


def test_every_shipped_source_but_the_simulated_brand_is_a_real_log_here():
    shipped = {path.stem for path in (ROOT / "conf/source").glob("*.yaml")}
    assert set(SOURCES) == shipped - {"simulated"}


def test_the_shipped_features_raise_no_alarm_on_the_simulated_brand(small_project):
    found = json.loads((small_project / "reports/leakcheck.json").read_text())
    assert found["n_alarms"] == 0
    assert {f["check"] for f in found["findings"]} == set(leakcheck.CHECKS)
