"""The journey as a map: stages from the top down, moves onward on the right, moves back on the left."""

from collections.abc import Iterator
from typing import Any

from waymark.report import words
from waymark.report.flows import Flows
from waymark.report.layout import CARD_WIDTH, LETTER, Layout, Ribbon, lay_out
from waymark.report.markup import Markup, place, svg, tag

# Each kind of move in a word and in a few, in the order of the legend.
_KIND_WORDS = {
    "forward": ("designed", "as designed"),
    "reentry": ("re-entry", "as designed, back to a stage left before"),
    "detour": ("detour", "detour: the design does not allow it"),
    "regression": ("step back", "step back along the designed path"),
}
_UNDESIGNED = {
    "forward": ("first time", "to a stage not met before"),
    "reentry": ("re-entry", "back to a stage left before"),
}
_STANDING = {"active": "likely active", "silent": "likely silent", "unscored": "not scored"}
_TIP = 7.0  # length of an arrow's head
_NAME_LENGTH = 19  # letters that fit on a card


def kind_words(flows: Flows) -> dict[str, tuple[str, str]]:
    """Return the words for the kinds of moves, in the order of the legend."""
    return _KIND_WORDS if flows.is_designed else {**_KIND_WORDS, **_UNDESIGNED}


def draw_map(flows: Flows, max_flows: int) -> Markup:
    """Return the map of the `max_flows` largest flows; the words around it say what it left out."""
    layout, said = lay_out(flows, max_flows), kind_words(flows)
    spoken = [_say(ribbon, layout, said) for ribbon in layout.ribbons]
    outer_first = sorted(
        zip(layout.ribbons, spoken, strict=True), key=lambda drawn: -abs(drawn[0].end - drawn[0].start)
    )
    label = (
        f"Map of {len(layout.ribbons)} flows between {len(layout.stages)} stages; the largest: {'; '.join(spoken[:5])}"
    )
    return svg(
        layout.width,
        layout.height,
        label,
        _patterns(),
        tag("g", *(_ribbon(ribbon, layout, text) for ribbon, text in outer_first), class_="ribbons"),
        *(
            _card(stage, i, layout, is_off_path=flows.is_designed and not stage.position)
            for i, stage in enumerate(layout.stages.itertuples(index=False))
        ),
        tag("g", *_counts(layout), class_="counts"),
        class_="map",
    )


def legend(flows: Flows) -> Markup:
    """Return what the colours, patterns and strips of the map mean; its patterns are those of a map on the page."""
    found = set(flows.moves["kind"])
    kinds = [tag("li", _swatch(kind), " ", said) for kind, (_, said) in kind_words(flows).items() if kind in found]
    strips = (
        tag("li", tag("span", class_=f"strip {kind}", aria_hidden="true"), f" there now, {said}")
        for kind, said in _STANDING.items()
    )
    return tag("ul", *kinds, *strips, class_="legend")


def _swatch(kind: str) -> Markup:
    sample = tag("rect", x=0.5, y=0.5, width=27, height=13, rx=2, class_=f"ribbon {kind}")
    return tag("svg", sample, viewBox="0 0 28 14", aria_hidden="true", class_="swatch")


def _patterns() -> Markup:
    def pattern(kind: str, *marks: Markup, turn: str | None = None) -> Markup:
        ground = tag("rect", width=7, height=7, class_="ground")
        size = {"width": 7, "height": 7, "patternUnits": "userSpaceOnUse", "patternTransform": turn}
        return tag("pattern", ground, *marks, id=f"pattern-{kind}", class_=f"pattern {kind}", **size)

    spots = (tag("circle", cx=at, cy=at, r=1.3, class_="spot") for at in (2, 5.5))
    return tag(
        "defs",
        pattern("regression", tag("path", d="M0 1.5H7", class_="mark"), turn="rotate(45)"),
        pattern("detour", *spots),
        pattern("reentry", tag("path", d="M1 0V7M4.5 0V7", class_="mark")),
    )


def _say(ribbon: Ribbon, layout: Layout, said: dict[str, tuple[str, str]]) -> str:
    start, end = (layout.stages["stage"].iloc[row] for row in (ribbon.start, ribbon.end))
    return f"{start} → {end}: {words.count(ribbon.n)}, {said[ribbon.kind][1]}"


