"""Texts that repeat, as codes: an append-only list for each kind of name (event types, channels, feeds, files, ...)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from waymark.store.hashes import hash_names


class Names:
    """Lists of names by kind; the code of a name is its place in its list, and stays."""

    def __init__(self, lists: Mapping[str, Sequence[str]] | None = None) -> None:
        """Begin with the lists of an earlier night."""
        self.lists: dict[str, list[str]] = {kind: list(names) for kind, names in (lists or {}).items()}
        self._codes = {kind: {name: i for i, name in enumerate(names)} for kind, names in self.lists.items()}

    def encode(self, kind: str, texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """Return the int32 code of each text, -1 for a null; a new name gets the next code."""
        names, codes = self.lists.setdefault(kind, []), self._codes.setdefault(kind, {})
        distinct, place = encoded(texts)
        found = np.empty(len(distinct) + 1, np.int32)
        found[-1] = -1  # where a null points
        for i, name in enumerate(distinct.to_pylist()):
            if name not in codes:
                codes[name] = len(names)
                names.append(name)
            found[i] = codes[name]
        return found[place]

    def decode(self, kind: str, codes: np.ndarray) -> pa.Array:
        """Return the text of each code, null for -1."""
        return pa.array(self.lists.get(kind, []), pa.string()).take(pa.array(codes, mask=codes < 0))

    def hashes(self, kind: str) -> np.ndarray:
        """Return a uint64 hash of each name of a kind, in the order of their codes."""
        return hash_names(np.array(self.lists.get(kind, []), object))

    def in_order(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the names of a kind, sorted, and the place of each code among them with one more, -1, for none."""
        names = np.array(self.lists.get(kind, []), object)
        order = np.argsort(names, kind="stable")
        place = np.full(len(names) + 1, -1, np.int32)
        place[order] = np.arange(len(names))
        return names[order], place


def encoded(texts: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """Return the distinct texts, and the place of each text among them; -1 for a null."""
    coded = texts.dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    if isinstance(coded, pa.ChunkedArray):  # as `combine_chunks` returns a table without rows
        return pa.array([], pa.string()), np.zeros(0, np.int32)
    return coded.dictionary, coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
