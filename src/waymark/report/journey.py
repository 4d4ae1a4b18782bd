"""The section on the journey: the map, its legend and its most frequent moves."""

from waymark.report import words
from waymark.report.flows import Flows
from waymark.report.journey_map import draw_map, kind_words, legend
from waymark.report.layout import choose
from waymark.report.markup import Markup, details, figure, join, note, paragraph, section, table, tag

_SHOWN_PAIRS, _LISTED_PAIRS = 12, 60


def journey(flows: Flows, max_flows: int) -> Markup:
    """Return the section on the stages people went through."""
    key, title = "journey", "The journey"
    if not flows.n_people:
        return section(key, title, note("No journey had begun before this night."))
    if not flows.n_moves:
        said = f"{words.count(flows.n_people)} journeys have begun, and nobody has changed stage yet."
        return section(key, title, paragraph(said))
    drawing = figure(
        draw_map(flows, max_flows),
        "Down the right side: onward in the order drawn. Up the left side: back. Width and number: how often; a number "
        "is missing where there is no room for it. The strip in a card: the people who are there now. ",
        "A dashed card is a stage outside the designed path. " if flows.is_designed else "",
        _left_out(flows, max_flows),
    )
    columns = tag("div", drawing, tag("div", *_moves(flows)), class_="columns")
    return section(key, title, _said(flows), legend(flows), columns)


def _said(flows: Flows) -> Markup:
    deviations = (
        (flows.n_regressions, "went a step back along the designed path"),
        (flows.n_detours, "were detours, which the design does not allow"),
        (flows.n_reentries, "led back to a stage left before"),
    )
    said = [f"{words.count(n)} ({words.portion(n, flows.n_moves)}) {what}" for n, what in deviations if n]
    several = " A move can be several of these; it is drawn as the first of them that holds." if len(said) > 1 else ""
    undesigned = "" if flows.is_designed else " No path is designed for them; stages are drawn in the order met."
    return paragraph(
        f"{words.count(flows.n_people)} people made {words.count(flows.n_moves)} moves between stages.{undesigned} "
        f"{words.sentence_list(said)}{'.' if said else ''}{several}"
    )


def _left_out(flows: Flows, max_flows: int) -> str:
    stages, moves = choose(flows, max_flows)
    n_flows, n_stages = len(flows.moves) - len(moves), len(flows.stages) - len(stages)
    if not n_flows:
        return "All moves are drawn."
    part = words.portion(moves["n"].sum(), flows.n_moves)
    also = f", and {words.count(n_stages)} stages that nothing drawn touches" if n_stages else ""
    return f"The {len(moves)} largest flows are drawn, {part} of all moves; {words.count(n_flows)} are left out{also}."


def _moves(flows: Flows) -> list[Markup]:
    short = {kind: said for kind, (said, _) in kind_words(flows).items()}
    rows = [
        (
            join(
                [
                    f"{p.from_stage} → {p.to_stage}",
                    tag("span", ", ".join(short[k] for k in p.kinds), class_="range"),
                ]
            ),
            words.count(p.n),
            words.share(p.share),
            words.share(p.share_from),
            words.duration(p.median_days),
        )
        for p in flows.pairs.head(_LISTED_PAIRS).itertuples(index=False)
    ]
    head = ["Move", "Count", "Of all", "Of those leaving", "Median time in the stage before"]
    shown = [table("The most frequent moves", head, rows[:_SHOWN_PAIRS])]
    rest = rows[_SHOWN_PAIRS:]
    if rest:
        beyond = len(flows.pairs) - len(rows)
        caption = "Less frequent moves" + (f"; {words.count(beyond)} rarer ones are not listed" if beyond else "")
        shown.append(details(f"{len(rest)} more moves", table(caption, head, rest)))
    return shown
