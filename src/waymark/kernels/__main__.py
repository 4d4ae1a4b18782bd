"""Compile every kernel, for every type of array that the library gives it: `python src/run.py waymark.kernels`.

The library itself asks for them, over a log of a few events that has something of everything.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from waymark import schema
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, PopulationConfig, SourceConfig
from waymark.engine import Threads
from waymark.estimators import Boosting
from waymark.eventlog import EventLog, read_log
from waymark.explanations import explain
from waymark.feature_groups import GROUPS
from waymark.features import describe
from waymark.hazard import SILENCE, Hazard
from waymark.journeys import StageMap, build_journeys
from waymark.ledger import link_identities
from waymark.points import Points, every_event, in_population, latest_event, snapshot
from waymark.renewing import renew
from waymark.store.changes import find_concerned
from waymark.store.landing import ingest
from waymark.store.store import Store
from waymark.vocabulary import learn_vocabulary

JOURNEY = JourneyConfig.model_validate(
    {
        "initial": "new",
        "rules": [
            {"stage": "twice", "event_type": ["t0"], "count_at_least": 2},
            {"stage": "paid", "value_cents_at_least": 1},
            {"stage": "{event_type}"},
        ],
    }
)
END = 100 * 86_400_000_000  # microseconds
N_NAMES = np.iinfo(np.int16).max + 1  # codes of so many names take int32


def table(n: int = 40) -> pd.DataFrame:
    """Return rows of `schema.EVENTS`: ten types of events, two persons, late knowledge, a number and a category."""
    place = pd.Series(range(n))
    time = pd.to_datetime(place, unit="D", utc=True)
    columns = {
        "event_id": "e" + place.astype(str),
        "event_time": time,
        "known_time": time + pd.to_timedelta(place % 3 * 30, unit="D"),
        "superseded_time": None,
        "sequence": 0,
        "source": "warm",
        "anonymous_id": "device",
        "customer_id": "c" + (place % 2).astype(str),
        "event_type": "t" + (place % 10).astype(str),
        "actor": "customer",
        "channel": "web",
        "session_id": "s",
        "value_cents": place % 4,
        "attr_kind": "k" + (place % 3).astype(str),
        "num_size": 1.0,
    }
    return schema.to_arrow(pd.DataFrame(columns), schema.EVENTS).to_pandas()


def with_many_names(log: EventLog) -> EventLog:
    """Return the log with codes of the larger type."""
    many = np.array([f"{i:05}" for i in range(N_NAMES)], object)
    codes = {name: (codes.astype(np.int32), names) for name, (codes, names) in log.attributes.items()}
    return replace(
        log,
        event_type=log.event_type.astype(np.int32),
        event_types=many,
        channel=log.channel.astype(np.int32),
        attributes=codes,
    )


def settings(points: str) -> FeaturesConfig:
    """Return the settings: every group, and classes of which there are few and many."""
    return FeaturesConfig(
        points=points, groups=list(GROUPS), windows_days=[7], half_lives_days=[7], population={"event_types": ["t0"]}
    )


def use(points: Points, chosen: FeaturesConfig) -> None:
    """Describe the points, and do what a function of the user's own may."""
    now = np.full(len(points), END)
    points = points.keep(in_population(points, chosen.population, now) | True)
    describe(points, chosen, learn_vocabulary(points.log, points.stage_map, chosen, END))
    points.window_sums(np.where(points.is_customer, 0, -1), 1, [7])
    points.days_since(np.where(points.is_customer, 0, -1), 1)


def fill_a_store(root: Path) -> Store:
    """Take two nights into an event store and read them: late events, a sign-in, links, an order, and few values."""
    columns = ("event_id", "event_time", "known_time", "anonymous_id", "customer_id", "event_type", "value")
    columns = {c: c for c in columns}
    told = {"files": ["links*"], "columns": {c: c for c in ("known_time", "customer_id", "anonymous_id")}}
    feed, links = {"files": ["log*"], "columns": columns, "attributes": {"kind": "event_type"}}, {"told": told}
    source = SourceConfig.model_validate({"name": "warm", "feeds": {"log": feed}, "links": links})
    landing = root / "landing"
    landing.mkdir()
    for night, device in (("1", "d1"), ("2", "d2")):
        rows = ["e0,2024-01-01,2024-01-02,d0,c0,view,1", f"e{night},2024-0{night}-01,2024-03-01,{device},,view,"]
        rows += [
            f"e3{night},2024-02-02,2024-02-02,{'d1' if night == '2' else 'd2'},c1,view,",
            f"e400{night},2024-02-03,2024-02-03,,c1,view,",
        ]
        (landing / f"log{night}.csv").write_text("\n".join([",".join(columns), *rows, ""]), encoding="utf-8")
        (landing / f"links{night}.csv").write_text(f"known_time,customer_id,anonymous_id\n2024-01-0{night},c2,d3\n")
        ingest(landing, source, IdentityConfig(), root / "store", 2)
    store = Store(root / "store", IdentityConfig())
    for bucket in store.buckets:
        store.log(bucket)
        found = find_concerned(store.root, store.manifest, bucket, 1, np.zeros(0, object))
        store.members(bucket, found.ids, found.is_anew)
    return store


def renew_features(store: Store, path: Path) -> None:
    """Describe everybody, and the night after those whom the clock concerns."""
    chosen = settings("snapshots").model_copy(update={"population": PopulationConfig()})
    log = store.log(0)
    known = learn_vocabulary(log, StageMap(log, JOURNEY), chosen, END)
    for night in ("2024-02-09", "2024-02-10"):
        renew(Threads(1), store, pd.Timestamp(night, tz="UTC"), JOURNEY, chosen, known, path)


def roll_trees() -> None:
    """Follow a few persons over some periods."""
    x = pd.DataFrame({SILENCE: np.arange(100, dtype=np.float32)})
    y = pd.DataFrame({"return_days": x[SILENCE] / 2, "observed_days": 30.0})
    Hazard(n_estimators=1).fit(x, y).curve(x)


def explain_something() -> None:
    """Explain forecasts of trees."""
    x = pd.DataFrame({"f_size": np.arange(60.0), "f_kind": np.arange(60.0) % 3})
    model = Boosting(categorical=("f_kind",), n_estimators=2, min_child_samples=5).fit(x, ["a", "b"] * 30)
    for rows in (x, x.astype({"f_kind": np.float32})):  # columns of one type lie row by row, of several by column
        explain(model, rows, ["a"] * len(x))


def main() -> None:
    """Compile the kernels."""
    with tempfile.TemporaryDirectory() as folder:
        renew_features(fill_a_store(Path(folder)), Path(folder) / "score.arrow")
    roll_trees()
    explain_something()
    events = table()
    links = link_identities(events)
    build_journeys(events, links, JOURNEY, pd.Timestamp(END, unit="us", tz="UTC"))
    log = read_log(events, links)
    for one in (log, with_many_names(log)):
        stage_map = StageMap(one, JOURNEY)
        use(snapshot(one, stage_map, END), settings("snapshots"))
        use(every_event(one, stage_map, END), settings("every_event"))
        use(latest_event(one, stage_map, END), settings("every_event"))


if __name__ == "__main__":
    main()
