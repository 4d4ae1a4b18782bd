"""The top of the page: what the night found, what ran, and where every delivered row went."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from waymark.report import words
from waymark.report.markup import Markup, box, note, paragraph, section, table, tag
from waymark.report.outlook import LIKELY, Outlook
from waymark.report.quality import standing
from waymark.report.succession import by_whom

# The settings that a reader needs to judge the numbers, in this order.
MATTERS = {
    "model.name": "Model",
    "model.churn.name": "Model of churn",
    "features.points": "Prediction points",
    "features.windows_days": "Feature windows, days",
    "features.population.active_within_days": "Scored if active within, days",
    "targets.horizon_days": "Horizon, days",
    "targets.horizons_days": "Silence forecast at, days",
    "targets.churn_event_types": "Silent without any of",
    "split.kind": "Train and test split by",
    "split.persons": "Persons of training and test",
    "seed": "Seed",
}
_VERSIONS = {
    "mlflow_run_id_next_stage": "MLflow run of next stage",
    "mlflow_run_id_churn": "MLflow run of churn",
    "git_revision": "Git revision",
}
# Every delivered row is one of these; rows that the mapping leaves out by choice are among the rejected.
_PARTS = ("accepted", "duplicates", "rejected")
_RULES = {"left_out": "left out by choice"}
_WORST_RULES = 10


def header(title: str, source: str, cutoff_time: datetime, *lede: str) -> Markup:
    """Return the title, the night and the summary."""
    eyebrow = paragraph(f"{words.plain(source)} · as of {words.moment(cutoff_time)}", class_="eyebrow")
    said = (paragraph(part, class_="lede") for part in lede if part)
    return tag("header", tag("div", eyebrow, tag("h1", title), *said, class_="wrap"), class_="top")


def summary(outlook: Outlook, cutoff_time: datetime) -> str:
    """Say in plain words what the night found."""
    night = words.moment(cutoff_time)
    if not outlook.n_people:
        return f"Nobody was scored as of {night}."
    people = "person was" if outlook.n_people == 1 else "people were"
    said = [f"{words.count(outlook.n_people)} {people} scored as of {night}."]
    if outlook.p_silent is not None:
        n, part = outlook.n_likely_silent, words.portion(outlook.n_likely_silent, outlook.n_people)
        said.append(
            f"{words.count(n)} of them ({part}) are more likely than not to go silent: no activity in the next "
            f"{outlook.horizon_days} days."
        )
    stages = (
        outlook.outcomes().drop([words.STAY, words.SILENT])["n_expected"].sort_values(ascending=False, kind="stable")
    )
    named = [f"{stage} (about {words.count(n)})" for stage, n in stages.head(3).items() if n >= 0.5]
    if named:
        said.append(f"Of those who move on, most are expected in {words.sentence_list(named)}.")
    return " ".join(said)


def verdicts(evaluation: Mapping[str, Any]) -> str:
    """Say whether the models beat the best baselines."""
    targets, missing = evaluation.get("targets", {}), evaluation.get("not_modelled", {})
    said = {name: t["verdict"].rstrip(".") for name, t in targets.items() if t.get("verdict")}
    said |= {name: f"not modelled: {why}" for name, why in missing.items()}
    return " ".join(f"{words.target(name)}: {text}." for name, text in said.items())


def champions(promotion: Mapping[str, Any]) -> str:
    """Say which models forecast."""
    said = [
        f"{words.target(name)} is forecast by {words.model(decided['reigns'][-1]['name'])}, trained until "
        f"{words.day(decided['reigns'][-1]['trained_until'])}."
        for name, decided in promotion.items()
    ]
    return " ".join(said)


def tiles(outlook: Outlook, judged: Mapping[str, Any], ingest: Mapping[str, Any]) -> Markup:
    """Return the few numbers that a hurried reader looks for."""
    shown = [("People scored", words.count(outlook.n_people), f"for the next {outlook.horizon_days} days")]
    if outlook.p_silent is not None and outlook.n_people:
        part = words.portion(outlook.n_likely_silent, outlook.n_people)
        more = f"{part} of them, each at {words.share(LIKELY, 0)} or more"
        shown.append(("Likely to go silent", words.count(outlook.n_likely_silent), more))
    for name, target in judged.get("targets", {}).items():
        shown.append((f"{by_whom(name, target)} is", *standing(target)))
    if ingest:
        whole = "every row accounted for" if is_whole(ingest) else "the rows do not add up"
        shown.append(("Rows delivered", words.count(ingest.get("delivered")), whole))
    return tag("ul", *(_tile(*tile) for tile in shown), class_="tiles", aria_label="Key figures")


def _tile(what: str, value: str, more: str) -> Markup:
    lines = {"what": what, "value": value, "more": more}
    return tag("li", *(tag("span", text, class_=kind) for kind, text in lines.items()))


def what_ran(
    source: str,
    cutoff_time: datetime,
    ingest: Mapping[str, Any],
    manifest: Mapping[str, Any],
    settings: Mapping[str, Any],
    stamps: Mapping[str, str],
) -> Markup:
    """Return the section that says which data, code, models and settings made this page."""
    trained = _trained_until(manifest)
    facts = [("Source", source), ("Scored as of", words.moment(cutoff_time))]
    first, last = words.day(ingest.get("first_event_time")), words.day(ingest.get("last_event_time"))
    facts += [("Events delivered", f"{words.count(ingest.get('events'))}, {first} to {last}")] if ingest else []
    facts += [(f"Trained until{name and f' ({name})'}", words.moment(time)) for name, time in trained.items()]
    facts += [
        (label, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for label, value in ((label, _dig(settings, path)) for path, label in MATTERS.items())
        if value is not None
    ]
    run = {"git_revision": manifest["git_revision"]} if manifest.get("git_revision") else {}
    versions = {**stamps, **run, **(manifest.get("versions") or {})}
    codes = [(_VERSIONS.get(k, words.plain(k).capitalize()), v) for k, v in sorted(versions.items()) if v]
    return section(
        "ran",
        "What ran",
        _warnings(trained, cutoff_time, manifest),
        tag("dl", *(_fact(*fact) for fact in facts), *(_fact(*code, "code") for code in codes), class_="facts"),
    )


def _fact(label: str, value: Any, kind: str | None = None) -> Markup:
    return tag("div", tag("dt", label), tag("dd", value, class_=kind))


def _trained_until(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return until when the models were trained, by target where the manifest tells them apart."""
    until = manifest.get("trained_until")
    until = until if isinstance(until, Mapping) else {"": until}
    return {words.plain(name): time for name, time in until.items() if time}


