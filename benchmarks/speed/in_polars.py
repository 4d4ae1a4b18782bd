"""The features of features_score in Polars, lazily: `python in_polars.py EVENTS PLAN RESULT`."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from speed.plan import DAY, Plan

PERSON = "person"


def write_features(events: Path, plan: Plan, result: Path) -> None:
    """Write one row a person, `f_` columns called as ours."""
    ordered = _ordered(events, plan)
    own = ordered.filter("own")
    parts = [_of_events(ordered, plan), _of_visits(ordered, plan), _of_channels(own.drop_nulls("channel_class"), plan)]
    table = _of_activities(own, plan)
    for part in parts:
        table = table.join(part, on=PERSON, how="left")
    table = table.with_columns(
        f_last_gap_over_mean=pl.col("f_last_gap_days") / _not_zero("f_mean_gap_days"),
        f_silence_over_mean_gap=pl.col("f_days_since_last_activity") / _not_zero("f_mean_gap_days"),
        f_n_events_in_stage=pl.col("n_events") - pl.col("entry"),
        f_n_channel_switches=pl.col("f_n_channel_switches").fill_null(0),
    )
    columns = pl.selectors.starts_with("f_").cast(pl.Float32)
    table.select(PERSON, columns).sort(PERSON).collect(engine="streaming").write_parquet(result)


def _not_zero(name: str) -> pl.Expr:
    return pl.when(pl.col(name) > 0).then(name)


def _ordered(events: Path, plan: Plan) -> pl.LazyFrame:
    types = pl.LazyFrame(plan.types, schema={"event_type": pl.String} | dict.fromkeys(_OF_TYPE, pl.Int8))
    channels = pl.LazyFrame(plan.channels).select(
        "channel", pl.col("counted").alias("channel_class"), pl.col("category").alias("channel_category")
    )
    time, known = (pl.col(name).dt.epoch("us") for name in ("event_time", "known_time"))
    rows = pl.scan_parquet(events).filter(time < plan.cutoff, known < plan.cutoff)
    rows = rows.with_columns(pl.col("event_type", "channel").cast(pl.String))
    rows = rows.join(types, on="event_type").join(channels, on="channel", how="left")
    rows = rows.select(
        *(PERSON, "value_cents", "counted", "category", "channel_class", "channel_category"),
        t=time,
        own=pl.col("actor") == "customer",
        reached=pl.when(pl.col("actor") == "customer").then("reached"),
    ).sort(PERSON, "t")
    rows = rows.with_columns(
        stage=pl.col("reached").forward_fill().over(PERSON).fill_null(plan.initial),
        gap=pl.col("t").diff().over(PERSON) / DAY,
        place=pl.int_range(pl.len()).over(PERSON),
    )
    return rows.with_columns(enters=pl.col("stage").ne_missing(pl.col("stage").shift().over(PERSON)))


_OF_TYPE = ("counted", "category", "reached")


def _of_events(ordered: pl.LazyFrame, plan: Plan) -> pl.LazyFrame:
    is_type = [(name, pl.col("counted") == i) for i, name in enumerate(plan.counted_types)]
    is_channel = [(name, pl.col("channel_class") == i) for i, name in enumerate(plan.counted_channels)]
    days = (plan.cutoff - pl.col("t")) / DAY
    aged = 0.5 ** (days / plan.half_life_days)
    return ordered.group_by(PERSON).agg(
        *(
            (is_one & (pl.col("t") >= begin)).sum().alias(f"f_n_{name}_{window}")
            for window, begin in plan.windows
            for name, is_one in [("activities", pl.col("own")), *is_type]
        ),
        *(
            aged.filter(is_one).sum().alias(f"f_decayed_{name}_{plan.half_life_days}d")
            for name, is_one in [("all_activities", pl.col("own")), *((f"n_{t}", is_one) for t, is_one in is_type)]
        ),
        *(days.filter(is_one).min().alias(f"f_days_since_last_{name}") for name, is_one in is_type),
        *(pl.col("category").shift(k).last().alias(f"f_last_type_{k + 1}") for k in range(plan.last_k)),
        *(pl.col("gap").shift(k).last().alias(f"f_event_gap_{k + 1}_days") for k in range(plan.last_k - 1)),
        *(
            (is_one.sum() / pl.col("channel_class").count()).fill_nan(None).alias(f"f_share_channel_{name}")
            for name, is_one in is_channel
        ),
        pl.col("channel_class").drop_nulls().n_unique().alias("f_n_channels"),
        pl.col("value_cents").sum().alias("f_value_cents_ever"),
        n_events=pl.len(),
    )


def _of_activities(own: pl.LazyFrame, plan: Plan) -> pl.LazyFrame:
    gap, days = pl.col("own_gap"), (plan.cutoff - pl.col("t")) / DAY
    return (
        own.with_columns(own_gap=pl.col("t").diff().over(PERSON) / DAY)
        .group_by(PERSON)
        .agg(
            f_days_since_last_activity=days.last(),
            f_tenure_days=days.first(),
            f_mean_gap_days=gap.mean(),
            f_sd_gap_days=pl.when(gap.count() > 0).then(gap.std(ddof=0)),  # that of no gap is 0 here
            f_last_gap_days=gap.last(),
        )
    )


def _of_channels(on_channels: pl.LazyFrame, plan: Plan) -> pl.LazyFrame:
    used = pl.col("channel_class")
    return on_channels.group_by(PERSON).agg(
        f_n_channel_switches=(used != used.shift()).sum(), f_last_channel=pl.col("channel_category").last()
    )


def _of_visits(ordered: pl.LazyFrame, plan: Plan) -> pl.LazyFrame:
    stage = pl.col("stage")
    steps, two_steps = (
        pl.LazyFrame(rows).cast({name: pl.Int32 for name in ("before_that", "before", "stage") if name in rows[0]})
        for rows in (plan.steps, plan.two_steps)
    )
    visits = (
        ordered.filter("enters")
        .select(PERSON, "t", "place", stage.cast(pl.Int32))
        .with_columns(before=stage.shift().over(PERSON), before_that=stage.shift(2).over(PERSON))
        .join(steps, on=["before", "stage"], how="left")
        .join(two_steps, on=["before_that", "before", "stage"], how="left")
        .sort(PERSON, "t")
    )
    return visits.group_by(PERSON).agg(
        *((stage == i).sum().alias(f"f_n_visits_to_{name}") for i, name in enumerate(plan.stages)),
        f_stage=stage.last(),
        f_previous_stage=pl.col("before").last(),
        f_last_transition=pl.col("transition").last(),
        f_last_two_transitions=pl.col("two_transitions").last(),
        f_days_in_stage=(plan.cutoff - pl.col("t").last()) / DAY,
        f_n_visits=pl.len(),
        f_n_regressions=pl.col("is_regression").sum(),
        f_n_reentries=pl.len() - stage.n_unique(),
        f_n_detours=pl.col("is_detour").sum(),
        entry=pl.col("place").last(),
    )


if __name__ == "__main__":
    write_features(Path(sys.argv[1]), Plan.read(Path(sys.argv[2])), Path(sys.argv[3]))
