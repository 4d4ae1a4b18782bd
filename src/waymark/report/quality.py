"""How good the forecasts are: against the baselines, as probabilities, and for whom."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from waymark.report import words
from waymark.report.figures import calibration_figure, interval_figure
from waymark.report.markup import Markup, details, figure, join, note, paragraph, section, table, tag
from waymark.report.succession import by_whom, not_judged

FIRST = "log_loss"  # what models are chosen by
BETTER, WORSE, UNPROVEN = "better", "worse", "no proven difference"
_SHOWN_SLICES = 8  # of a kind; the smaller ones are folded away
_EXPLAINED = {
    "next_stage": "Which stage a person reaches next within the horizon, or that they stay.",
    "churn": "Whether a person shows no activity within the horizon.",
}


def judge(metric: str, difference: Any) -> str:
    """Say what a difference, model minus baseline, proves: only an interval without nought in it proves one.

    Examples
    --------
    >>> judge("log_loss", {"value": -0.02, "low": -0.03, "high": -0.01})
    'better'
    >>> judge("auc", {"value": -0.02, "low": -0.05, "high": 0.01})
    'no proven difference'
    """
    _, low, high = words.bounds(difference)
    if words.is_missing(low) or words.is_missing(high) or low <= 0 <= high:
        return UNPROVEN
    return BETTER if (high < 0) == (metric in words.LOWER_IS_BETTER) else WORSE


def judgement(metric: str, difference: Any) -> Markup:
    """Return what `judge` says as a badge."""
    judged = judge(metric, difference)
    return tag("span", judged, class_="badge" if judged == UNPROVEN else f"badge {judged}")


def standing(target: Mapping[str, Any]) -> tuple[str, str]:
    """Return how a model stands against its best baseline: in a word, and in a few more."""
    if target.get("missing"):
        return "Not judged", "too few test rows to judge it by"
    best = target.get("best_baseline")
    difference = target.get("differences", {}).get(best, {}).get(FIRST)
    if difference is None:
        return "Unproven", "not compared with a baseline"
    judged = judge(FIRST, difference)
    measured = f"log loss {words.signed(words.bounds(difference)[0])}"
    if judged == UNPROVEN:
        return "Unproven", f"{UNPROVEN} to {words.model(best)}, {measured}"
    return judged.capitalize(), f"than {words.model(best)}, the best baseline: {measured}"


def against_baselines(evaluation: Mapping[str, Any]) -> Markup:
    """Return the section that sets the model beside the baselines, on the same rows."""
    key, title = "models", "Model against baselines"
    targets = evaluation.get("targets", {})
    if not targets:
        return section(key, title, note("No evaluation was given."))
    intro = note(
        "The models that were trained last; whether they forecast is said under Who forecasts. All are judged on the "
        "same rows, which lie after everything they were trained on. The range below a value "
        "holds what it could also have been by the luck of who is in the test (bootstrap over people). A difference "
        "counts as proven only where its range leaves out nought. Of few rows even forecasts that are right have a "
        "calibration error: what luck alone makes of it (labels drawn from the forecasts) stands below it."
    )
    return section(key, title, intro, *(_comparison(name, target) for name, target in targets.items()))


def _kind(name: str, target: Mapping[str, Any]) -> str:
    if target["models"].get(name, {}).get("role") == "model":
        return "model"
    return "best" if name == target.get("best_baseline") else "other"


def _score(name: str, target: Mapping[str, Any]) -> Any:
    return target["models"][name].get("metrics", {}).get(FIRST)


def _order(target: Mapping[str, Any]) -> list[str]:
    """Return the models, ours first, then the baselines from the best on."""

    def rank(name: str) -> tuple[bool, float, str]:
        value = words.bounds(_score(name, target))[0]
        return _kind(name, target) != "model", math.inf if words.is_missing(value) else value, name

    return sorted(target.get("models", {}), key=rank)


def _metrics(target: Mapping[str, Any]) -> list[str]:
    """Return the measures that any model of the target has, in our order."""
    known = {metric: i for i, metric in enumerate(words.METRICS)}
    found = {metric for model in target.get("models", {}).values() for metric in model.get("metrics", {})}
    return sorted(found, key=lambda metric: (known.get(metric, len(known)), metric))


def _comparison(name: str, target: Mapping[str, Any]) -> Markup:
    title, order = words.target(name), _order(target)
    verdict = target.get("verdict")
    return join(
        [
            tag("h3", title),
            note(_EXPLAINED.get(name, ""), " ", _size(target)),
            paragraph(tag("strong", verdict)) if verdict else "",
            tag("div", _losses(title, target, order), _distances(title, target, order), class_="columns"),
            _measures(title, target, order),
            _differences(title, target),
        ]
    )


def _size(target: Mapping[str, Any]) -> str:
    cutoffs = [words.day(time) for time in target.get("test_cutoffs") or []]
    when = f", as of {cutoffs[0]}" + (f" to {cutoffs[-1]}" if len(cutoffs) > 1 else "") if cutoffs else ""
    return (
        f"Trained on {words.count(target.get('n_train'))} rows; tested on {words.count(target.get('n_test'))} rows of "
        f"{words.count(target.get('n_test_persons'))} people{when}."
    )


def _losses(title: str, target: Mapping[str, Any], order: Sequence[str]) -> Markup:
    rows = [(words.model(model), _kind(model, target), _score(model, target)) for model in order]
    drawing = interval_figure(f"{title}: log loss of each model, with its range", rows, "log loss (lower is better)")
    return figure(drawing, "Full circle: the model. Open square: a baseline. Line: its range.")


def _distances(title: str, target: Mapping[str, Any], order: Sequence[str]) -> Markup | str:
    differences = target.get("differences", {})
    rows = [(words.model(b), _kind(b, target), differences[b][FIRST]) for b in order if FIRST in differences.get(b, {})]
    if not rows:
        return ""
    label = f"{title}: log loss of the model minus that of each baseline, with its range"
    drawing = interval_figure(label, rows, "log loss, model minus baseline (left: model better)", has_zero=True)
    return figure(drawing, "A range that touches the line at 0 proves no difference.")


def _measures(title: str, target: Mapping[str, Any], order: Sequence[str]) -> Markup:
    def named(model: str) -> Markup:
        role = {"model": "model", "best": "best baseline"}.get(_kind(model, target))
        name = tag("strong", words.model(model)) if role == "model" else words.model(model)
        return join([name, tag("span", role, class_="badge") if role else ""], " ")

    def head(metric: str) -> Markup:
        sense = "lower is better" if metric in words.LOWER_IS_BETTER else "higher is better"
        return join([words.metric(metric), tag("span", sense, class_="range")])

    metrics = _metrics(target)

    def cell(model: str, metric: str) -> Markup:
        found = target["models"][model]
        shown = with_range(found.get("metrics", {}).get(metric), words.number)
        return with_luck(shown, found.get("ece_noise")) if metric == "ece" else shown

    rows = [(named(m), *(cell(m, metric) for metric in metrics)) for m in order]
    return table(f"{title}: every measure, with its range", ["Model", *map(head, metrics)], rows)


def with_range(estimate: Any, written: Callable[[Any], str]) -> Markup:
    """Return an estimate, with its range in small below it."""
    value, low, high = words.bounds(estimate)
    spread = "" if words.is_missing(low) else tag("span", f"{written(low)} to {written(high)}", class_="range")
    return join([written(value), spread])


def with_luck(shown: Any, noise: Any) -> Markup:
    """Return a calibration error, with what luck alone makes of one in small below it."""
    said = words.luck(noise)
    return join([shown, tag("span", said, class_="range") if said else ""])


def _differences(title: str, target: Mapping[str, Any]) -> Markup:
    best = target.get("best_baseline")
    found = target.get("differences", {}).get(best) or {}
    if not found:
        return note("There is no baseline to compare the model with.")
    rows = []
    for metric in (m for m in _metrics(target) if m in found):
        rows.append((words.metric(metric), judgement(metric, found[metric]), with_range(found[metric], words.signed)))
    caption = f"{title}: model minus {words.model(best)}, the best baseline"
    return table(caption, ["Measure", "The model is", "Difference"], rows, text=2)


def calibration(judged: Mapping[str, Any]) -> Markup:
    """Return the section that sets what the champions forecast beside what came true."""
    intro = note(
        "Of those who forecast tonight. "
        "Of all forecasts of 30%, three in ten should come true. Marks on the dotted line are honest; above it the "
        "forecasts were too low, below it too high. A larger mark holds more forecasts."
    )
    shown = [_reliability(name, t) for name, t in judged.get("targets", {}).items() if t.get("calibration")]
    body = tag("div", *shown, class_="columns") if shown else note("No calibration was measured.")
    return section("calibration", "Calibration: can the percentages be believed?", intro, not_judged(judged), body)


def _reliability(name: str, target: Mapping[str, Any]) -> Markup:
    title, curves = by_whom(name, target), target["calibration"]
    model = next((m for m in _order(target) if _kind(m, target) == "model" and m in curves), next(iter(curves)))
    chosen = [m for m in dict.fromkeys([model, target.get("best_baseline")]) if m in curves]
    named = {m: words.model(m) for m in chosen}
    label = f"{title}: share that came true by forecast, for {words.sentence_list(named.values())}"
    drawing = calibration_figure(label, {named[m]: curves[m] for m in chosen}, named[model])
    keys = (
        tag("li", tag("span", class_="key" if m == model else "key best", aria_hidden="true"), " ", named[m])
        for m in chosen
    )
    rows = [
        (named[m], words.share(b["predicted"]), words.share(b["observed"]), words.count(b["n"]))
        for m in chosen
        for b in curves[m]
    ]
    numbers = table(f"{title}: forecasts by size", ["Model", "Mean forecast", "Came true", "Forecasts"], rows)
    return tag(
        "div",
        tag("h3", title),
        figure(drawing, tag("ul", *keys, class_="legend")),
        details("The numbers behind it", numbers),
    )


def slices(judged: Mapping[str, Any]) -> Markup:
    """Return the section on the groups of people for whom the champions do well, and for whom they do not."""
    parts = [
        _slices(by_whom(name, target), target)
        for name, target in judged.get("targets", {}).items()
        if target.get("slices")
    ]
    intro = note(
        "Who forecasts tonight, on the test rows of each group: against the baseline that is best over all rows, and "
        "the mean forecast against what came true. A difference whose range (bootstrap over people) leaves out nought "
        "is more than luck; of so many groups, one in twenty is not."
    )
    shown = parts or [note("No groups were judged.")]
    return section("slices", "For whom the forecasts are good", intro, not_judged(judged), *shown)


def _slices(title: str, target: Mapping[str, Any]) -> Markup:
    best = target.get("best_baseline")
    bias = {(g["by"], g["value"]): g["bias"] for g in target.get("reliability") or ()}
    shown, rest = [], []
    for by in dict.fromkeys(s["by"] for s in target["slices"]):
        found = sorted((s for s in target["slices"] if s["by"] == by), key=lambda s: (-s["n"], str(s["value"])))
        rows = [_slice(s, bias.get((by, s["value"]))) for s in found]
        shown += rows[:_SHOWN_SLICES]
        rest += rows[_SHOWN_SLICES:]
    against = f"Against {words.model(best)}" if best else ""
    head = ["Group", against, "Rows", "People", "Log loss", "Less that of the baseline", "Mean forecast less outcome"]
    more = details(f"{len(rest)} smaller ones", table(f"{title}: smaller groups", head, rest, text=2)) if rest else ""
    return join([table(f"{title}: by group of people", head, shown, text=2), more])


def _slice(found: Mapping[str, Any], bias: Any) -> tuple:
    difference = found.get("difference")
    return (
        f"{words.plain(found['by'])}: {found['value']}",
        judgement(FIRST, difference) if difference else "",
        words.count(found["n"]),
        words.count(found.get("n_persons")),
        words.number(found["metrics"].get(FIRST)),
        with_range(difference, words.signed),
        with_range(bias, words.signed),
    )
