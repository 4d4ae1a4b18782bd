"""The features of features_score in DuckDB's SQL: `python in_duckdb.py EVENTS PLAN RESULT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb

from speed.plan import DAY, Plan


def write_features(events: Path, plan: Plan, result: Path) -> None:
    """Write one row a person, `f_` columns called as ours."""
    with connect(result) as connection:
        for name in ("types", "channels", "steps", "two_steps"):
            rows = getattr(plan, name)
            kinds = [{c: "VARCHAR" if c in ("event_type", "channel") else "INTEGER" for c in rows[0]}]
            make = f"CREATE TABLE {name} AS SELECT unnest(from_json(?, ?), recursive := true)"
            connection.execute(make, [json.dumps(rows), json.dumps(kinds)])
        connection.execute(f"COPY ({query(events, plan)}) TO '{result}' (COMPRESSION zstd)")


def connect(near: Path) -> duckdb.DuckDBPyConnection:
    """Return a database in memory that may use two cores, and spill to the folder of `near`."""
    connection = duckdb.connect()
    connection.execute(f"SET threads = 2; SET memory_limit = '8GB'; SET temp_directory = '{near}.spilt'")
    return connection


def query(events: Path, plan: Plan) -> str:
    """Return the query."""
    days = f"({plan.cutoff} - t) / {DAY}.0"
    aged = f"sum(0.5 ** ({days} / {plan.half_life_days}))"
    columns = _counts(plan, aged) | {
        "value_cents_ever": "coalesce(sum(value_cents), 0)",
        "days_since_last_activity": f"min({days}) FILTER (own)",
        "tenure_days": f"max({days}) FILTER (own)",
        **{f"days_since_last_{t}": f"min({days}) FILTER (counted = {i})" for i, t in enumerate(plan.counted_types)},
        "mean_gap_days": "avg(own_gap)",
        "sd_gap_days": "stddev_pop(own_gap)",
        "last_gap_days": "arg_max(own_gap, t) FILTER (own)",
        **{f"last_type_{k}": f"max(category) FILTER (back = {k})" for k in range(1, plan.last_k + 1)},
        **{f"event_gap_{k}_days": f"max(gap) FILTER (back = {k})" for k in range(1, plan.last_k)},
        **{
            f"share_channel_{c}": f"count(*) FILTER (channel_class = {i}) / nullif(count(channel_class), 0)"
            for i, c in enumerate(plan.counted_channels)
        },
        "n_channels": "count(DISTINCT channel_class)",
        "n_channel_switches": "count(*) FILTER (own AND channel_class <> channel_before)",
        "last_channel": "arg_max(channel_category, t) FILTER (own)",
        "n_events": "count(*)",
    }
    of_visits = {
        "stage": "max(stage) FILTER (back = 1)",
        "previous_stage": "max(before) FILTER (back = 1)",
        "last_transition": "max(transition) FILTER (back = 1)",
        "last_two_transitions": "max(two_transitions) FILTER (back = 1)",
        "days_in_stage": f"min({days})",
        "entry": "max(i)",
        "n_visits": "count(*)",
        "n_regressions": "count(*) FILTER (is_regression = 1)",
        "n_reentries": "count(*) - count(DISTINCT stage)",
        "n_detours": "count(*) FILTER (is_detour = 1)",
        **{f"n_visits_to_{s}": f"count(*) FILTER (stage = {i})" for i, s in enumerate(plan.stages)},
    }
    return f"""
    WITH known AS (
        SELECT person, epoch_us(event_time) AS t, actor = 'customer' AS own, value_cents, types.counted, types.category,
            CASE WHEN own THEN reached END AS reached, channels.counted AS channel_class,
            channels.category AS channel_category
        FROM '{events}' JOIN types USING (event_type) LEFT JOIN channels USING (channel)
        WHERE epoch_us(event_time) < {plan.cutoff} AND epoch_us(known_time) < {plan.cutoff}
    ),
    ordered AS (
        SELECT *, row_number() OVER w AS i, count(*) OVER (PARTITION BY person) - i + 1 AS back,
            (t - lag(t) OVER w) / {DAY}.0 AS gap,
            coalesce(last_value(reached IGNORE NULLS) OVER w, {plan.initial}) AS stage,
            CASE WHEN own THEN (t - lag(t) OVER (PARTITION BY person, own ORDER BY t)) / {DAY}.0 END AS own_gap,
            lag(channel_class) OVER (PARTITION BY person, own, channel_class IS NULL ORDER BY t) AS channel_before
        FROM known WINDOW w AS (PARTITION BY person ORDER BY t)
    ),
    entries AS (
        SELECT person, t, i, stage FROM ordered
        QUALIFY stage IS DISTINCT FROM lag(stage) OVER (PARTITION BY person ORDER BY t)
    ),
    visits AS (
        SELECT *, lag(stage) OVER w AS before, lag(stage, 2) OVER w AS before_that,
            row_number() OVER (PARTITION BY person ORDER BY t DESC) AS back
        FROM entries WINDOW w AS (PARTITION BY person ORDER BY t)
    ),
    of_visits AS (
        SELECT person, {_list(of_visits)}
        FROM visits LEFT JOIN steps USING (before, stage) LEFT JOIN two_steps USING (before_that, before, stage)
        GROUP BY person
    ),
    of_events AS (SELECT person, {_list(columns)} FROM ordered GROUP BY person)
    SELECT person, {", ".join(f"{name}::FLOAT AS f_{name}" for name in [*columns, *of_visits, *_RATIOS])}
    FROM (SELECT *, {_list(_RATIOS)} FROM of_events JOIN of_visits USING (person))
    WHERE days_since_last_activity IS NOT NULL ORDER BY person
    """


_RATIOS = {
    "last_gap_over_mean": "last_gap_days / nullif(mean_gap_days, 0)",
    "silence_over_mean_gap": "days_since_last_activity / nullif(mean_gap_days, 0)",
    "n_events_in_stage": "n_events - entry + 1",
}


def _counts(plan: Plan, aged: str) -> dict[str, str]:
    out = {}
    for window, begin in plan.windows:
        out[f"n_activities_{window}"] = f"count(*) FILTER (own AND t >= {begin})"
        for i, name in enumerate(plan.counted_types):
            out[f"n_{name}_{window}"] = f"count(*) FILTER (counted = {i} AND t >= {begin})"
    out[f"decayed_all_activities_{plan.half_life_days}d"] = f"coalesce({aged} FILTER (own), 0)"
    for i, name in enumerate(plan.counted_types):
        out[f"decayed_n_{name}_{plan.half_life_days}d"] = f"coalesce({aged} FILTER (counted = {i}), 0)"
    return out


def _list(columns: dict[str, str]) -> str:
    return ", ".join(f"{expression} AS {name}" for name, expression in columns.items())


if __name__ == "__main__":
    write_features(Path(sys.argv[1]), Plan.read(Path(sys.argv[2])), Path(sys.argv[3]))
