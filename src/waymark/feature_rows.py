"""A row of the table of features, and what fills in the patterns of its name and words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from waymark.catalogue import Feature, slugs
from waymark.config import FeaturesConfig
from waymark.measures import Measure, Window


@dataclass(frozen=True)
class Row:
    """One feature: what it is, and how it is found, by a measure or by the registered function of that name."""

    feature: Feature
    source: Measure | str
    pattern: str  # of its name

    @property
    def measure(self) -> Measure | None:
        """The measure, if it is found by one."""
        return self.source if isinstance(self.source, Measure) else None


Rows = Iterator[Row]


@dataclass(frozen=True)
class Term:
    """What takes the place of a name in braces."""

    slug: str  # in the name of a feature
    words: str


def row(
    pattern: str,
    words: str,
    unit: str,
    measure: Measure,
    categories: Sequence[str] | None = None,
    **named: Term | Window,
) -> Row:
    """Return a row whose name and words are filled in with what is `named`; its group is told later."""
    name = pattern.format(**{k: term.slug for k, term in named.items()})
    words = words.format(**{k: term.words for k, term in named.items()})
    told = named.get("attribute", named.get("number"))
    feature = Feature(
        name, "", words, unit, None if categories is None else tuple(categories), told.words if told else None
    )
    return Row(feature, measure, pattern)


def terms(names: Sequence[str]) -> list[tuple[int, Term]]:
    """Return the code and the term of each of `names`."""
    return list(enumerate(Term(slug, name) for slug, name in zip(slugs(names), names, strict=True)))


def windows(settings: FeaturesConfig) -> list[Window]:
    """Return the windows of the settings, and the whole history."""
    return [*map(Window, settings.windows_days), Window(None)]
