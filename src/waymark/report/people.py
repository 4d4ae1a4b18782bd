"""How much of tonight hangs on the rules that make identifiers persons."""

from collections.abc import Mapping
from typing import Any

from waymark.report import words
from waymark.report.markup import Markup, note, paragraph, section, table, tag

_DONE_THERE = {
    "device_split": "is the device's own, a person beside them",
    "last_auth": "is the last customer's to sign in before",
    "none": "makes them and the device one person",
}


def who_is_who(exposure: Mapping[str, Any]) -> Markup:
    """Return the section on shared devices, and on what would be otherwise under each other rule."""
    key, title = "people", "Who is who"
    n_shared, n_crowded = exposure["n_shared_devices"], exposure["n_crowded_ids"]
    if not n_shared and not n_crowded:
        return section(key, title, note("No device serves several customers, so no rule decides whose its events are."))
    rule, limit = (exposure["in_force"][name] for name in ("shared_devices", "max_persons_per_id"))
    crowded = (
        f"{words.count(n_crowded)} more, linked to over {limit} others, link{'s' if n_crowded == 1 else ''} nobody. "
    )
    intro = paragraph(
        "1 device serves" if n_shared == 1 else f"{words.count(n_shared)} devices serve",
        " several customers. What is done there without signing in ",
        f"{_DONE_THERE[rule]} (",
        tag("code", f"shared_devices: {rule}"),
        "). ",
        crowded if n_crowded else "",
        "How tonight would differ under another rule:",
    )
    head = [
        "Rule",
        "",
        "Persons",
        "Events of another person",
        "Share of events",
        "Persons concerned",
        "At another stage",
    ]
    rows = [_row(entry, exposure) for entry in exposure["rules"]]
    caption = "Persons with events under each rule, and what differs from the rule in force"
    return section(key, title, intro, table(caption, head, rows, text=2))


def _row(entry: Mapping[str, Any], exposure: Mapping[str, Any]) -> list[Any]:
    rule, limit = entry["shared_devices"], entry["max_persons_per_id"]
    is_in_force = exposure["in_force"] == {"shared_devices": rule, "max_persons_per_id": limit}
    said = "in force" if is_in_force else "" if limit else "without max_persons_per_id"
    n_events = exposure["n_events"]
    moved = [words.count(entry["n_events_moved"]), words.portion(entry["n_events_moved"], n_events)]
    changed = [words.count(entry[name]) for name in ("n_persons_concerned", "n_stages_changed")]
    return [
        tag("code", rule),
        said,
        words.count(entry["n_persons"]),
        *(["", "", "", ""] if is_in_force else moved + changed),
    ]