def _dig(settings: Mapping[str, Any], path: str) -> Any:
    value: Any = settings
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _warnings(trained: Mapping[str, Any], cutoff_time: datetime, manifest: Mapping[str, Any]) -> Markup | str:
    """Return a box with the run's warnings; training on later data is one, whether or not the run says so."""
    warnings = list(manifest.get("warnings") or [])
    later = [time for time in map(words.as_time, trained.values()) if time and time > cutoff_time]
    if later and not warnings:
        warnings = [
            f"the models learnt from data up to {words.moment(max(later))}, after the night scored here: good for "
            "looking back, not for judging the forecast"
        ]
    title = "Trained on data after this night" if later else "The run warns"
    return box("warning", title, tag("ul", *(tag("li", warning) for warning in warnings))) if warnings else ""


def is_whole(ingest: Mapping[str, Any]) -> bool:
    """Say whether every delivered row was accepted, a duplicate or rejected, over all and in each feed."""
    accounts = [ingest, *ingest.get("feeds", {}).values()]
    return all(a.get("delivered", 0) == sum(a.get(part, 0) for part in _PARTS) for a in accounts)


def reconciliation(ingest: Mapping[str, Any]) -> Markup:
    """Return the section that accounts for every delivered row."""
    key, title = "rows", "Row reconciliation"
    if not ingest:
        return section(key, title, note("No account of the delivered rows was given."))
    if is_whole(ingest):
        verdict = box("good", "Every delivered row is accounted for, in each feed.")
    else:
        said = "Some delivered rows are neither accepted nor refused: explain that before you trust this night."
        verdict = box("warning", "The rows do not add up", paragraph(said))
    more = (_rules(ingest), _never_filled(ingest), _no_second_clock(ingest))
    return section(key, title, _sum(ingest), verdict, _feeds(ingest), *more)


