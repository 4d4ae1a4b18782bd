"""The features of features_score in pandas, vectorised: `python in_pandas.py EVENTS PLAN RESULT`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from speed.plan import DAY, Plan

COLUMNS = ["person", "event_time", "known_time", "event_type", "channel", "actor", "value_cents"]


def write_features(events: Path, plan: Plan, result: Path) -> None:
    """Write one row a person, `f_` columns called as ours."""
    ordered = _ordered(events, plan)
    own = ordered[ordered["own"]]
    table = _of_activities(own, plan)
    for part in (_counts(ordered, own, plan), _latest(ordered, plan), _channels(ordered, own, plan)):
        table = table.join(part)
    table = table.join(_of_visits(ordered, plan))
    mean = table["mean_gap_days"].where(table["mean_gap_days"] > 0)
    table["last_gap_over_mean"] = table["last_gap_days"] / mean
    table["silence_over_mean_gap"] = table["days_since_last_activity"] / mean
    table["n_channel_switches"] = table["n_channel_switches"].fillna(0)
    table.astype("float32").add_prefix("f_").reset_index().to_parquet(result, compression="zstd")


def _ordered(events: Path, plan: Plan) -> pd.DataFrame:
    rows = pd.read_parquet(events, columns=COLUMNS)
    cutoff = pd.Timestamp(plan.cutoff, unit="us", tz="UTC")
    rows = rows[(rows["event_time"] < cutoff) & (rows["known_time"] < cutoff)]
    rows = rows.sort_values(["person", "event_time"], ignore_index=True)
    kind, channel = rows["event_type"].astype("category"), rows["channel"].astype("category")
    types = pd.DataFrame(plan.types).set_index("event_type").reindex(kind.cat.categories)
    channels = pd.DataFrame(plan.channels).set_index("channel").reindex(channel.cat.categories)
    own = rows["actor"].astype("str") == "customer"
    out = pd.DataFrame(
        {
            "person": rows["person"],
            "t": rows["event_time"].astype("int64"),
            "own": own,
            "value_cents": rows["value_cents"].fillna(0),
            "counted": types["counted"].to_numpy()[kind.cat.codes],
            "category": types["category"].to_numpy()[kind.cat.codes],
            "channel_class": _looked_up(channels["counted"], channel.cat.codes),
            "channel_category": _looked_up(channels["category"], channel.cat.codes),
        }
    )
    reached = pd.Series(types["reached"].to_numpy(float)[kind.cat.codes]).where(own)
    out["stage"] = reached.groupby(out["person"]).ffill().fillna(plan.initial).astype("int8")
    out["gap"] = out.groupby("person")["t"].diff() / DAY
    return out


def _looked_up(values: pd.Series, codes: pd.Series) -> np.ndarray:
    return np.append(values.to_numpy(float), np.nan)[codes]


def _of_activities(own: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    gap = own.groupby("person")["t"].diff() / DAY
    by_person, times = gap.groupby(own["person"]), own.groupby("person")["t"]
    return pd.DataFrame(
        {
            "days_since_last_activity": (plan.cutoff - times.last()) / DAY,
            "tenure_days": (plan.cutoff - times.first()) / DAY,
            "mean_gap_days": by_person.mean(),
            "sd_gap_days": by_person.std(ddof=0),
            "last_gap_days": by_person.last(),
        }
    )


def _counts(ordered: pd.DataFrame, own: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    persons = ordered["person"].unique()
    out: dict[str, pd.Series] = {}
    for window, begin in plan.windows:
        recent = ordered[ordered["t"] >= begin]
        out[f"n_activities_{window}"] = own[own["t"] >= begin].groupby("person").size()
        by_type = recent.groupby(["person", "counted"]).size().unstack()
        out |= {f"n_{name}_{window}": by_type.get(i) for i, name in enumerate(plan.counted_types)}
    worth = 0.5 ** ((plan.cutoff - ordered["t"]) / DAY / plan.half_life_days)
    out[f"decayed_all_activities_{plan.half_life_days}d"] = worth[ordered["own"]].groupby(own["person"]).sum()
    by_type = worth.groupby([ordered["person"], ordered["counted"]]).sum().unstack()
    out |= {f"decayed_n_{name}_{plan.half_life_days}d": by_type.get(i) for i, name in enumerate(plan.counted_types)}
    out["value_cents_ever"] = ordered.groupby("person")["value_cents"].sum()
    table = pd.DataFrame(out, index=persons).reindex(columns=list(out)).astype("float64").fillna(0)
    latest = ordered.groupby(["person", "counted"])["t"].last().unstack()
    for i, name in enumerate(plan.counted_types):
        table[f"days_since_last_{name}"] = (plan.cutoff - latest[i]) / DAY
    return table


def _latest(ordered: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    back = ordered.groupby("person").cumcount(ascending=False)
    out = {}
    for k in range(plan.last_k):
        one = ordered[back == k].set_index("person")
        out[f"last_type_{k + 1}"] = one["category"]
        if k < plan.last_k - 1:
            out[f"event_gap_{k + 1}_days"] = one["gap"]
    return pd.DataFrame(out)


def _channels(ordered: pd.DataFrame, own: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    by_class = ordered.groupby(["person", "channel_class"]).size().unstack()
    n = by_class.sum(axis=1)
    out = {
        f"share_channel_{name}": by_class.get(i, default=np.nan * n).fillna(0) / n
        for i, name in enumerate(plan.counted_channels)
    }
    out["n_channels"] = by_class.notna().sum(axis=1)
    on = own.dropna(subset="channel_class")
    before = on.groupby("person")["channel_class"].shift()
    out["n_channel_switches"] = (before.notna() & (before != on["channel_class"])).groupby(on["person"]).sum()
    out["last_channel"] = on.groupby("person")["channel_category"].last()
    return pd.DataFrame(out, index=ordered["person"].unique()).assign(
        n_channels=lambda table: table["n_channels"].fillna(0)
    )


def _of_visits(ordered: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    is_entry = (ordered["stage"] != ordered["stage"].shift()) | (ordered["person"] != ordered["person"].shift())
    visits = ordered.loc[is_entry, ["person", "t", "stage"]].reset_index(names="place")
    for n, name in ((1, "before"), (2, "before_that")):
        visits[name] = visits.groupby("person")["stage"].shift(n).fillna(-1).astype("int8")
    visits = visits.merge(pd.DataFrame(plan.steps), on=["before", "stage"], how="left")
    visits = visits.merge(pd.DataFrame(plan.two_steps), on=["before_that", "before", "stage"], how="left")
    by_person = visits.groupby("person")
    last = visits[~visits["person"].duplicated(keep="last")].set_index("person")
    out = pd.DataFrame(
        {
            "stage": last["stage"],
            "previous_stage": last["before"].where(last["before"] >= 0),
            "last_transition": last["transition"],
            "last_two_transitions": last["two_transitions"],
            "days_in_stage": (plan.cutoff - last["t"]) / DAY,
            "n_visits": by_person.size(),
            "n_regressions": by_person["is_regression"].sum(),
            "n_reentries": by_person.size() - by_person["stage"].nunique(),
            "n_detours": by_person["is_detour"].sum(),
        }
    )
    ends = ordered.groupby("person").size().cumsum()
    out["n_events_in_stage"] = ends - last["place"]
    to = visits.groupby(["person", "stage"]).size().unstack(fill_value=0)
    return out.assign(**{f"n_visits_to_{name}": to.get(i, default=0) for i, name in enumerate(plan.stages)})


if __name__ == "__main__":
    write_features(Path(sys.argv[1]), Plan.read(Path(sys.argv[2])), Path(sys.argv[3]))
