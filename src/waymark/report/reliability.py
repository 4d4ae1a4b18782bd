"""Whether the percentages can be believed: of each outcome, by night, and at every horizon."""

from collections.abc import Mapping, Sequence
from typing import Any

from waymark.report import words
from waymark.report.markup import Markup, details, join, note, section, table, tag
from waymark.report.quality import FIRST, UNPROVEN, judgement, with_luck, with_range
from waymark.report.succession import by_whom, not_judged

_SHOWN = 16
_MEASURES = ("log_loss", "auc", "ece")


def in_the_large(judged: Mapping[str, Any]) -> Markup:
    """Return the section that sets mean forecasts of the champions beside what came true, by outcome and night."""
    key, title = "honest", "Do the forecasts come true as often as they say?"
    parts = [
        _in_the_large(by_whom(name, target), target["reliability"], target.get("outcomes") or [])
        for name, target in judged.get("targets", {}).items()
        if target.get("reliability")
    ]
    intro = note(
        "Of those who forecast tonight: the mean forecast beside the share that came true. Of the next stage, each "
        "outcome is judged by itself, on all test rows; over all and on each night it is whatever is the likeliest for "
        "each person. The range is from samples of people. Where it leaves out nought, those forecasts were too high, "
        "or too low, by more than luck."
    )
    return section(key, title, intro, not_judged(judged), *(parts or [note("It was not measured.")]))


def _in_the_large(title: str, found: Sequence[Mapping[str, Any]], outcomes: Sequence[Mapping[str, Any]]) -> Markup:
    overall, *others = found
    ranked = sorted(outcomes, key=lambda o: (-o["observed"], o["outcome"]))
    named = [
        ("the likeliest" if outcomes else "all", overall),
        *((words.outcome(o["outcome"]), o | {"n": overall["n"]}) for o in ranked),
        *((f"night: {g['value']}", g) for g in others if g["by"] == "night"),
    ]
    rows = [_one(name, one) for name, one in named]
    head = ["Forecast", "Rows", "Mean forecast", "Came true", "Difference", "Calibration error"]
    n = len(head) if outcomes else len(head) - 1  # nothing but outcomes has the last
    head, rows = head[:n], [row[:n] for row in rows]
    rest = rows[_SHOWN:]
    more = details(f"{len(rest)} more", table(f"{title}: the others", head, rest)) if rest else ""
    return join([table(f"{title}: mean forecast and what came true", head, rows[:_SHOWN]), more, _bins(title, ranked)])


def _one(name: str, found: Mapping[str, Any]) -> tuple:
    error = with_luck(with_range(found["ece"], words.number), found["ece_noise"]) if "ece" in found else ""
    shares = (words.share(found[key]) for key in ("predicted", "observed"))
    return name, words.count(found["n"]), *shares, with_range(found["bias"], words.signed), error


def _bins(title: str, outcomes: Sequence[Mapping[str, Any]]) -> Markup | str:
    rows = [
        (words.outcome(o["outcome"]), words.share(b["predicted"]), words.share(b["observed"]), words.count(b["n"]))
        for o in outcomes
        for b in o["bins"]
    ]
    if not rows:
        return ""
    head = ["Outcome", "Mean forecast", "Came true", "Forecasts"]
    return details("Each outcome by size of its forecast", table(f"{title}: each outcome by size", head, rows))


def horizons(judged: Mapping[str, Any]) -> Markup:
    """Return the section that judges the champion's curve of silence at every horizon."""
    key, title = "horizons", "The curve of silence, judged at every horizon"
    churn = judged.get("targets", {}).get("churn", {})
    found = churn.get("horizons") or []
    if not found:
        why = churn.get("missing") or "it forecasts one horizon only"
        return section(key, title, note(by_whom("churn", churn), f" is not judged here: {why}."))
    head = ["Silent for", "Against the best baseline", "Rows", *map(words.metric, _MEASURES)]
    head += ["Mean forecast less outcome", "Returns in their range of days"]
    intro = note(
        "Of who forecasts tonight: "
        "one curve says how likely silence is to last so long. It is judged at each horizon on the test rows that were "
        "watched to its end, beside baselines fitted for that very horizon. Horizons beyond the judged one need tests "
        "that lie further back: no row is judged before its time. Of those who did return within the horizon, eight in "
        "ten should have within the range of days that their forecast gives."
    )
    return section(
        key, title, intro, table(f"{by_whom('churn', churn)}, at every horizon", head, [_at(h) for h in found], text=3)
    )


def _at(horizon: Mapping[str, Any]) -> list[Any]:
    models, best = horizon.get("models", {}), horizon.get("best_baseline")
    days, n = f"{horizon['days']} days", words.count(horizon["n"])
    if not models:
        why = "all came out the same" if horizon["n"] else "no test was watched so long"
        return [days, why, n, *[words.NONE] * 5]
    own = models[next(name for name in models if name != best)]
    shown = {metric: with_range(own[metric], words.number) for metric in _MEASURES}
    shown["ece"] = with_luck(shown["ece"], horizon.get("ece_noise"))
    ends = with_range(horizon["bias"], words.signed), _in_range(horizon.get("returns"))
    return [days, _against(models, best, horizon.get("difference")), n, *shown.values(), *ends]


def _against(models: Mapping[str, Any], best: str | None, difference: Any) -> Markup | str:
    if best is None:
        return UNPROVEN
    rival = f"{words.model(best)}, {words.number(words.bounds(models[best][FIRST])[0])}"
    return join([judgement(FIRST, difference), tag("span", rival, class_="range")])


def _in_range(returns: Mapping[str, Any] | None) -> Markup | str:
    if not returns:
        return words.NONE
    missed = f"{words.share(returns['sooner'])} sooner, {words.share(returns['later'])} later"
    return join([with_range(returns["inside"], words.share), tag("span", missed, class_="range")])
