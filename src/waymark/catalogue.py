"""What each feature is: name, group, words, unit, categories. One list serves models, reasons and docs."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Feature:
    """One column `f_<name>` of the features table.

    `words` completes the sentence "moved by ...", for example "visits in the last 30 days". A feature with
    `categories` holds the position of a category in that tuple, as a float; NaN is "not seen yet".
    """

    name: str
    group: str
    words: str
    unit: str
    categories: tuple[str, ...] | None = None
    attribute: str | None = None  # what of the delivery it is made of, where that is one attribute or number

    @property
    def column(self) -> str:
        """The feature's column in the features table."""
        return f"f_{self.name}"


# Letters that Unicode does not take apart into a plain one and its accent.
_WHOLE = str.maketrans({"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"})


def slugs(names: Sequence[str]) -> list[str]:
    """Turn names into distinct words of ASCII letters, digits and underscores, fit for a column.

    Examples
    --------
    >>> slugs(["Öffnen", "größer", "2 + 2"])
    ['Offnen', 'grosser', '2_2']
    """
    taken: set[str] = set()
    out = []
    for i, name in enumerate(names):
        letters = unicodedata.normalize("NFKD", name.translate(_WHOLE))
        plain = "".join(c for c in letters if not unicodedata.combining(c))
        slug = re.sub(r"[^0-9A-Za-z]+", "_", plain).strip("_") or str(i)
        while slug in taken:
            slug = f"{slug}_{i}"
        taken.add(slug)
        out.append(slug)
    return out


def to_json(features: Iterable[Feature]) -> list[dict[str, Any]]:
    """Return plain values for `tables.write_json`."""
    return [asdict(f) for f in features]


def from_json(values: Sequence[dict[str, Any]]) -> list[Feature]:
    """Read back what `to_json` returned."""
    return [Feature(**{**v, "categories": None if (c := v["categories"]) is None else tuple(c)}) for v in values]


def in_groups(features: Iterable[Feature], groups: Sequence[str]) -> list[Feature]:
    """Return the features that belong to one of `groups`, in order."""
    return [f for f in features if f.group in groups]
