"""Who forecasts: the champions, and what spoke for and against their rivals."""

from collections.abc import Mapping, Sequence
from typing import Any

from waymark.report import words
from waymark.report.markup import Markup, details, join, note, paragraph, section, table, tag

_ROLES = {"champion": "champion so far", "candidate": "candidate", "baseline": "best baseline"}
_MEASURES = ("log_loss", "ece", "bias")


def who_forecasts(promotion: Mapping[str, Any]) -> Markup:
    """Return the section on the decisions about the champions, as the step promote wrote them."""
    key, title = "champions", "Who forecasts"
    if not promotion:
        return section(key, title, note("No champion has been chosen."))
    intro = note(
        "The newly trained candidate, the champion so far and the best baseline forecast the same test rows. A "
        "challenger becomes champion where it is proven better, or equal and simpler, and in no group of rows clearly "
        "worse."
    )
    return section(key, title, intro, *(_target(words.target(name), d) for name, d in promotion.items()))


def by_whom(name: str, target: Mapping[str, Any]) -> str:
    """Return what is forecast and who does, as one of the targets of reports/champions.json says.

    Examples
    --------
    >>> by_whom("churn", {"champion": {"name": "bg_nbd"}})
    'Going silent by BG/NBD'
    """
    return words.target(name) + (f" by {words.model(target['champion']['name'])}" if "champion" in target else "")


def not_judged(judged: Mapping[str, Any]) -> Markup:
    """Say which champions are not judged, and why."""
    return join(
        note(by_whom(name, target), f" is not judged here: {target['missing']}.")
        for name, target in judged.get("targets", {}).items()
        if target.get("missing")
    )


def _target(title: str, decided: Mapping[str, Any]) -> Markup:
    first, last = words.day(decided["first_cutoff"]), words.day(decided["last_cutoff"])
    on = f"{words.count(decided['n_rows'])} rows of {words.count(decided['n_persons'])} people, {first} to {last}"
    rows = [
        (
            _ROLES[role],
            words.model(found["name"]),
            tag("span", "champion", class_="badge better") if role == decided["champion"] else found["refused"] or "",
            words.day(found["trained_until"]),
            *(words.interval(found["metrics"][measure]) for measure in _MEASURES),
        )
        for role in _ROLES
        if (found := decided["contenders"].get(role)) is not None
    ]
    head = ["Role", "Model", "", "Trained until", *map(words.metric, _MEASURES)]
    return join(
        [
            tag("h3", title),
            paragraph(decided["verdict"][0].upper(), decided["verdict"][1:], "."),
            table(f"{title}: who was compared, on {on}", head, rows, text=4) if rows else "",
            _groups(title, decided["comparisons"]),
            _reigns(title, decided["reigns"]),
        ]
    )


def _groups(title: str, comparisons: Sequence[Mapping[str, Any]]) -> Markup | str:
    """Return the differences by group of rows, of all pairs."""
    rows = [
        (
            f"{_ROLES[pair['challenger']]} less {_ROLES[pair['rival']]}",
            words.plain(group["by"]),
            group["group"],
            tag("span", "clearly worse", class_="badge worse") if group["is_worse"] else "",
            words.count(group["n_persons"]),
            words.interval(group),
        )
        for pair in comparisons
        for group in pair["groups"]
    ]
    if not rows:
        return ""
    head = ["Pair", "By", "Group", "", "People", "Difference in log loss"]
    return details("Group by group", table(f"{title}: differences by group of rows", head, rows, text=4))


def _reigns(title: str, reigns: Sequence[Mapping[str, Any]]) -> Markup:
    rows = [
        (words.day(r["known_until"]), words.model(r["name"]), _ROLES[r["role"]], r["version"]) for r in reversed(reigns)
    ]
    caption = f"{title}: the champions that are kept, the latest first"
    return details(
        "Champions before", table(caption, ["Learnt from what was known by", "Model", "Was", "Version"], rows, text=4)
    )
