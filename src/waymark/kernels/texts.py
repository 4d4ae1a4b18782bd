"""Texts where Arrow and mapped files hold them: no text becomes an object."""

import numpy as np

from waymark.kernels.jit import jit

_M = np.uint64(0xC6A4A7935BD1E995)
_R = np.uint64(47)
_SEED = np.uint64(0x9E3779B97F4A7C15)


@jit
def hash_all(data, offsets, out):
    """Write a uint64 hash of each text.

    Parameters
    ----------
    data
        The bytes of all texts, uint8.
    offsets
        (n_texts + 1,) int32: where each text begins.
    out
        The hashes are written here, (n_texts,) uint64.

    References
    ----------
    Appleby (2008), MurmurHash2, the variant for 64-bit machines (MurmurHash64A), which is in the public domain.
    """
    for i in range(len(out)):
        at, end = np.int64(offsets[i]), np.int64(offsets[i + 1])
        h = _SEED ^ (np.uint64(end - at) * _M)
        while end - at >= 8:
            k = np.uint64(data[at])
            k |= np.uint64(data[at + 1]) << np.uint64(8)
            k |= np.uint64(data[at + 2]) << np.uint64(16)
            k |= np.uint64(data[at + 3]) << np.uint64(24)
            k |= np.uint64(data[at + 4]) << np.uint64(32)
            k |= np.uint64(data[at + 5]) << np.uint64(40)
            k |= np.uint64(data[at + 6]) << np.uint64(48)
            k |= np.uint64(data[at + 7]) << np.uint64(56)
            k *= _M
            k ^= k >> _R
            h = (h ^ (k * _M)) * _M
            at += 8
        if at < end:
            shift = np.uint64(0)
            for j in range(at, end):
                h ^= np.uint64(data[j]) << shift
                shift += np.uint64(8)
            h *= _M
        h ^= h >> _R
        h *= _M
        out[i] = h ^ (h >> _R)


@jit
def first_bytes(lengths, at):
    """Return where the texts at some places (ascending) begin, int64, among texts of some lengths one after another."""
    out = np.empty(len(at), np.int64)
    total, upto = np.int64(0), 0
    for i in range(len(at)):
        for j in range(upto, at[i]):
            total += lengths[j]
        upto = at[i]
        out[i] = total
    return out
