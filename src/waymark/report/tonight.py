"""Who is where tonight, and how tonight's forecasts differ from those of the night before."""

from collections.abc import Sequence

from waymark.report import words
from waymark.report.figures import histogram_figure
from waymark.report.markup import Markup, bar, figure, join, note, paragraph, section, table, tag
from waymark.report.outlook import LIKELY, Outlook


def against_last_night(outlook: Outlook, before: Outlook | None) -> Markup:
    """Return the section that compares two nights' forecasts."""
    key, title = "nights", "Tonight against last night"
    if not outlook.n_people:
        return section(key, title, note("Nobody was scored tonight, so there is nothing to compare."))
    if before is None or not before.n_people:
        before, intro = None, paragraph("There is no earlier night to compare with: this is the first one kept.")
    else:
        intro = _turnover(outlook, before)
    return section(key, title, intro, _outcomes(outlook, before), _silence(outlook, before))


def _turnover(outlook: Outlook, before: Outlook) -> Markup:
    now, then = (o.predictions.set_index("person_id")[["stage", "next_stage"]] for o in (outlook, before))
    both = now.index.intersection(then.index)
    n_moved, n_changed = (int(n) for n in (now.loc[both] != then.loc[both]).sum())
    n = len(both)
    earlier = words.moment(before.predictions["cutoff_time"].iloc[0])
    return paragraph(
        f"The night before is {earlier}. {words.count(n)} people were scored on both nights, "
        f"{words.count(len(now) - n)} are new and {words.count(len(then) - n)} are no longer scored. Of those scored "
        f"twice, {words.count(n_moved)} ({words.portion(n_moved, n)}) changed stage and {words.count(n_changed)} "
        f"({words.portion(n_changed, n)}) have another likeliest outcome."
    )


def _outcomes(outlook: Outlook, before: Outlook | None) -> Markup:
    now = outlook.outcomes()
    now = now[(now["n_likeliest"] > 0) | (now["n_expected"] > 0)]
    then = None if before is None else before.outcomes()["n_expected"].reindex(now.index) / before.n_people
    rows = []
    for outcome in now.itertuples():
        share = outcome.n_expected / outlook.n_people
        row = [words.outcome(outcome.Index), bar(share), words.share(share)]
        if then is not None:
            earlier = then.loc[outcome.Index]
            row += [words.share(earlier), words.signed(100 * (share - earlier), 1)]
        rows.append([*row, words.count(outcome.n_expected), words.count(outcome.n_likeliest)])
    head = ["Outcome", "", "Tonight", *(["Night before", "Change, points"] if then is not None else [])]
    caption = (
        f"What is expected within {outlook.horizon_days} days: shares and people from everybody's probabilities, "
        "added up; in the last column those for whom no other outcome is likelier"
    )
    return table(caption, [*head, "People", "Likeliest for"], rows, text=2)


def _silence(outlook: Outlook, before: Outlook | None) -> Markup | str:
    if outlook.p_silent is None:
        return ""
    is_compared = before is not None and before.p_silent is not None
    axis = f"chance of silence within {outlook.horizon_days} days"
    label = f"People by {axis}, {'tonight and the night before' if is_compared else 'tonight'}"
    bins = before.silence_bins() if is_compared else None
    said = [f"{words.count(outlook.n_likely_silent)} people are at {words.share(LIKELY, 0)} or more."]
    said.append(f"The mean chance is {words.share(outlook.p_silent.mean())} tonight")
    said.append(f"and was {words.share(before.p_silent.mean())} the night before." if is_compared else "")
    steps = "; dashed steps: the night before" if is_compared else ""
    drawing = histogram_figure(label, outlook.silence_bins(), bins, axis)
    caption = tag("div", paragraph(" ".join(said).rstrip() + ("" if is_compared else ".")))
    shown = figure(drawing, f"Share of people. Columns: tonight{steps}.")
    beside = tag("div", tag("h3", "Chance of silence"), caption, _horizons(outlook, before if is_compared else None))
    return tag("div", shown, beside, class_="columns")


def _horizons(outlook: Outlook, before: Outlook | None) -> Markup | str:
    """Return how many are expected to be silent at each horizon, where there are several, and who comes back when."""
    if len(outlook.silence) < 2:
        return ""
    rows = []
    for days, p in outlook.silence.items():
        row = [f"{days} days", bar(float(p.mean())), words.share(p.mean())]
        if before is not None:
            earlier = before.silence.get(days)
            row.append(words.NONE if earlier is None else words.share(earlier.mean()))
        rows.append([*row, words.count(p.sum())])
    head = ["Silent for", "", "Mean chance", *(["Night before"] if before is not None else []), "People expected"]
    caption = "Silence at every horizon, from one curve for each person"
    longest = max(outlook.silence)
    said = (
        f"Of those who come back within {longest} days, the median person is expected on day "
        f"{words.number(outlook.return_days.median(), 1)}; each person's own day and interval are in the predictions."
    )
    return join([table(caption, head, rows, text=2), note(said) if outlook.return_days is not None else ""])


def counts_by_stage(outlook: Outlook, path: Sequence[str]) -> Markup:
    """Return the section on the stages of the people scored."""
    key, title = "stages", "Who is where tonight"
    if not outlook.n_people:
        return section(key, title, note("Nobody was scored."))
    stages = outlook.stages(path)
    has_silence = outlook.p_silent is not None
    rows = [
        [
            s.stage,
            bar(s.n / stages["n"].max()),
            words.outcome(s.next_stage),
            words.count(s.n),
            words.portion(s.n, outlook.n_people),
            words.duration(s.days),
            *([words.count(s.n_silent), words.share(s.p_silent)] if has_silence else []),
        ]
        for s in stages.itertuples(index=False)
    ]
    head = ["Stage", "", "Likeliest for most", "People", "Share", "Median time there"]
    head += ["Likely silent", "Mean chance of silence"] if has_silence else []
    return section(key, title, table(f"{words.count(outlook.n_people)} people scored, by stage", head, rows, text=3))
