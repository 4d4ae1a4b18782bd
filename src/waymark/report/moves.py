"""What moves the forecasts: groups of features, the strongest features, and whether the reasons hold."""

from collections.abc import Mapping, Sequence
from typing import Any

from waymark.report import words
from waymark.report.markup import Markup, bar, details, join, note, paragraph, section, table, tag
from waymark.report.succession import by_whom, not_judged

_SHOWN_FEATURES = 15


def moves(judged: Mapping[str, Any]) -> Markup:
    """Return the section on what the champions look at."""
    shown = [_target(by_whom(n, t), t) for n, t in judged.get("targets", {}).items()]
    body = [part for part in shown if part] or [note("The models do not say what moves them.")]
    intro = note(
        "Of those who forecast tonight: "
        "how far each kind of knowledge moved the forecasts from that of an average person, over everybody who was "
        "sampled, upwards or downwards. It says what the model looks at, not what causes what."
    )
    return section("moves", "What moves the forecast", intro, not_judged(judged), *body)


def _target(title: str, target: Mapping[str, Any]) -> Markup | str:
    told = target.get("reasons") or {}
    if not told.get("groups"):
        return _leaning(title, target["importance"]) if target.get("importance") else ""
    people = f"{words.count(told['n_persons'])} people"
    groups = _bars(f"{title}: by group, {people}", "Moved by", [(g["words"], g["share"]) for g in told["groups"]])
    features = [(join([f["words"], _which_way(f)]), f["share"]) for f in told["features"][:_SHOWN_FEATURES]]
    strongest = _bars(f"{title}: the strongest features", "Moved by", features)
    return join([tag("h3", title), tag("div", groups, strongest, class_="columns"), _holds(told["removal"])])


def _bars(caption: str, head: str, rows: Sequence[tuple[Any, float]]) -> Markup:
    most = max((share for _, share in rows), default=1.0)
    shown = [(name, bar(share / most), words.share(share)) for name, share in rows]
    return tag("div", table(caption, [head, "", "Share"], shown, text=2))


def _which_way(feature: Mapping[str, Any]) -> Markup:
    """Say which values make which outcome likelier."""
    outcome, value = words.outcome(feature["outcome"]), feature["likelier"]
    if value is None:
        said = f"moves “{outcome}”, now up, now down"
    else:
        said = f"{value}: “{outcome}” likelier"
    return tag("span", said, class_="range")


def _holds(removal: Sequence[Mapping[str, Any]]) -> Markup:
    """Say of how many people the forecast, without the reason, moved as the reason says."""
    first, *rest = removal
    rows = [(f"reason {r['rank']}", words.count(r["n"]), words.share(r["share"])) for r in (first, *rest)]
    return join(
        [
            paragraph(
                tag("strong", f"The first reason holds for {words.share(first['share'])} of the people sampled: "),
                "with other people's knowledge of that kind in its place, the forecast goes the way the reason says.",
            ),
            details("Each reason", table("Reasons that hold, by rank", ["Reason", "People", "Hold"], rows)),
        ]
    )


def _leaning(title: str, features: Sequence[Mapping[str, Any]]) -> Markup:
    """Return what training gained from each feature, where nothing says what moved single forecasts."""
    ranked = sorted(features, key=lambda f: (-f["gain_share"], f["feature"]))
    top = [f for f in ranked[:_SHOWN_FEATURES] if f["gain_share"] > 0]
    rest = 1.0 - sum(f["gain_share"] for f in top)
    caption = f"{title}: share of what training gained" + (
        f"; all others together {words.share(rest)}" if rest > 0.0005 else ""
    )
    return _bars(caption, "Moved by", [(f.get("words") or words.plain(f["feature"]), f["gain_share"]) for f in top])
