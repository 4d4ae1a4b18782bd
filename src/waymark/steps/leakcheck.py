"""DVC step: does anything know what it cannot know?"""

import logging

from waymark import catalogue, config, findings, leak_subject, leakcheck, tables
from waymark.clock import TrainClock
from waymark.console import timed
from waymark.vocabulary import Vocabulary

log = logging.getLogger(__name__)


def main() -> None:
    """Check a sample of persons, print a small table and write what was found."""
    with timed(log, "leakcheck") as facts:
        settings = config.load(config.LeakcheckConfig, "leakcheck")
        subject = leak_subject.Subject(
            events=tables.read(tables.EVENTS),
            links=tables.read(tables.LINKS),
            features=tables.read(tables.FEATURES / "train.parquet"),
            targets=tables.read(tables.TARGETS),
            catalogue=catalogue.from_json(tables.read_json(tables.FEATURES / "catalogue.json")),
            vocabulary=Vocabulary.from_json(tables.read_json(tables.FEATURES / "vocabulary.json")),
            clock=TrainClock.from_json(tables.read_json(tables.CLOCK / "train.json")),
            journey=config.load(config.JourneyConfig, "journey"),
            features_config=config.load(config.FeaturesConfig, "features"),
            targets_config=config.load(config.TargetsConfig, "targets"),
            split=config.load(config.SplitConfig, "split"),
            rules=config.load(config.IdentityConfig, "identity"),
        )
        found = leakcheck.leakcheck(subject, settings, config.value("seed"))
        result = findings.to_json(found)
        tables.write_json(result, tables.REPORTS / "leakcheck.json")
        log.info(findings.as_text(result))
        facts.append(f"{result['n_alarms']} alarms")
    findings.stop_on_alarm(found, settings.fail)


if __name__ == "__main__":
    main()
