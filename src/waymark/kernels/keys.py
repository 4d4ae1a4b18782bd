"""Many 64-bit hashes asked for at once: whether they were met before, and where they stand among sorted ones."""

import numpy as np

from waymark.kernels.jit import at as unsigned
from waymark.kernels.jit import jit

_WORD, _IN_WORD, _ONE = np.uint64(6), np.uint64(63), np.uint64(1)
_MORE = np.uint64(5)  # bits that begin a hash and are looked at first
_BLOCK = 4096


@jit
def met_before(keys, bits, shift, out):
    """Say of each key whether its bit was set, by an earlier one or by one of those before, and set it.

    Two keys may share a bit: what was met is always said, what was not is sometimes said as well.

    Parameters
    ----------
    keys
        (n,) uint64 hashes.
    bits
        A power of two of bits in words of uint64, changed in place.
    shift
        uint64: how many bits of a hash are left away, so that the others are the number of a bit.
    out
        (n,) bool, written.
    """
    for i in range(len(keys)):
        bit = keys[i] >> shift
        mask = np.uint64(1) << (bit & _IN_WORD)
        word = bits[bit >> _WORD]
        out[i] = (word & mask) != 0
        bits[bit >> _WORD] = word | mask


@jit
def index(ordered, n_bits):
    """Return where the hashes that begin with each number of `n_bits` bits start, (2**n_bits + 1,) int64."""
    starts = np.empty((np.int64(1) << n_bits) + 1, np.int64)
    shift = np.uint64(64 - n_bits)
    upto = 0
    for i in range(len(ordered)):
        head = np.int64(ordered[i] >> shift)
        while upto <= head:
            starts[upto] = i
            upto += 1
    starts[upto:] = len(ordered)
    return starts


@jit
def find(ordered, starts, n_bits, bits, keys):
    """Return where each of `keys` stands among hashes in ascending order, -1 for nowhere; see `index`.

    `bits`, if there are any, are 32 times as many as numbers of `n_bits` bits: those that begin a hash are set. They
    are small enough to stay near the processor, and spare most keys that are nowhere a look at the rest.
    """
    out = np.empty(len(keys), np.int64)
    shift = np.uint64(64 - n_bits)
    for i in range(len(keys)):
        if len(bits):
            bit = keys[i] >> (shift - _MORE)
            if not bits[bit >> _WORD] & (np.uint64(1) << (bit & _IN_WORD)):
                out[i] = -1
                continue
        head = np.int64(keys[i] >> shift)
        at, end = starts[head], starts[head + 1]
        while at < end and ordered[at] < keys[i]:
            at += 1
        out[i] = at if at < end and ordered[at] == keys[i] else -1
    return out


@jit
def positions(ordered, starts, n_bits, bits, keys):
    """Return the positions, int64 and ascending, of those of `keys` that are among some hashes; see `find`.

    Some thousand keys at a time are first looked up in `bits` alone, without a branch: who is met follows no pattern.
    """
    out = np.empty(len(keys), np.int64)
    maybe = np.empty(_BLOCK, np.int64)
    shift = np.uint64(64 - n_bits)
    n = 0
    for begin in range(0, len(keys), _BLOCK):
        end, n_maybe = min(begin + _BLOCK, len(keys)), 0
        for i in range(begin, end):
            maybe[unsigned(n_maybe)] = i
            bit = keys[unsigned(i)] >> (shift - _MORE)
            n_maybe += np.int64((bits[bit >> _WORD] >> (bit & _IN_WORD)) & _ONE) if len(bits) else 1
        for j in range(n_maybe):
            key = keys[maybe[j]]
            head = np.int64(key >> shift)
            at, last = starts[head], starts[head + 1]
            while at < last and ordered[at] < key:
                at += 1
            if at < last and ordered[at] == key:
                out[n] = maybe[j]
                n += 1
    return out[:n].copy()


@jit
def find_pairs(one, two, some_one, some_two):
    """Return where each pair stands, or would stand, among pairs in ascending order, and whether it is there."""
    place = np.empty(len(some_one), np.int64)
    is_there = np.empty(len(some_one), np.bool_)
    for i in range(len(some_one)):
        a, b = some_one[i], some_two[i]
        low, high = 0, len(one)
        while low < high:
            middle = (low + high) >> 1
            if one[middle] < a or (one[middle] == a and two[middle] < b):
                low = middle + 1
            else:
                high = middle
        place[i] = low
        is_there[i] = low < len(one) and one[low] == a and two[low] == b
    return place, is_there


@jit
def number_anew(first, second, ends, n_codes):
    """Number the codes of each stretch of rows for itself, as they first occur there, in place; -1 stays.

    Parameters
    ----------
    first, second
        (n_rows,) int32 codes.
    ends
        (n_stretches + 1,) int64: stretch `k` has the rows `ends[k] <= i < ends[k + 1]`.
    n_codes
        How many codes there are.

    Returns
    -------
    used : int32, the codes in the order of their new numbers, one stretch after another
    starts : (n_stretches + 1,) int64, where those of each stretch begin
    """
    used = np.empty(2 * len(first), np.int32)
    starts = np.zeros(len(ends), np.int64)
    number = np.empty(n_codes, np.int32)
    stretch = np.full(n_codes, -1, np.int32)
    n = 0
    for k in range(len(ends) - 1):
        begin = n
        for i in range(ends[k], ends[k + 1]):
            for column in (first, second):
                code = column[i]
                if code < 0:
                    continue
                if stretch[code] != k:
                    stretch[code], number[code] = k, n - begin
                    used[n] = code
                    n += 1
                column[i] = number[code]
        starts[k + 1] = n
    return used[:n].copy(), starts


@jit
def mixed(x):
    """Spread what differs in few bits of a uint64 over all of them.

    References
    ----------
    Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators, OOPSLA: the finaliser of SplitMix64.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@jit
def mix_in(total, bits, salt, is_given):
    """Add to each of `total` (uint64, changed) its `bits` (uint64), mixed with those of `salt`.

    `is_given`, (n,) bool, says where; of length 0: everywhere.
    """
    for i in range(len(total)):
        if len(is_given) == 0 or is_given[i]:
            total[i] += mixed(bits[i] ^ salt)


@jit
def mix(total):
    """Mix each of `total` (uint64), in place."""
    for i in range(len(total)):
        total[i] = mixed(total[i])
