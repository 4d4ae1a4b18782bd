"""LightGBM's trees as arrays that `kernels.shapley` reads: what each feature moved, of many classes at once.

LightGBM's own `pred_contrib` gives the same numbers at about ten times the cost, and holds no features for given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from lightgbm import Booster

from waymark.kernels.shapley import attribute, tabulate

_MOST_TABULATED = 8  # slots of a leaf: 2 ** 8 rows of 8 numbers


@dataclass(frozen=True)
class Attribution:
    """What each feature moves in trees, as the kernel takes it."""

    n_classes: int  # scores; two classes share one
    trees: tuple[np.ndarray, ...]
    tables: tuple[np.ndarray, ...]

    def attribute(
        self, x: np.ndarray, weight: np.ndarray, parts: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Say how far each feature moved the weighted sum of a row's scores.

        Parameters
        ----------
        x
            (n, n_features) float32, as the trees were grown on.
        weight
            (n, n_classes); a score of weight 0 costs nothing.
        parts
            What was moved before, to be added to in place; by default nothing.

        Returns
        -------
        parts : (n, n_features) float64
            With the weighted sum of `base`, a row adds up to the weighted sum of its scores.
        base : (n, n_classes) float64
            The scores of a row of which only the given features are known.
        """
        parts, base = np.zeros(x.shape) if parts is None else parts, np.zeros(weight.shape)
        if self.n_trees:
            attribute(x, self.trees, self.tables, np.ascontiguousarray(weight, float), parts, base)
        return parts, base

    @property
    def n_trees(self) -> int:
        """How many trees there are."""
        return len(self.trees[0]) - 1

    @property
    def average(self) -> np.ndarray:
        """The mean scores of the training rows, (n_classes,), where no feature is given."""
        leaf_starts, alone = self.trees[6], self.trees[8]
        per_tree = np.add.reduceat(alone, leaf_starts[:-1]) if self.n_trees else alone
        return np.array([per_tree[k :: self.n_classes].sum() for k in range(self.n_classes)])


Trees = list[dict[str, np.ndarray]]  # the fields of LightGBM's text, tree by tree


@lru_cache(maxsize=4)  # a night explains stretch after stretch by the same trees
def read_attribution(booster: Booster, given: tuple[int, ...] = ()) -> Attribution:
    """Return the trees of a model; the features at the positions `given` are known of every row."""
    return _prepare(_read(booster), booster.num_model_per_iteration(), given)


@lru_cache(maxsize=4)
def read_apart(booster: Booster, moving: tuple[int, ...], given: tuple[int, ...]) -> tuple[Attribution, Attribution]:
    """Return the trees of one score apart: those that ask for none of the features `moving`, and the others."""
    trees = _read(booster)
    asks = [bool(np.isin(tree.get("split_feature", ()), moving).any()) for tree in trees]
    still, others = ([tree for tree, does in zip(trees, asks, strict=True) if does == wanted] for wanted in (0, 1))
    return _prepare(still, 1, given), _prepare(others, 1, given)


def _read(booster: Booster) -> Trees:
    text = booster.model_to_string().partition("end of trees")[0]
    return [dict(_fields(block)) for block in text.split("\nTree=")[1:]]


