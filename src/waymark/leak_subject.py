"""What leakcheck looks at: the tables of a project, cut down to some of its persons with all that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from waymark.catalogue import Feature
from waymark.clock import TrainClock
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, SplitConfig, TargetsConfig
from waymark.eventlog import micro
from waymark.features import build_training_features, draw
from waymark.identity import index_identities
from waymark.ledger import ANONYMOUS, CUSTOMER
from waymark.persons import ever_linked
from waymark.tampering import World
from waymark.vocabulary import Vocabulary


@dataclass(frozen=True)
class Subject:
    """What is checked: the tables of a project, and the settings that they came from."""

    events: pd.DataFrame  # rows of `schema.EVENTS`
    links: pd.DataFrame  # rows of `schema.LINKS`
    features: pd.DataFrame  # rows of `schema.FEATURES`
    targets: pd.DataFrame  # rows of `schema.TARGETS`
    catalogue: Sequence[Feature]
    vocabulary: Vocabulary
    clock: TrainClock
    journey: JourneyConfig
    features_config: FeaturesConfig
    targets_config: TargetsConfig
    split: SplitConfig
    rules: IdentityConfig | None = None
    drawn: pd.Index | None = None  # the identifiers of those whom training drew; None: everybody's

    @property
    def world(self) -> World:
        """Events and links as they are."""
        return self.events, self.links

    @property
    def horizon(self) -> pd.Timedelta:
        """How far the targets look past a cut-off."""
        return pd.Timedelta(days=self.targets_config.horizon_days)

    def build(self, world: World, cutoff: pd.Timestamp) -> pd.DataFrame:
        """Build the features of `world` up to `cutoff` as training does, the events after it at hand."""
        rows, _, _ = build_training_features(
            *world,
            [cutoff],
            self.clock.as_of,
            self.journey,
            self.features_config,
            self.rules,
            self.vocabulary,
        )
        rows = rows[rows["cutoff_time"] <= cutoff]
        # Whom training drew is no knowledge of the cut-off's, and no other world draws anybody else.
        return rows if self.drawn is None else rows[rows["person_id"].isin(self.drawn)]


@dataclass(frozen=True)
class Sample:
    """Some persons of a project."""

    subject: Subject  # what belongs to them
    person: pd.Series  # a code of the person, by identifier
    is_whole: pd.Series  # bool, by code: nobody outside the sample can change who the person is

    def code(self, person_id: pd.Series) -> np.ndarray:
        """Return the person of each id, -1 for ids of nobody in the sample."""
        return self.person.reindex(person_id).fillna(-1).to_numpy(np.int64)

    def whole(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of persons that come out of the sample as they come out of the project."""
        return rows[self.is_whole.reindex(self.code(rows["person_id"]), fill_value=False).to_numpy(bool)]

    def part(self, kept: np.ndarray) -> World:
        """Return the events and links of the persons whose codes are `kept`."""
        events, links = self.subject.world
        return (
            events[np.isin(self.code(ids_of(events)), kept)],
            links[np.isin(self.code(links["id_a"]), kept)],
        )


def sample(subject: Subject, n_persons: int) -> Sample:
    """Keep `n_persons` that have a row, drawn by a hash of their first identifier, and all that belongs to them."""
    person = persons_of_ids(subject.events, subject.links, subject.rules)
    one, two = (person.reindex(subject.links[c]).to_numpy() for c in ("id_a", "id_b"))
    leads_out = person.isin(np.concatenate([one[one != two], two[one != two]]))
    described = person.isin(person.reindex(subject.features["person_id"]))
    first = person.index[described].to_series().groupby(person[described].to_numpy()).min()
    order = np.argsort(pd.util.hash_array(first.to_numpy(object)), kind="stable")
    person = person[person.isin(first.index[order[:n_persons]])]
    kept = {
        "events": subject.events[ids_of(subject.events).isin(person.index)],
        "links": subject.links[(one == two) & subject.links["id_a"].isin(person.index)],
        "features": subject.features[subject.features["person_id"].isin(person.index)],
        "targets": subject.targets[subject.targets["person_id"].isin(person.index)],
    }
    is_whole = ~leads_out[person.index].groupby(person).any()
    return Sample(replace(subject, **kept), person, is_whole)


def drawn_ids(
    events: pd.DataFrame, links: pd.DataFrame, rules: IdentityConfig | None, as_of: pd.Timestamp, n_halvings: int
) -> pd.Index | None:
    """Return the identifiers of those whom training drew when it looked, of whole persons; None where it drew all."""
    identities = index_identities(events, links, rules)
    is_drawn = draw(identities, n_halvings, micro(as_of))
    return None if is_drawn is None else pd.Index(identities.person_ids[is_drawn])


def persons_of_ids(events: pd.DataFrame, links: pd.DataFrame, rules: IdentityConfig | None = None) -> pd.Series:
    """Return a code for each identifier, indexed by identifier: those ever linked share it.

    The widest identity there is, hindsight included: nothing that is known of anybody else belongs to these persons.
    Only ids that are crowded in the end (`max_persons_per_id` of `rules`) stay alone: through them half the world
    would be one person.
    """
    identities = index_identities(events, links, rules)
    codes = ever_linked(identities, identities.rules.max_persons_per_id)
    return pd.Series(codes, index=pd.Index(identities.person_ids), dtype=np.int64)


def ids_of(events: pd.DataFrame) -> pd.Series:
    """Return the identifier that each event is told by: its customer's, else its device's."""
    return (CUSTOMER + events["customer_id"]).fillna(ANONYMOUS + events["anonymous_id"])


def halves(person: np.ndarray) -> np.ndarray:
    """Return a half for each person code, by its hash: codes follow names, and names may follow time."""
    return (pd.util.hash_array(np.asarray(person, np.int64)) & np.uint64(1)).astype(bool)
