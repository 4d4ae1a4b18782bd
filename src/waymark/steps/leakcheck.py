"""DVC step: does anything know what it cannot know?"""

import logging
from collections.abc import Iterator

import pandas as pd

from waymark import catalogue, config, findings, leak_subject, leakcheck, tables
from waymark.clock import TrainClock
from waymark.console import timed
from waymark.store.store import Store
from waymark.vocabulary import Vocabulary

log = logging.getLogger(__name__)


def main() -> None:
    """Check a sample of persons, print a small table and write what was found."""
    with timed(log, "leakcheck") as facts:
        settings = config.load(config.LeakcheckConfig, "leakcheck")
        nights = sorted((tables.FEATURES / "train").glob("*.parquet"))
        described = pd.concat([tables.read(night, ["person_id"]) for night in nights])["person_id"].unique()
        events, links = Store().sample(described.to_numpy(object), settings.n_persons)
        clock = TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json"))
        rules = config.load(config.IdentityConfig, "identity")
        n_halvings = tables.read_json(tables.FEATURES / "draw.json")["n_halvings"]
        ids = pd.concat([leak_subject.ids_of(events), links["id_a"], links["id_b"]]).unique()
        subject = leak_subject.Subject(
            events=events,
            links=links,
            features=pd.concat(_of(ids, (tables.read(night) for night in nights)), ignore_index=True),
            targets=pd.concat(_of(ids, tables.read_in_groups(tables.TARGETS)), ignore_index=True),
            catalogue=catalogue.from_json(tables.read_json(tables.FEATURES / "catalogue.json")),
            vocabulary=Vocabulary.from_json(tables.read_json(tables.FEATURES / "vocabulary.json")),
            clock=clock,
            journey=config.load(config.JourneyConfig, "journey"),
            features_config=config.load(config.FeaturesConfig, "features"),
            targets_config=config.load(config.TargetsConfig, "targets"),
            split=config.load(config.SplitConfig, "split"),
            rules=rules,
            drawn=leak_subject.drawn_ids(events, links, rules, clock.as_of, n_halvings),
        )
        found = leakcheck.leakcheck(subject, settings, config.value("seed"))
        result = findings.to_json(found)
        tables.write_json(result, tables.REPORTS / "leakcheck.json")
        log.info(findings.as_text(result))
        facts.append(f"{result['n_alarms']} alarms")
    findings.stop_on_alarm(found, settings.fail)


def _of(ids: list[str], parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield the rows of some persons, a part of a table at a time: the whole need not fit in memory."""
    for rows in parts:
        yield rows[rows["person_id"].isin(ids)]


if __name__ == "__main__":
    main()
