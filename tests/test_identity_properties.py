"""Who is who, whatever was done, told, restated and erased: what must not change the answer, and a plain reference."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import by_hand
import random_logs
from by_hand import SHOP, time
from random_logs import CUTOFF, Row, future, past
from waymark.config import IdentityConfig
from waymark.eventlog import EventLog, micro, read_log
from waymark.features import build_features
from waymark.journeys import StageMap, build_journeys
from waymark.ledger import CUSTOMER, link_identities
from waymark.vocabulary import Vocabulary, learn_vocabulary

SETTINGS = by_hand.settings()
DAY = timedelta(days=1)
RULES = st.builds(
    IdentityConfig,
    shared_devices=st.sampled_from(["device_split", "last_auth", "none"]),
    max_persons_per_id=st.sampled_from([2, 3, 20]),
)
MOMENTS = [CUTOFF + days * DAY for days in (-25, -10, -5, 0, 1, 60)]


def read(events: pd.DataFrame, told: pd.DataFrame, rules: IdentityConfig) -> EventLog:
    return read_log(events, link_identities(events, told), rules)


def people(log: EventLog, at: pd.Timestamp) -> dict[str, str]:
    """Return the person of each id as known before a time."""
    identities = log.identities
    return dict(zip(identities.person_ids, identities.person_ids[identities.people(micro(at))], strict=True))


def partition(person_of: dict[str, str]) -> set[frozenset[str]]:
    """Return the ids of each person."""
    groups: dict[str, set[str]] = {}
    for name, person in person_of.items():
        groups.setdefault(person, set()).add(name)
    return {frozenset(group) for group in groups.values()}


def stages(events: pd.DataFrame, told: pd.DataFrame, rules: IdentityConfig) -> pd.DataFrame:
    journeys = build_journeys(events, link_identities(events, told), SHOP, CUTOFF, rules)
    return journeys.sort_values(["person_id", "visit"], ignore_index=True)


def features(
    events: pd.DataFrame, told: pd.DataFrame, rules: IdentityConfig, vocabulary: Vocabulary | None = None
) -> pd.DataFrame:
    table, _ = build_features(events, link_identities(events, told), CUTOFF, SHOP, SETTINGS, vocabulary, rules)
    return table.sort_values("person_id", ignore_index=True)


# --- what must not change the answer --------------------------------------------------------------------------------


@given(
    logs=st.tuples(random_logs.rows(), random_logs.rows()),
    told=st.tuples(random_logs.told(), random_logs.told()),
    restated=st.tuples(random_logs.rows(8), random_logs.rows(8)),
    rules=RULES,
)
def test_nothing_known_later_changes_who_was_who_their_stages_or_their_features(logs, told, restated, rules):
    """Events, links, erasures and restatements of the future may come, go and change in any way."""
    seen = past(logs[0])

    def known(rows: list[Row]) -> list[Row]:
        return [r for r in rows if r["known_time"] < CUTOFF]

    def later(rows: list[Row]) -> list[Row]:
        return [r for r in rows if r["known_time"] >= CUTOFF]

    worlds = []
    for which in (0, 1):
        events = random_logs.table(seen + future(logs[which]))
        events = random_logs.restated(events, len(seen), known(restated[0]) + later(restated[which]))
        worlds.append((events, random_logs.told_table(known(told[0]) + later(told[which])), rules))
    one, two = (people(read(*world), CUTOFF) for world in worlds)
    assert {name: one[name] for name in one.keys() & two.keys()} == {n: two[n] for n in one.keys() & two.keys()}
    assert_frame_equal(stages(*worlds[0]), stages(*worlds[1]))
    assert_frame_equal(features(*worlds[0]), features(*worlds[1]))


@given(log=random_logs.rows(), told=random_logs.told(2), rules=RULES, data=st.data())
def test_those_whom_no_link_touches_change_nothing_of_a_person(log, told, rules, data):
    events, links = random_logs.table(log), random_logs.told_table(told)
    assume(len(events))
    neighbours: dict[str, set[str]] = {}
    pairs = [random_logs.ids(row) for row in log] + [(row["id_a"], row["id_b"]) for row in told]
    for pair in pairs:
        for name in pair:
            neighbours.setdefault(name, set()).update(pair)
    family = reached(data.draw(st.sampled_from(sorted(neighbours))), neighbours)
    alone = events[[set(random_logs.ids(row)) <= family for row in log]], links[links["id_a"].isin(family)], rules
    together = events, links, rules
    log, mine_alone = read(*together), read(*alone)
    for at in MOMENTS:
        everybody = people(log, at)
        assert people(mine_alone, at) == {name: everybody[name] for name in everybody if name in family}
    vocabulary = learn_vocabulary(log, StageMap(log, SHOP), SETTINGS, micro(CUTOFF))
    for build in (stages, partial(features, vocabulary=vocabulary)):
        mine = build(*together)
        assert_frame_equal(build(*alone), mine[mine["person_id"].isin(family)].reset_index(drop=True))


@given(log=random_logs.rows(), told=random_logs.told(), restated=random_logs.rows(8), rules=RULES, data=st.data())
def test_the_order_of_events_and_links_does_not_matter(log, told, restated, rules, data):
    events = random_logs.restated(random_logs.table(log), len(log), restated)
    links = random_logs.told_table(told)
    shuffled = [t.iloc[data.draw(st.permutations(range(len(t))))] for t in (events, links)]
    assert_frame_equal(link_identities(*shuffled), link_identities(events, links))
    in_order, out_of_order = read(events, links, rules), read(*shuffled, rules)
    for at in MOMENTS:
        assert people(out_of_order, at) == people(in_order, at)
    assert_frame_equal(stages(*shuffled, rules), stages(events, links, rules))
    assert_frame_equal(features(*shuffled, rules), features(events, links, rules))


@given(log=random_logs.rows(), told=random_logs.told())
def test_who_is_one_person_stays_one_and_is_called_by_the_oldest_of_all(log, told):
    """Where nothing is erased and nothing is shared, time only merges."""
    links = random_logs.told_table([row for row in told if row["kind"] == "alias"])
    rules = IdentityConfig(shared_devices="none")
    everybody = read(random_logs.table(log), links, rules)
    identities = everybody.identities
    age = {n: (t, not n.startswith(CUSTOMER), n) for n, t in zip(identities.person_ids, identities.known_from)}
    for before, after in pairwise(MOMENTS):
        was, now = (people(everybody, at) for at in (before, after))
        for group in partition(now):
            assert {was[name] for name in group} <= group
            assert {now[name] for name in group} == {min({was[name] for name in group}, key=age.get)}


@given(log=random_logs.rows(), told=random_logs.told(), rules=RULES, data=st.data())
def test_persons_do_not_hang_on_the_order_in_which_cut_offs_are_asked_for(log, told, rules, data):
    """Links that last are joined once, going on from the cut-off before."""
    events, links = random_logs.table(log), random_logs.told_table(told)
    moments = data.draw(st.permutations([*MOMENTS, *(row["known_time"] + DAY for row in told)]))
    asked = read(events, links, rules)
    for at in moments:
        assert people(asked, at) == people(read(events, links, rules), at)


# --- erasures -------------------------------------------------------------------------------------------------------


@given(log=random_logs.rows(), told=random_logs.told(), rules=RULES, data=st.data())
def test_an_erased_link_leaves_persons_as_if_it_had_never_been_told(log, told, rules, data):
    aliases = [row for row in told if row["kind"] == "alias"]
    assume(aliases)
    link = data.draw(st.sampled_from(aliases))
    pair = {link["id_a"], link["id_b"]}
    assume(not any(set(random_logs.ids(row)) == pair for row in log))
    events = random_logs.table(log)
    others = [row for row in told if {row["id_a"], row["id_b"]} != pair]
    erased_at = link["known_time"] + 3 * DAY
    erasure = link | {"kind": "erase", "known_time": erased_at}
    without, linked, erased = (
        read(events, random_logs.told_table(others + more), rules) for more in ([], [link], [link, erasure])
    )
    for at in [*MOMENTS, erased_at, erased_at + timedelta(microseconds=1)]:
        if at <= erased_at:
            assert people(erased, at) == people(linked, at)
        else:
            never = partition(people(without, at))
            known = set().union(*never)
            assert {group & known for group in partition(people(erased, at))} - {frozenset()} == never


HOUSE = by_hand.events(
    "ann~phone 2025-01-01 web login", "bob~phone 2025-01-02 web login", "cat~phone 2025-01-03 web login",
    "~phone 2025-01-04 web view",
)  # fmt: skip


def told(*lines: str) -> pd.DataFrame:
    """Return told links; a line is `day kind id_a id_b`."""
    names = ("known_time", "kind", "id_a", "id_b")
    rows = [dict(zip(names, line.split(), strict=True)) | {"source": "crm", "probability": None} for line in lines]
    return random_logs.told_table([row | {"known_time": time(row["known_time"])} for row in rows])


def test_whose_log_in_is_erased_owns_nothing_of_a_shared_device():
    rules = IdentityConfig(shared_devices="last_auth")
    log = read(HOUSE, told("2025-01-10 erase anonymous:phone customer:cat"), rules)
    for at, owner in (("2025-01-10", "customer:cat"), ("2025-01-11", "customer:bob")):
        identities = log.identities
        assert identities.person_ids[identities.persons(micro(time(at)))[-1]] == owner


@pytest.mark.parametrize("day", ["2025-01-09", "2025-01-10", "2025-01-11"])
@pytest.mark.parametrize("kind", ["alias", "linkage"])
def test_of_one_moment_the_erasure_counts_and_what_is_told_later_counts_again(kind, day):
    links = told(
        f"2025-01-05 {kind} anonymous:tablet customer:ann",
        "2025-01-10 erase anonymous:tablet customer:ann",
        f"{day} {kind} anonymous:tablet customer:ann",
        f"2025-01-20 {kind} anonymous:tablet customer:ann",
    )
    log = read(HOUSE, links, IdentityConfig())
    persons = [people(log, time(at))["anonymous:tablet"] for at in ("2025-01-15", "2025-01-21")]
    assert persons == ["customer:ann" if day == "2025-01-11" else "anonymous:tablet", "customer:ann"]


# --- the plain reference --------------------------------------------------------------------------------------------


def reached(name: str, neighbours: dict[str, set[str]]) -> frozenset[str]:
    """Return what can be reached from an id, breadth first."""
    found, border = {name}, [name]
    while border:
        border = [n for b in border for n in neighbours.get(b, ()) if n not in found]
        found.update(border)
    return frozenset(found)


def components(names: set[str], links: set[frozenset[str]]) -> dict[str, frozenset[str]]:
    """Return the component of each id."""
    neighbours: dict[str, set[str]] = {}
    for link in links:
        for name in link:
            neighbours.setdefault(name, set()).update(link)
    return {name: reached(name, neighbours) for name in names}


class Plain:
    """Who is who at a time, from all that was done and told."""

    def __init__(self, events: list[Row], told: list[Row], rules: IdentityConfig, at: pd.Timestamp):
        self.events, self.rules, self.at = events, rules, at
        self.erasures = [(frozenset((r["id_a"], r["id_b"])), r["known_time"]) for r in told if r["kind"] == "erase"]
        links = {frozenset(random_logs.ids(e)) for e in events if self.links(e)}
        aliases = [(frozenset((r["id_a"], r["id_b"])), r["known_time"]) for r in told if r["kind"] == "alias"]
        links |= {pair for pair, known in aliases if known < at and not self.is_erased(pair, since=known)}
        seen = [(name, when(e)) for e in events for name in random_logs.ids(e)]
        seen += [(row[end], row["known_time"]) for row in told for end in ("id_a", "id_b")]
        self.first = {name: min(t for n, t in seen if n == name) for name, _ in seen}
        self.family = self.families(links)

    def links(self, event: Row) -> bool:
        """Say whether an event links its two ids: known, not taken back, and not erased since it happened."""
        pair = random_logs.ids(event)
        holds = when(event) < self.at and not (event["superseded_time"] and event["superseded_time"] < self.at)
        return len(pair) == 2 and holds and not self.is_erased(frozenset(pair), since=event["event_time"])

    def is_erased(self, pair: frozenset[str], since: pd.Timestamp) -> bool:
        """Say whether a pair was erased from a moment on."""
        return any(p == pair and since <= erased < self.at for p, erased in self.erasures)

    def families(self, links: set[frozenset[str]]) -> dict[str, frozenset[str]]:
        """Return the ids of each id's person."""
        names = set(self.first)
        partners = {name: set().union(*(link - {name} for link in links if name in link)) for name in names}
        suspects = {n for n in names - customers(names) if len(partners[n]) > self.rules.max_persons_per_id}
        apart = self.joined(names, {link for link in links if not link & suspects})
        crowded = {s for s in suspects if len({apart[n] for n in partners[s]}) > self.rules.max_persons_per_id}
        return self.joined(names, {link for link in links if not link & crowded})

    def joined(self, names: set[str], links: set[frozenset[str]]) -> dict[str, frozenset[str]]:
        """Return the ids of each id's person under the rule for shared devices."""
        among_customers = {link for link in links if link <= customers(names)}
        customer = components(names, among_customers)
        links = links - among_customers
        among_devices = {link for link in links if not any(n.startswith(CUSTOMER) for n in link)}
        device = components(names, among_devices)
        logins = links - among_devices
        users = {
            group: {customer[n] for link in logins if link & group for n in link - group}
            for name, group in device.items()
            if name not in customers(names)
        }
        self.shared = set().union(*(group for group, them in users.items() if len(them) > 1))
        if self.rules.shared_devices != "none":
            logins = {link for link in logins if not link & self.shared}
        return components(names, among_customers | among_devices | logins)

    def person(self, name: str) -> str:
        """Return what an id's person is called."""
        return min(self.family[name], key=lambda n: (self.first[n], not n.startswith(CUSTOMER), n))

    def owner(self, place: int) -> str:
        """Return the person of the event at a place in the order of the log."""
        own, *_ = random_logs.ids(self.events[place])
        if self.rules.shared_devices == "last_auth" and own in self.shared:
            for event in reversed(self.events[:place]):
                who = random_logs.ids(event)
                if len(who) == 2 and who[1] == own and event["actor"] == "customer" and self.links(event):
                    return self.person(who[0])
        return self.person(own)


def customers(names: set[str]) -> set[str]:
    """Return the ids of customers."""
    return {n for n in names if n.startswith(CUSTOMER)}


def when(event: Row) -> pd.Timestamp:
    """Return from when on an event had happened and was known."""
    return max(event["event_time"], event["known_time"])


@given(log=random_logs.rows(), told=random_logs.told(), restated=random_logs.rows(8), rules=RULES)
def test_people_and_the_owners_of_events_equal_the_plain_reference(log, told, restated, rules):
    table = random_logs.restated(random_logs.table(log), len(log), restated)
    table = table.sort_values(["event_time", "sequence", "event_id", "known_time"])
    rows = [{k: None if v != v else v for k, v in row.items()} for row in table.to_dict("records")]
    links = random_logs.told_table(told)
    read_in = read(table, links, rules)
    for at in MOMENTS:
        plain = Plain(rows, links.to_dict("records"), rules, at)
        assert people(read_in, at) == {name: plain.person(name) for name in plain.first}
        owners = read_in.identities.person_ids[read_in.identities.persons(micro(at))]
        visible = [i for i, row in enumerate(rows) if when(row) < at]
        assert [owners[i] for i in visible] == [plain.owner(i) for i in visible]
