"""Hashes of 64 bits: of names, so that they can be compared in bulk, and of what rows say, so that tables can."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from waymark.kernels import keys, texts
from waymark.kernels.jit import read_only

_SIEVE_BITS = 20, 30  # of the smallest and of the largest
_FEW = 1 << 20


def hash_names(names: np.ndarray) -> np.ndarray:
    """Return a uint64 hash of each name (an object array of texts)."""
    return hash_texts(pa.array(names, pa.string()))


def hash_texts(found: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return a uint64 hash of each text, 0 for a null."""
    chunks = found.chunks if isinstance(found, pa.ChunkedArray) else [found]
    return np.concatenate([np.zeros(0, np.uint64), *map(_hash_chunk, chunks)])


def _hash_chunk(chunk: pa.Array) -> np.ndarray:
    out = np.empty(len(chunk), np.uint64)
    if not len(chunk):
        return out
    chunk = chunk.cast(pa.string())
    _, offsets, data = chunk.buffers()
    starts = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    texts.hash_all(np.frombuffer(data or b"", np.uint8), starts, out)
    if chunk.null_count:
        out[pc.is_null(chunk).to_numpy(zero_copy_only=False)] = 0
    return out


class Sieve:
    """Tells which keys were met before; of a hundred million keys, one in twenty that were not is taken for one."""

    def __init__(self, n_keys: int) -> None:
        """Begin with none, of about `n_keys`: at most 128 MB, of which the system gives what is used."""
        self._n_bits = int(np.clip((64 * n_keys).bit_length(), *_SIEVE_BITS))
        self._bits = np.zeros(1 << (self._n_bits - 6), np.uint64)

    def met(self, asked: np.ndarray) -> np.ndarray:
        """Say which of some keys were met before, among them or earlier."""
        out = np.empty(len(asked), bool)
        keys.met_before(asked, self._bits, np.uint64(64 - self._n_bits), out)
        return out


class Ordered:
    """Hashes in ascending order, each once, and how to find many of them at once."""

    def __init__(self, hashes: np.ndarray) -> None:
        """Look them through once."""
        self.hashes, self._n_bits = hashes, max(len(hashes).bit_length() - 1, 1)
        self._starts = keys.index(hashes, self._n_bits)
        self._bits = np.zeros(0, np.uint64)
        if len(hashes) < _FEW:
            self._bits = np.zeros((32 << self._n_bits) // 64, np.uint64)
            keys.met_before(hashes, self._bits, np.uint64(59 - self._n_bits), np.empty(len(hashes), bool))

    def find(self, asked: np.ndarray) -> np.ndarray:
        """Return the place of each of some hashes, -1 for none."""
        return keys.find(self.hashes, self._starts, self._n_bits, self._bits, asked)

    def positions_in(self, asked: np.ndarray) -> np.ndarray:
        """Return the positions, ascending, of those of some hashes that are among these."""
        return keys.positions(self.hashes, self._starts, self._n_bits, self._bits, asked)


def hash_rows(columns: Mapping[str, tuple[np.ndarray, np.ndarray | bool]]) -> np.ndarray:
    """Return a uint64 hash of each row.

    Parameters
    ----------
    columns
        Name -> the bits of each value, as 64-bit integers, and whether there is a value; True, if there always is. A
        column without any changes nothing.
    """
    total = None
    for name, (bits, is_given) in columns.items():
        bits = np.ascontiguousarray(bits).view(np.uint64)
        is_given = np.zeros(0, bool) if np.ndim(is_given) == 0 else np.ascontiguousarray(is_given)
        total = np.zeros(len(bits), np.uint64) if total is None else total
        keys.mix_in(total, read_only(bits), hash_names(np.array([name], object))[0], read_only(is_given))
    keys.mix(total)
    return total


def sums_by(hashes: np.ndarray, place: np.ndarray, n: int) -> list[int]:
    """Return the sum of the hashes of each of `n` places, modulo 2**64."""
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(n + 1))
    running = np.append(np.uint64(0), np.cumsum(hashes[order], dtype=np.uint64))
    return (running[ends[1:]] - running[ends[:-1]]).tolist()


def distinct(hashes: np.ndarray) -> np.ndarray:
    """Return each of some hashes once, ascending; ten times as fast as `np.unique`, which hashes what is hashed."""
    ordered = np.sort(hashes)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered
