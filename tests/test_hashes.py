"""Hashes of texts, and what is asked of many of them at once, against the plain way to say it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waymark.kernels import buckets
from waymark.store import hashes
from waymark.store.hashes import Ordered, Sieve, hash_names, hash_texts
from waymark.store.routes import Pairs, joining

TEXTS = st.lists(st.none() | st.text(max_size=20), max_size=30)


@settings(max_examples=50)
@given(texts=TEXTS, begin=st.integers(0, 5), cut=st.integers(0, 30))
def test_a_hash_hangs_on_the_text_alone_wherever_it_lies(texts, begin, cut):
    whole = pa.array(texts, pa.string())
    apart = pa.chunked_array([whole[:cut], whole[cut:]], pa.string())
    hashes = hash_texts(whole)
    assert hashes.tolist() == hash_texts(apart).tolist()
    assert hashes[begin:].tolist() == hash_texts(whole[begin:]).tolist()
    given_texts = [t for t in texts if t is not None]
    assert [h for h, t in zip(hashes, texts, strict=True) if t is not None] == hash_names(
        np.array(given_texts, object)
    ).tolist()
    assert all(h == 0 for h, t in zip(hashes, texts, strict=True) if t is None)
    assert len(set(hashes.tolist())) == len(set(texts))


def test_one_bit_of_a_text_changes_half_the_bits_of_its_hash():
    for length in (1, 7, 8, 9, 16, 31):
        texts = [bytes([65 + (i == j) for i in range(length)]).decode() for j in range(-1, length)]
        hashes = hash_texts(pa.array(texts))
        changed = [(int(h) ^ int(hashes[0])).bit_count() for h in hashes[1:]]
        assert min(changed) > 10
        assert np.mean(changed) == pytest.approx(32, abs=9)


@pytest.mark.parametrize(("n_told", "most"), [(200_000, 0.02), (100_000_000, 0.001)])
def test_a_sieve_forgets_nothing_and_takes_little_for_met(n_told, most):
    keys = hash_texts(pa.array([f"e{i}" for i in range(200_000)]))
    sieve = Sieve(n_told)
    assert sieve.met(keys).mean() < most
    assert sieve.met(keys[::2]).all()
    assert sieve.met(np.repeat(hash_texts(pa.array(["new"])), 2)).tolist() == [False, True]


def test_a_sieve_that_was_told_of_too_few_takes_more_for_met_and_forgets_nothing():
    keys = hash_texts(pa.array([f"e{i}" for i in range(20_000)]))
    sieve = Sieve(0)
    assert sieve.met(keys).mean() < 0.02  # a million bits at least
    assert sieve.met(keys).all()


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
@pytest.mark.parametrize("few", [0, 1 << 20])  # hashes are so many that no bits stand for them, or few
def test_what_is_found_stands_there(n, few, monkeypatch):
    monkeypatch.setattr(hashes, "_FEW", few)
    rng = np.random.default_rng(n)
    ordered = np.unique(rng.integers(0, 2**64, n, np.uint64))
    asked = rng.permutation(np.concatenate([ordered[::3], rng.integers(0, 2**64, 9000, np.uint64)]))
    place = Ordered(ordered).find(asked)
    assert np.array_equal(np.flatnonzero(place >= 0), Ordered(ordered).positions_in(asked))
    assert np.array_equal(place >= 0, np.isin(asked, ordered))
    assert np.array_equal(ordered[place[place >= 0]], asked[place >= 0])


def drawn(rng: np.random.Generator, n: int) -> Pairs:
    one, two = rng.integers(0, 6, n).astype(np.uint64), rng.integers(0, 6, n).astype(np.uint64)
    return Pairs(
        one << np.uint64(60), two << np.uint64(60), rng.integers(0, 9, n), (one % 2 + two % 2 * 2).astype("u1")
    )


@pytest.mark.parametrize("seed", range(20))
def test_pairs_of_many_nights_are_those_of_one_and_whoever_may_join_is_asked_about(seed):
    rng, most = np.random.default_rng(seed), 2
    nights = [drawn(rng, int(rng.integers(0, 12))).once() for _ in range(5)]
    whole = Pairs(*map(np.concatenate, zip(*nights, strict=True))).once()
    pairs, joined = Pairs.none(), set()
    for night in nights:
        pairs, asked = pairs.with_news(night)
        asked = asked[joining(pairs, asked, most)]
        joined |= set(zip(pairs.one[asked].tolist(), pairs.two[asked].tolist(), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(pairs, whole, strict=True))
    at_once = joining(whole, np.arange(len(whole.one)), most)
    for ours, theirs, flag in ((whole.one, whole.two, 1), (whole.two, whole.one, 2)):
        for own in np.unique(ours).tolist():
            at = np.flatnonzero((ours == own) & ((whole.may_be_hub & flag) > 0))
            late = at[np.lexsort((theirs[at], whole.known[at]))][most:]
            assert not at_once[late].any()
    assert set(zip(whole.one[at_once].tolist(), whole.two[at_once].tolist(), strict=True)) <= joined


@given(st.sets(st.integers(0, 30)), st.lists(st.integers(0, 30), max_size=20))
def test_what_two_ascending_lists_share_is_found_in_both(one, two):
    one, two = sorted(one), sorted(two)
    room = np.full(len(two), -1), np.full(len(two), -1)
    n = buckets.both(np.array(one, np.int64), np.array(two, np.int64), *room)
    expected = [(one.index(number), place) for place, number in enumerate(two) if number in one]
    assert [(int(a), int(b)) for a, b in zip(*room, strict=True)][:n] == expected
    assert n == len(expected)
