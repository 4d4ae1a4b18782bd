"""What leakcheck looks at: the tables of a project, cut down to some of its persons with all that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from waymark import tampering
from waymark.catalogue import Feature
from waymark.clock import TrainClock
from waymark.config import FeaturesConfig, IdentityConfig, JourneyConfig, SplitConfig, TargetsConfig
from waymark.features import build_training_features
from waymark.identity import ANONYMOUS, CUSTOMER
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
    clock: TrainClock
    journey: JourneyConfig
    features_config: FeaturesConfig
    targets_config: TargetsConfig
    split: SplitConfig
    rules: IdentityConfig | None = None

    @property
    def horizon(self) -> pd.Timedelta:
        """How far the targets look past a cut-off."""
        return pd.Timedelta(days=self.targets_config.horizon_days)

    def build(
        self, world: World, cutoff: pd.Timestamp, vocabulary: Vocabulary | None = None
    ) -> tuple[pd.DataFrame, list[Feature], Vocabulary]:
        """Build the features of `world` up to `cutoff` as training does, the events after it at hand."""
        rows, catalogue, vocabulary = build_training_features(
            *world,
            [cutoff],
            self.clock.as_of,
            self.journey,
            self.features_config,
            self.rules,
            vocabulary,
        )
        return rows[rows["cutoff_time"] <= cutoff], catalogue, vocabulary


def persons_of_ids(events: pd.DataFrame, links: pd.DataFrame) -> pd.Series:
    """Return a code for each identifier, indexed by identifier: those ever linked, or carried by one event, share it.

    The widest identity there is, hindsight included: nothing that is known of anybody else belongs to these persons.
    """
    one = (ANONYMOUS + events["anonymous_id"]).where(events["customer_id"].notna())
    both = pd.DataFrame({"id_a": one, "id_b": CUSTOMER + events["customer_id"]}).dropna().drop_duplicates()
    pairs = pd.concat([both.astype(object), links[["id_a", "id_b"]].astype(object)])
    names = pd.Index(np.unique(np.concatenate([tampering.ids(events), pairs.to_numpy(object).ravel()]).astype(object)))
    a, b = names.get_indexer(pairs["id_a"]), names.get_indexer(pairs["id_b"])
    graph = coo_array((np.ones(len(pairs)), (a, b)), shape=(len(names), len(names)))
    return pd.Series(connected_components(graph, directed=False)[1], index=names)


def sample(subject: Subject, person: pd.Series, n_persons: int) -> tuple[Subject, pd.Series]:
    """Keep `n_persons` that have a row, drawn by a hash of their first identifier, and all that belongs to them."""
    described = person.isin(person.reindex(subject.features["person_id"]))
    first = person.index[described].to_series().groupby(person[described].to_numpy()).min()
    order = np.argsort(pd.util.hash_array(first.to_numpy(object)), kind="stable")
    person = person[person.isin(first.index[order[:n_persons]])]
    kept = {
        "events": subject.events[ids_of(subject.events).isin(person.index)],
        "links": subject.links[subject.links["id_a"].isin(person.index)],
        "features": subject.features[subject.features["person_id"].isin(person.index)],
        "targets": subject.targets[subject.targets["person_id"].isin(person.index)],
    }
    return Subject(**{**vars(subject), **kept}), person


def ids_of(events: pd.DataFrame) -> pd.Series:
    """Return the identifier that each event is told by: its customer's, else its device's."""
    return (CUSTOMER + events["customer_id"]).fillna(ANONYMOUS + events["anonymous_id"])


def halves(person: pd.Series) -> np.ndarray:
    """Return a half for each person code, by its hash: codes follow names, and names may follow time."""
    return (pd.util.hash_array(person.to_numpy(np.int64)) & np.uint64(1)).astype(bool)