def _prepare(trees: Trees, n_classes: int, given: Sequence[int]) -> Attribution:
    nodes, leaves = [_nodes(tree) for tree in trees], [list(_leaves(tree, frozenset(given))) for tree in trees]
    flat = [leaf for of_tree in leaves for leaf in of_tree]
    slots, steps = [leaf["slots"] for leaf in flat], [leaf["steps"] for leaf in flat]
    words = [w for of_tree in nodes for w in of_tree["words"]]
    value = np.array([leaf["value"] for leaf in flat], float)
    share = np.array([z for of_leaf in slots for _, z in of_leaf], float)
    slot_starts = _starts(slots)
    arrays = (
        _starts([of_tree["feature"] for of_tree in nodes]),
        np.concatenate([*(of_tree["feature"] for of_tree in nodes), np.zeros(0, np.int64)]),
        np.concatenate([*(of_tree["threshold"] for of_tree in nodes), np.zeros(0)]),
        np.concatenate([*(of_tree["kind"] for of_tree in nodes), np.zeros(0, np.int64)]),
        _starts(words),
        np.concatenate([*words, np.zeros(0, np.uint32)]),
        _starts(leaves),
        value,
        np.array([leaf["value"] * np.prod([z for _, z in leaf["slots"]]) for leaf in flat], float),
        slot_starts,
        np.array([f for of_leaf in slots for f, _ in of_leaf], np.int64),
        share,
        _starts(steps),
        np.array([node for of_leaf in steps for node, _, _ in of_leaf], np.int64),
        np.array([is_left for of_leaf in steps for _, is_left, _ in of_leaf], bool),
        np.array([slot for of_leaf in steps for _, _, slot in of_leaf], np.int64),
    )
    n = np.diff(slot_starts)
    sizes = np.where(n <= _MOST_TABULATED, n * 2 ** np.minimum(n, _MOST_TABULATED), 0)
    table_starts = np.append(0, np.cumsum(sizes))
    table = np.empty(table_starts[-1])
    tabulate(value, slot_starts, share, table_starts, table)
    return Attribution(n_classes, arrays, (table_starts, table))


def _fields(block: str) -> Iterator[tuple[str, np.ndarray]]:
    for line in block.splitlines()[1:]:
        name, is_field, values = line.partition("=")
        if is_field:
            yield name, np.array(values.split(), float)


def _nodes(tree: dict[str, np.ndarray]) -> dict[str, np.ndarray | list[np.ndarray]]:
    kind = tree.get("decision_type", np.zeros(0)).astype(np.int64)
    threshold = tree.get("threshold", np.zeros(0))
    bounds, bits = (tree.get(f"cat_{part}", np.zeros(0)) for part in ("boundaries", "threshold"))
    words = [np.zeros(0, np.uint32)] * len(kind)
    for i in np.flatnonzero(kind & 1):
        begin, end = bounds[int(threshold[i]) : int(threshold[i]) + 2].astype(int)
        words[i] = bits[begin:end].astype(np.uint32)
    feature = tree.get("split_feature", np.zeros(0)).astype(np.int64)
    return {"feature": feature, "threshold": threshold, "kind": kind, "words": words}


def _leaves(tree: dict[str, np.ndarray], given: frozenset[int]) -> Iterator[dict]:
    """Yield each leaf: its value, its slots as (feature, share), its steps as (node, is_left, slot)."""
    value = tree["leaf_value"]
    if len(value) == 1:
        yield {"value": value[0], "slots": [], "steps": []}
        return
    feature, child = tree["split_feature"].astype(int), [tree[f"{s}_child"].astype(int) for s in ("right", "left")]
    count = {**dict(enumerate(tree["internal_count"])), **{~i: n for i, n in enumerate(tree["leaf_count"])}}
    path: list[tuple[int, list[tuple[int, bool]]]] = [(0, [])]
    while path:
        node, way = path.pop()
        if node >= 0:
            path += [(int(child[left][node]), [*way, (node, bool(left))]) for left in (0, 1)]
            continue
        shares: dict[int, float] = {}
        for i, is_left in way:
            if feature[i] not in given:
                shares[feature[i]] = shares.get(feature[i], 1.0) * count[int(child[is_left][i])] / count[i]
        place = {f: j for j, f in enumerate(shares)}
        steps = [(i, is_left, place.get(feature[i], 63)) for i, is_left in way]
        yield {"value": value[~node], "slots": list(shares.items()), "steps": steps}


def _starts(parts: Sequence[Sequence]) -> np.ndarray:
    return np.append(0, np.cumsum([len(part) for part in parts])).astype(np.int64)