def _ribbon(ribbon: Ribbon, layout: Layout, text: str) -> Markup:
    edge, sign = (layout.left, -1) if ribbon.is_back else (layout.left + CARD_WIDTH, 1)
    half = ribbon.thickness / 2 * sign  # on the left it leads up, so its outer edge starts below
    handles = (ribbon.bulge + ribbon.width, ribbon.bulge)  # a cubic reaches three quarters of its handles
    outer, inner = (place(edge + sign * reach * 4 / 3) for reach in handles)
    x, tip = place(edge), place(edge + sign * _TIP)
    start_outer, start_inner = place(ribbon.start_y - half), place(ribbon.start_y + half)
    end_outer, end_inner = place(ribbon.end_y + half), place(ribbon.end_y - half)
    body = (
        f"M{x} {start_outer}C{outer} {start_outer} {outer} {end_outer} {tip} {end_outer}"
        f"L{tip} {end_inner}C{inner} {end_inner} {inner} {start_inner} {x} {start_inner}Z"
    )
    wing = max(ribbon.thickness / 2, 4.0)
    head = f"M{x} {place(ribbon.end_y)}L{tip} {place(ribbon.end_y - wing)}V{place(ribbon.end_y + wing)}Z"
    return tag(
        "g",
        tag("title", text),
        tag("path", d=body, class_=f"ribbon {ribbon.kind}"),
        tag("path", d=head, class_=f"head {ribbon.kind}"),
    )


def _card(stage: Any, row: int, layout: Layout, is_off_path: bool) -> Markup:
    """Draw one stage: name, counts, and a strip for those who are there now."""
    x, y, height = layout.left, layout.tops[row], layout.heights[row]
    middle = y + height / 2
    position = tag("tspan", f"{stage.position} ", class_="position") if stage.position else ""
    counts = f"{words.count(stage.n_visits)} visits · {words.count(stage.n_now)} there now"
    title = (
        f"{stage.stage}: {counts}, of whom {words.count(stage.n_now_silent)} likely go silent and "
        f"{words.count(stage.n_now_unscored)} were not scored; {words.count(stage.n_starts)} journeys began here"
    )
    box = {"x": place(x), "y": place(y), "width": place(CARD_WIDTH), "height": place(height), "rx": 7}
    name = tag("text", position, words.shorten(stage.stage, _NAME_LENGTH), x=place(x + 10), y=place(middle - 7))
    return tag(
        "g",
        tag("title", title),
        tag("rect", class_="card-box", **box),
        tag("g", name, class_="name"),
        tag("text", counts, x=place(x + 10), y=place(middle + 7), class_="small"),
        *_strip(stage, x + 10, middle + 16, (CARD_WIDTH - 20) / max(int(layout.stages["n_now"].max()), 1)),
        class_="card off-path" if is_off_path else "card",
    )


def _strip(stage: Any, x: float, y: float, scale: float) -> Iterator[Markup]:
    """Yield bars for those who are at a stage now; likely silence is told by height too."""
    active = stage.n_now - stage.n_now_silent - stage.n_now_unscored
    for kind, n in zip(_STANDING, (active, stage.n_now_silent, stage.n_now_unscored), strict=True):
        height = 7.0 if kind == "silent" else 3.5
        size = {"width": place(n * scale), "height": height, "class_": kind}
        if n:
            yield tag("rect", x=place(x), y=place(y - height / 2), **size)
        x += n * scale


def _counts(layout: Layout) -> Iterator[Markup]:
    """Yield the number of each ribbon at its middle, the largest first, where there is room."""
    taken: list[tuple[float, float, float]] = []  # left, right, middle
    for ribbon in layout.ribbons:
        text = words.count(ribbon.n)
        length = LETTER * len(text) + 3
        is_inside = ribbon.width > length + 4
        reach = ribbon.bulge + (ribbon.width / 2 if is_inside else ribbon.width + 2 + length / 2)
        x = layout.left - reach if ribbon.is_back else layout.left + CARD_WIDTH + reach
        left, right = x - length / 2, x + length / 2
        for shift in (0.0, -12.0, 12.0):
            y = (ribbon.start_y + ribbon.end_y) / 2 + shift
            if all(right <= a or b <= left or abs(y - at) >= 12 for a, b, at in taken):
                taken.append((left, right, y))
                yield tag("text", text, x=place(x), y=place(y + 4), text_anchor="middle")
                break
