"""What leakcheck found: whether any feature or label knew what it could not know."""

from collections.abc import Mapping, Sequence
from typing import Any

from waymark.report import words
from waymark.report.markup import Markup, box, details, note, paragraph, section, table, tag

_ALARM = "ALARM"
_VERDICTS = {"ok": ("ok", "badge better"), _ALARM: ("alarm", "badge worse"), "not judged": ("not judged", "badge")}
_SHOWN_IN_BOX, _SHOWN = 5, 20


def leak_warning(leakcheck: Mapping[str, Any]) -> Markup | str:
    """Return the warning that heads the page where there is an alarm, else nothing."""
    alarms = [f for f in leakcheck.get("findings", []) if f["verdict"] == _ALARM]
    if not alarms:
        return ""
    shown = alarms[:_SHOWN_IN_BOX]
    items = [tag("li", tag("code", f["name"]), f" ({words.plain(f['check'])}): {f['detail']}") for f in shown]
    more = len(alarms) - len(items)
    rest = [tag("li", tag("a", f"and {words.count(more)} more", href="#leaks"))] if more else []
    return box(
        "warning",
        "Something knew what it could not know",
        paragraph("How good the forecasts look on past nights cannot be believed until this is mended."),
        tag("ul", *items, *rest),
    )


def leaks(leakcheck: Mapping[str, Any]) -> Markup:
    """Return the section with the verdict of each check."""
    key, title = "leaks", "Does anything know the future?"
    found = leakcheck.get("findings", [])
    if not found:
        return section(key, title, note("Leakcheck has not looked."))
    intro = note(
        "The features and labels of some persons, built anew where only that differs which nobody could know yet. "
        "One line a check, or one for each alarm."
    )
    caption = "What each check found"
    rest = found[_SHOWN:]
    more = details(f"{words.count(len(rest))} more", _lines(f"{caption}: the rest", rest)) if rest else ""
    return section(key, title, intro, _lines(caption, found[:_SHOWN]), more)


def _lines(caption: str, found: Sequence[Mapping[str, Any]]) -> Markup:
    rows = []
    for f in found:
        said, kind = _VERDICTS[f["verdict"]]
        rows.append((words.plain(f["check"]), f["name"], tag("span", said, class_=kind), f["detail"]))
    return table(caption, ["Check", "Of what", "Verdict", ""], rows, text=4)
