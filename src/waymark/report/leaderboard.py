"""Every model at several moments back in time: what `make backtest` found last, and whether it still holds."""

from collections.abc import Mapping, Sequence
from typing import Any

from waymark.report import words
from waymark.report.markup import Markup, box, details, join, note, paragraph, section, table, tag
from waymark.report.quality import with_luck

_FIRST = "log_loss"
_MEASURES = ("log_loss", "brier", "auc", "accuracy", "ece")
UNPROVEN = "no proven difference"


def leaderboard(backtests: Mapping[str, Mapping[str, Any]], now: Mapping[str, Any]) -> Markup:
    """Return the section with the leaderboard of each target.

    Parameters
    ----------
    backtests
        Target -> what `make backtest` wrote, where it did.
    now
        The data and settings of tonight's training rows, as a backtest keeps them under `of`.
    """
    key, title = "leaderboard", "Every model, back in time"
    if not backtests:
        return section(key, title, note("No backtest was made; ", tag("code", "make backtest"), " makes one."))
    intro = note(
        "Each model was trained anew at each origin, from what was known then, and all were judged on the same rows "
        "from there on. A difference to the best counts as proven only where its range (bootstrap over people) leaves "
        "out nought. The best was picked by its log loss, which flatters it a little."
    )
    return section(key, title, intro, *(_board(name, found, now) for name, found in sorted(backtests.items())))


def _board(name: str, found: Mapping[str, Any], now: Mapping[str, Any]) -> Markup:
    title, pooled = words.target(name), found["pooled"]
    missing = box("notice", "Less than was asked for", paragraph(found["missing"])) if found["missing"] else ""
    parts: list[Any] = [tag("h3", title), _stale(found["of"], now), missing]
    if pooled is not None:
        origins = [o for o in found["origins"] if o["best"]]
        when = words.sentence_list(o["origin"] for o in origins)
        rows, people = words.count(pooled["n_test"]), words.count(pooled["n_test_persons"])
        parts += [
            paragraph(tag("strong", pooled["verdict"])),
            note(f"Judged on {rows} rows of {people} people, forecast from {when}."),
            _ranking(title, pooled),
            details("Origin by origin", _by_origin(title, origins, _order(pooled))),
            details("By stage, tenure, activities and channel", _slices(title, pooled)),
        ]
    return join([*parts, _left_out(found["left_out"])])


def _stale(of: Mapping[str, Any], now: Mapping[str, Any]) -> Markup | str:
    """Return a warning where the backtest is of other data or settings than tonight's models."""
    changed = [words.plain(key) for key in now if of.get(key) != now[key]]
    if not changed:
        return ""
    since = f"It is of another {words.sentence_list(changed)} than the models of tonight; "
    return box("warning", "This backtest is stale", paragraph(since, tag("code", "make backtest"), " makes a new one."))


def _order(pooled: Mapping[str, Any]) -> list[str]:
    found = pooled["models"]
    return sorted(found, key=lambda name: (found[name]["metrics"][_FIRST]["value"], name))


def _ranking(title: str, pooled: Mapping[str, Any]) -> Markup:
    order, found = _order(pooled), pooled["models"]
    measures = [m for m in _MEASURES if m in found[order[0]]["metrics"]]
    rows = [
        (
            _named(name, found[name]["role"]),
            _proof(found[name]["to_best"]),
            words.interval(found[name]["metrics"][_FIRST]),
            *(_cell(found[name], m) for m in measures[1:]),
        )
        for name in order
    ]
    head = ["Model", "Against the best", *(words.metric(m) for m in measures)]
    return table(f"{title}: all origins together, the best first", head, rows, text=2)


def _cell(found: Mapping[str, Any], metric: str) -> Any:
    shown = words.number(words.bounds(found["metrics"][metric])[0])
    return with_luck(shown, found.get("ece_noise")) if metric == "ece" else shown


def _named(name: str, role: str) -> Markup:
    badge = tag("span", "baseline", class_="badge") if role == "baseline" else ""
    return join([words.model(name), badge], " ")


def _proof(to_best: Mapping[str, Any] | None) -> Markup:
    if to_best is None:
        return tag("span", "the best", class_="badge better")
    difference = to_best[_FIRST]
    is_worse = not words.is_missing(difference["low"]) and difference["low"] > 0
    badge = tag("span", "worse", class_="badge worse") if is_worse else tag("span", UNPROVEN, class_="badge")
    value, low, high = (words.signed(v) for v in words.bounds(difference))
    return join([badge, tag("span", f"{value} ({low} to {high}) log loss", class_="range")], " ")


def _by_origin(title: str, origins: Sequence[Mapping[str, Any]], order: Sequence[str]) -> Markup:
    def loss(origin: Mapping[str, Any], name: str) -> Any:
        found = origin["models"].get(name)
        if found is None:
            return words.NONE
        value = words.number(found["metrics"][_FIRST]["value"])
        return tag("strong", value) if name == origin["best"] else value

    head = ["From", "Learnt from", "Rows", *map(words.model, order)]
    rows = [
        (o["origin"], words.count(o["n_train"]), words.count(o["n_test"]), *(loss(o, name) for name in order))
        for o in origins
    ]
    return table(f"{title}: log loss at each origin, the least in bold", head, rows)


def _slices(title: str, pooled: Mapping[str, Any]) -> Markup:
    order, first = _order(pooled), pooled["best"]
    head = ["Group", "Rows", "People", *map(words.model, order)]
    rows = [
        (
            f"{words.plain(s['by'])}: {s['value']}",
            *(words.count(s.get(k)) for k in ("n", "n_persons")),
            *(_loss_of_group(s, name) for name in order),
        )
        for s in pooled["slices"]
    ]
    title = f"{title}: log loss by group, the least in bold, and the range of its distance from {words.model(first)}"
    return table(title, head, rows)


def _loss_of_group(of: Mapping[str, Any], name: str) -> Markup:
    """Return the log loss of a model in a group, and the interval of its difference to the best model of all groups."""
    losses, difference = of["log_loss"], (of.get("to_best") or {}).get(name)
    shown = tag("strong" if losses[name] == min(losses.values()) else "span", words.number(losses[name]))
    if difference is None:
        return shown
    _, low, high = (words.signed(v) for v in words.bounds(difference))
    is_proven = difference["low"] > 0 or difference["high"] < 0
    badge = tag("span", "worse" if difference["low"] > 0 else "better", class_="badge") if is_proven else ""
    return join([shown, badge, tag("span", f"{low} to {high}", class_="range")], " ")


def _left_out(left_out: Sequence[Mapping[str, Any]]) -> Markup | str:
    if not left_out:
        return ""
    items = (
        tag("li", f"{words.model(one['model'])}{', at ' + one['origin'] if one['origin'] else ''}: {one['reason']}")
        for one in left_out
    )
    return details("What could not be modelled", tag("ul", *items))