def _sum(ingest: Mapping[str, Any]) -> Markup:
    n_left_out = ingest.get("left_out", 0)
    more = {"rejected": f", {words.count(n_left_out)} of them left out by choice"} if n_left_out else {}
    terms = []
    for sign, name in zip(("", "=", "+", "+"), ("delivered", *_PARTS), strict=True):
        terms += [tag("span", sign)] if sign else []
        label = tag("small", name, more.get(name, ""))
        terms.append(tag("div", tag("b", words.count(ingest.get(name, 0))), label))
    return tag("div", *terms, class_="sum")


def _feeds(ingest: Mapping[str, Any]) -> Markup:
    feeds = ingest.get("feeds", {})
    counts = ("delivered", *_PARTS, "left_out", "events")
    rows = []
    for name, account in [*feeds.items(), *([("all feeds", ingest)] if len(feeds) != 1 else [])]:
        wanted, broken = (account.get(k, 0) - account.get("left_out", 0) for k in ("delivered", "rejected"))
        numbers = (words.count(account.get(k, 0)) for k in counts)
        rows.append((name, _known_from(account), *numbers, words.portion(broken, wanted, 2)))
    head = ["Feed", "Known from", "Delivered", "Accepted", "Duplicates", "Rejected", "of which by choice", "Events"]
    return table("Rows by feed, and the events they became", [*head, "Broke a rule"], rows, text=2)


def _known_from(account: Mapping[str, Any]) -> str:
    """Say what told when the rows of a feed were known."""
    delay = account.get("known_delay_minutes", 0)
    said = {
        "column": "a column",
        "delivered": "the file's date",
        "event_time": f"event time + {words.count(delay)} min" if delay else "event time",
    }
    return ", else ".join(said[clock] for clock in account.get("known_time_from", []))


def _rules(ingest: Mapping[str, Any]) -> Markup:
    rules = ingest.get("rejects_by_rule") or {}
    if not rules:
        return note("No row was rejected.")
    worst = sorted(rules.items(), key=lambda item: (-item[1], item[0]))[:_WORST_RULES]
    rows = [
        (_RULES.get(rule, words.plain(rule)), words.count(n), words.portion(n, sum(rules.values())))
        for rule, n in worst
    ]
    caption = "Why rows were rejected, the most frequent rules first"
    return table(caption, ["Rule", "Rows", "Of all rejected"], rows)


def _no_second_clock(ingest: Mapping[str, Any]) -> Markup | str:
    feeds = [name for name, feed in ingest.get("feeds", {}).items() if "event_time" in feed.get("known_time_from", [])]
    if not feeds:
        return ""
    said = (
        f"When their events were known is not told, only when they happened: {words.sentence_list(feeds)}. What came"
        " late, or from a clock that runs ahead, cannot be told there. Map a column to known_time, or set delivered."
    )
    return box("notice", "Feeds without a second clock", paragraph(said))


def _never_filled(ingest: Mapping[str, Any]) -> Markup | str:
    empty = [
        f"{c} (feed {name})" for name, feed in ingest.get("feeds", {}).items() for c in feed.get("empty_columns", [])
    ]
    if not empty:
        return ""
    return box("notice", "Mapped columns that no row fills", paragraph(words.sentence_list(empty)))
