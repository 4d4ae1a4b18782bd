"""Events as coded arrays, and the categories that are told by them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import random_logs
from waymark import eventlog, schema
from waymark.eventlog import EventLog, read_log
from waymark.identity import link_identities
from waymark.vocabulary import ARROW, OTHER, transition_tables


def log(seed: int = 1, n: int = 40) -> EventLog:
    events = random_logs.table(random_logs._log(seed, n))
    return read_log(events, link_identities(events))


def test_arrays_are_small_and_locked():
    arrays = log()
    assert (arrays.event_type.dtype, arrays.channel.dtype, arrays.actor.dtype) == (np.int16, np.int16, np.int8)
    for array in (arrays.event_time, arrays.event_type, arrays.attributes["colour"][0], arrays.numbers["pages"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"actor": np.zeros(40, np.int64)}, r"actor is int64 of shape \(40,\); it takes int8"),
        ({"event_type": np.zeros(39, np.int16)}, r"event_type is int16 of shape \(39,\); it takes int16 or int32"),
        ({"attributes": {"a": (np.zeros(40), np.zeros(0, object))}}, r"attributes\[a\] is float64"),
        ({"event_time": np.zeros(80, np.int64)[::2]}, "event_time is not contiguous"),
    ],
)
def test_an_array_that_no_kernel_is_compiled_for_is_refused(changed, sentence):
    with pytest.raises(TypeError, match=sentence):
        replace(log(), **changed)


@pytest.mark.parametrize("types", ["few", "many", "too many for a table"])
@given(seed=st.integers(0, 2**32), n=st.integers(0, 40))
def test_the_kind_of_an_event_says_its_type_channel_actor_and_whether_it_has_a_value(types, seed, n):
    arrays = log(seed, n)
    if types != "few":
        names = np.array(sorted({*arrays.event_types, *(f"z{i:05}" for i in range(40_000))}), object)
        arrays = replace(arrays, event_types=names, event_type=arrays.event_type.astype(np.int32))
    with pytest.MonkeyPatch.context() as patch:
        if types == "too many for a table":
            patch.setattr(eventlog, "_MOST_KINDS", 0)
        kinds = arrays.kinds
    code = kinds.code.astype(int)
    assert kinds.code.dtype == (np.int16 if types == "few" else np.int32)
    assert kinds.event_type[code].tolist() == arrays.event_type.tolist()
    assert kinds.channel[code].tolist() == arrays.channel.tolist()
    assert kinds.actor[code].tolist() == arrays.actor.tolist()
    assert kinds.has_value[code].tolist() == arrays.has_value.tolist()
    assert kinds.is_customer[code].tolist() == arrays.is_customer.tolist()
    assert len({*zip(kinds.event_type, kinds.channel, kinds.actor, kinds.has_value)}) == len(kinds)


def test_actors_are_coded_as_the_schema_lists_them():
    events = random_logs.table(random_logs._log(1, 40))
    arrays = read_log(events, link_identities(events))
    order = events.sort_values(list(schema.EVENTS.key))
    assert [schema.ACTORS[a] for a in arrays.actor] == order["actor"].tolist()


STAGES = ["a", "b", "c", "a > b", "b > c"]  # two ways may have one name


@pytest.mark.parametrize("others", [(), (OTHER,)])
@given(known=st.lists(st.tuples(*[st.sampled_from(STAGES)] * 3), max_size=6, unique=True))
def test_changes_of_stage_are_found_by_their_names(others, known):
    twos = tuple(dict.fromkeys(ARROW.join(way) for way in known)) + others
    ones = tuple(dict.fromkeys(ARROW.join(way[:2]) for way in known)) + others
    place, one, pair, two = transition_tables(STAGES, ones, twos)

    def found(value: float) -> int | None:
        return None if np.isnan(value) else int(value)

    def named(names: tuple[str, ...], *way: str) -> int | None:
        name = ARROW.join(way)
        return names.index(name) if name in names else names.index(OTHER) if others else None

    nowhere = place[-1]
    for i, a in enumerate(STAGES):
        assert found(one[nowhere, place[i]]) is None
        for j, b in enumerate(STAGES):
            assert found(one[place[i], place[j]]) == named(ones, a, b)
            assert found(two[pair[nowhere, place[i]], place[j]]) is None
            for k, c in enumerate(STAGES):
                assert found(two[pair[place[i], place[j]], place[k]]) == named(twos, a, b, c)
