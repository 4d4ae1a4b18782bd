"""A checksum as quick as memory is read: files are looked through each time they are."""

import numpy as np

from waymark.kernels.jit import jit

_PLACE, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)


@jit
def checksum(words):
    """Return a uint64 that is another one wherever one word is, and nearly always where several are.

    It is the sum of the words, each mixed up with its place: processors do that for several at a time.

    Parameters
    ----------
    words
        (n,) uint64.

    References
    ----------
    Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators, OOPSLA: the finaliser of SplitMix64.
    """
    total = np.uint64(0)
    for i in range(len(words)):
        mixed = words[i] ^ (np.uint64(i + 1) * _PLACE)
        mixed = (mixed ^ (mixed >> _30)) * _FIRST
        mixed = (mixed ^ (mixed >> _27)) * _SECOND
        total += mixed ^ (mixed >> _31)
    return total
