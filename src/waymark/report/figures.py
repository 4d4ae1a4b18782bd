"""Charts drawn as SVG by hand: no library, the same bytes each time, readable in light and dark."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from waymark.report import words
from waymark.report.markup import Markup, place, svg, tag

_WIDTH = 460.0


@dataclass(frozen=True)
class _Frame:
    """Where a chart draws, in units of the drawing, and the numbers at its edges."""

    left: float
    top: float
    width: float
    height: float
    x_low: float = 0.0
    x_high: float = 1.0
    y_high: float = 1.0
    y_low: float = 0.0

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, value: float) -> float:
        return self.left + self.width * (value - self.x_low) / (self.x_high - self.x_low)

    def y(self, value: float) -> float:
        return self.bottom - self.height * (value - self.y_low) / (self.y_high - self.y_low)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
        return tag("line", x1=place(x1), y1=place(y1), x2=place(x2), y2=place(y2), class_=kind)

    def x_grid(self, marks: Sequence[float], labels: Iterable[str]) -> list[Markup]:
        lines = [self.line(self.x(m), self.top, self.x(m), self.bottom, "grid") for m in marks]
        return lines + [_text(t, self.x(m), self.bottom + 16, "tick") for m, t in zip(marks, labels, strict=True)]

    def y_grid(self, marks: Sequence[float], labels: Iterable[str]) -> list[Markup]:
        lines = [self.line(self.left, self.y(m), self.right, self.y(m), "grid") for m in marks]
        return lines + [
            _text(t, self.left - 8, self.y(m) + 4, "tick", "end") for m, t in zip(marks, labels, strict=True)
        ]

    def x_title(self, text: str) -> Markup:
        return _text(text, self.left + self.width / 2, self.bottom + 35, "axis")


def _text(text: str, x: float, y: float, kind: str, anchor: str = "middle") -> Markup:
    return tag("text", text, x=place(x), y=place(y), text_anchor=anchor, class_=kind)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`, about `wanted` of them.

    Examples
    --------
    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def _numbers(marks: Sequence[float]) -> list[str]:
    step = min((b - a for a, b in pairwise(marks)), default=1.0)
    return [words.number(m, max(0, -math.floor(math.log10(step) + 1e-9))) for m in marks]


def _percents(marks: Sequence[float]) -> list[str]:
    is_fine = any(abs(100 * m - round(100 * m)) > 1e-6 for m in marks)
    return [words.share(m, 1 if is_fine else 0) for m in marks]


def _mark(kind: str, x: float, y: float, size: float) -> Markup:
    """Draw a full circle for the model and an open square for what it is measured against."""
    if kind == "model":
        return tag("circle", cx=place(x), cy=place(y), r=place(size), class_="dot model")
    side = size * 1.76
    return tag(
        "rect",
        x=place(x - side / 2),
        y=place(y - side / 2),
        width=place(side),
        height=place(side),
        class_=f"dot {kind}",
    )


def interval_figure(label: str, rows: Sequence[tuple[str, str, Any]], axis: str, has_zero: bool = False) -> Markup:
    """Draw one dot with its interval a row.

    Parameters
    ----------
    label
        What the figure shows, for those who cannot see it.
    rows
        Name, class (`model`, `best` or `other`) and estimate of each row.
    axis
        What the numbers are.
    has_zero
        Whether nought is always shown, as a strong line.
    """
    ends = [end for *_, estimate in rows for end in words.bounds(estimate) if not words.is_missing(end)]
    ends += [0.0] if has_zero or not ends else []
    low, high = min(ends), max(ends)
    pad = 0.07 * ((high - low) or max(abs(high), 1.0))
    frame = _Frame(142.0, 8.0, _WIDTH - 156.0, 30.0 * len(rows), low - pad, high + pad)
    marks = ticks(frame.x_low, frame.x_high, 4)
    zero = [frame.line(frame.x(0), frame.top, frame.x(0), frame.bottom, "zero")] if has_zero else []
    dots = (_dot(frame, row, frame.top + 30.0 * i + 15.0) for i, row in enumerate(rows))
    grid = frame.x_grid(marks, _numbers(marks))
    return svg(_WIDTH, frame.bottom + 43, label, *grid, *zero, *dots, frame.x_title(axis), class_="chart")


def _dot(frame: _Frame, row: tuple[str, str, Any], y: float) -> Markup:
    name, kind, estimate = row
    value, low, high = words.bounds(estimate)
    parts = [_text(words.shorten(name, 22), frame.left - 10, y + 4, "row", "end")]
    if not words.is_missing(low) and not words.is_missing(high):
        ends = (frame.line(frame.x(v), y - 4, frame.x(v), y + 4, f"whisker {kind}") for v in (low, high))
        parts += [frame.line(frame.x(low), y, frame.x(high), y, f"whisker {kind}"), *ends]
    if not words.is_missing(value):
        parts.append(_mark(kind, frame.x(value), y, 5.0))
    return tag("g", tag("title", f"{name}: {words.interval(estimate)}"), *parts)


def calibration_figure(label: str, curves: Mapping[str, Sequence[Mapping[str, Any]]], model: str) -> Markup:
    """Draw what came true against what was forecast; a mark grows with the number of its forecasts.

    Below it, how many forecasts of `model` each of its bins holds.
    """
    bins = [b for curve in curves.values() for b in curve]
    most = max((b["n"] for b in bins), default=1) or 1
    limit = min(1.0, 1.08 * max((max(b["predicted"], b["observed"]) for b in bins), default=1.0)) or 1.0
    frame = _Frame(54.0, 10.0, 320.0, 320.0, 0.0, limit, limit)
    marks = ticks(0.0, limit)
    parts = [
        *frame.x_grid(marks, _percents(marks)),
        *frame.y_grid(marks, _percents(marks)),
        frame.line(frame.x(0), frame.y(0), frame.x(limit), frame.y(limit), "honest"),
        frame.x_title("forecast"),
        tag("text", "came true", transform="translate(13 170) rotate(-90)", text_anchor="middle", class_="axis"),
    ]
    for name in sorted(curves, key=lambda name: name == model):
        parts += _curve(frame, name, "model" if name == model else "best", curves[name], most)
    strip = _Frame(frame.left, frame.bottom + 54, frame.width, 46.0, 0.0, limit, most)
    parts += [_column(strip, b["predicted"], b["n"]) for b in curves.get(model, ())]
    parts.append(strip.line(strip.left, strip.bottom, strip.right, strip.bottom, "zero"))
    said = f"how many forecasts of {words.shorten(model, 18)}; at most {words.count(most)} in one bin"
    parts.append(_text(said, strip.left + strip.width / 2, strip.bottom + 17, "axis"))
    return svg(frame.right + 16, strip.bottom + 26, label, *parts, class_="chart square")


def _curve(frame: _Frame, name: str, kind: str, curve: Sequence[Mapping[str, Any]], most: int) -> Iterable[Markup]:
    spots = [(frame.x(b["predicted"]), frame.y(b["observed"])) for b in curve]
    yield tag("polyline", points=" ".join(f"{place(x)},{place(y)}" for x, y in spots), class_=f"curve {kind}")
    for (x, y), b in zip(spots, curve, strict=True):
        said = (
            f"{name}: forecast {words.share(b['predicted'])}, came true {words.share(b['observed'])}, "
            f"{words.count(b['n'])} forecasts"
        )
        yield tag("g", tag("title", said), _mark(kind, x, y, 2.5 + 6.5 * math.sqrt(b["n"] / most)))


def _column(frame: _Frame, x: float, y: float) -> Markup:
    top = frame.y(y)
    return tag(
        "rect",
        x=place(frame.x(x) - 4),
        y=place(top),
        width=8,
        height=place(frame.bottom - top),
        class_="column model",
    )


def histogram_figure(label: str, tonight: Sequence[int], before: Sequence[int] | None, axis: str) -> Markup:
    """Draw the shares of equally wide bins of 0 to 1: tonight as columns, the night before as dashed steps."""
    now, then = _shares(tonight), _shares(before or [])
    frame = _Frame(50.0, 10.0, _WIDTH - 72.0, 170.0, 0.0, len(now), 1.08 * max(*now, *then, 0.01))
    marks = ticks(0.0, frame.y_high, 4)
    edges = range(0, len(now) + 1, max(1, len(now) // 5))
    parts = frame.y_grid(marks, _percents(marks))
    for i, part in enumerate(now):
        said = (
            f"{words.share(i / len(now), 0)} to {words.share((i + 1) / len(now), 0)}: {words.count(tonight[i])} people"
        )
        said += f", the night before {words.count(before[i])}" if before else ""
        parts.append(tag("g", tag("title", said), _bin(frame, i, part)))
    if then:
        steps = "".join(
            f"{'L' if i else 'M'}{place(frame.x(i))} {place(frame.y(part))}H{place(frame.x(i + 1))}"
            for i, part in enumerate(then)
        )
        parts.append(tag("path", d=steps, class_="step"))
    parts += [_text(words.share(i / len(now), 0), frame.x(i), frame.bottom + 16, "tick") for i in edges]
    parts += [frame.line(frame.left, frame.bottom, frame.right, frame.bottom, "zero"), frame.x_title(axis)]
    return svg(_WIDTH, frame.bottom + 43, label, *parts, class_="chart")


def time_figure(label: str, curves: Mapping[str, tuple[str, Sequence[tuple[datetime, float]]]], axis: str) -> Markup:
    """Draw numbers over time: one line a curve, whose kind is `model` or `best`, with a mark at each of its times."""
    times = sorted({time for _, spots in curves.values() for time, _ in spots})
    values = [value for _, spots in curves.values() for _, value in spots]
    start, days = times[0], max((times[-1] - times[0]).days, 1)
    pad = 0.1 * ((max(values) - min(values)) or max(values, default=1.0) or 1.0)
    frame = _Frame(60.0, 10.0, _WIDTH - 100.0, 170.0, 0.0, days, max(values) + pad, max(min(values) - pad, 0.0))
    marks = ticks(frame.y_low, frame.y_high, 4)
    shown = sorted({times[0], times[len(times) // 2], times[-1]})
    parts = frame.y_grid(marks, _numbers(marks))
    parts += frame.x_grid([(time - start).days for time in shown], [f"{time:%Y-%m-%d}" for time in shown])
    for name, (kind, spots) in curves.items():
        places = [(frame.x((time - start).days), frame.y(value)) for time, value in spots]
        parts.append(
            tag("polyline", points=" ".join(f"{place(x)},{place(y)}" for x, y in places), class_=f"curve {kind}")
        )
        for (x, y), (time, value) in zip(places, spots, strict=True):
            said = f"{name}, {words.day(time)}: {words.number(value)}"
            parts.append(tag("g", tag("title", said), _mark(kind, x, y, 3.0)))
    return svg(_WIDTH, frame.bottom + 43, label, *parts, frame.x_title(axis), class_="chart")


def _shares(counts: Sequence[int]) -> list[float]:
    return [n / (sum(counts) or 1) for n in counts]


def _bin(frame: _Frame, position: int, share: float) -> Markup:
    left, right, top = frame.x(position) + 3, frame.x(position + 1) - 3, frame.y(share)
    size = {"width": place(right - left), "height": place(frame.bottom - top)}
    return tag("rect", x=place(left), y=place(top), class_="column model", **size)
