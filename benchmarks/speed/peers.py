"""Other tools for logs of journeys, each as its own documentation says: `python peers.py NAME EVENTS`.

Run with the Python of an environment of their own: none of them is a dependency, and this file imports nothing of ours.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import pandas as pd

os.environ["RETENTIONEERING_NO_TRACK"] = "1"  # it reports its use to a server otherwise
warnings.simplefilter("ignore")


def retentioneering(events: pd.DataFrame) -> pd.DataFrame:
    """Build an event stream and count every event of every path."""
    from retentioneering import Eventstream

    schema = {"path_cols": ["person_id"], "event_col": "event_type", "timestamp_col": "event_time"}
    stream = Eventstream(events[["person_id", "event_type", "event_time"]], schema)
    metrics = ["length", "duration", "active_days", "first_event_time", "event_count_bulk", "has_event_bulk"]
    return stream.get_metrics([{"metric": name, "metric_args": {}} for name in metrics])


def pm4py(events: pd.DataFrame) -> pd.DataFrame:
    """Extract features of each case, occurrences of activities and of their successions counted; and the DFG."""
    import pm4py

    names = {"case_id": "person_id", "activity_key": "event_type", "timestamp_key": "event_time"}
    log = pm4py.format_dataframe(events, **names)
    pm4py.discover_dfg(log)
    what = ["concept:name"]
    return pm4py.extract_features_dataframe(log, str_ev_attr=what, str_evsucc_attr=what, count_occurrences=True)


def featuretools(events: pd.DataFrame) -> pd.DataFrame:
    """Synthesise features of persons as of a cut-off, over four windows."""
    import featuretools as ft

    es = ft.EntitySet("log")
    rows = events[["person_id", "event_time", "event_type", "channel", "value_cents"]].reset_index(names="event")
    es = es.add_dataframe(dataframe=rows, dataframe_name="events", index="event", time_index="event_time")
    es = es.normalize_dataframe("events", "persons", "person_id")
    es.add_last_time_indexes()
    cutoff = events["event_time"].max().ceil("D")
    what = ["count", "sum", "num_unique", "mode", "time_since_last", "avg_time_between"]
    tables = [
        ft.dfs(
            entityset=es,
            target_dataframe_name="persons",
            agg_primitives=what,
            trans_primitives=[],
            cutoff_time=cutoff,
            instance_ids=es["persons"]["person_id"],
            training_window=ft.Timedelta(days, "d"),
        )[0].add_suffix(f"_{days}d")
        for days in (1, 7, 30, 90)
    ]
    return pd.concat(tables, axis=1)


def tsfresh(events: pd.DataFrame) -> pd.DataFrame:
    """Extract its minimal set of features of two series a person: values, and gaps between events."""
    from tsfresh import extract_features
    from tsfresh.feature_extraction import MinimalFCParameters

    rows = events.sort_values(["person_id", "event_time"])
    gap = rows.groupby("person_id")["event_time"].diff().dt.total_seconds().fillna(0)
    series = rows[["person_id", "event_time"]].assign(value=rows["value_cents"].fillna(0).astype(float), gap=gap)
    few = MinimalFCParameters()
    return extract_features(
        series, column_id="person_id", column_sort="event_time", default_fc_parameters=few, disable_progressbar=True
    )


PEERS = {peer.__name__: peer for peer in (retentioneering, pm4py, featuretools, tsfresh)}
COLUMNS = ["person_id", "event_time", "event_type", "channel", "value_cents"]


def read(path: Path) -> pd.DataFrame:
    """Return the events as most of them want them: plain texts, times without a zone."""
    events = pd.read_parquet(path, columns=COLUMNS)
    times = events["event_time"].dt.tz_localize(None).astype("datetime64[ns]")
    texts = {name: events[name].astype(object) for name in ("person_id", "event_type", "channel")}
    return events.assign(**texts, event_time=times)


if __name__ == "__main__":
    table = PEERS[sys.argv[1]](read(Path(sys.argv[2])))
    print(f"{len(table)} {table.shape[1]}")
