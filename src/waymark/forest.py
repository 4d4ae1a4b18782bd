"""The trees of LightGBM as arrays, for the kernel that walks them once for many periods; and stretched."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from lightgbm import Booster

from waymark.errors import InputError


class Forest(NamedTuple):
    """Trees with one score. A node is numbered over all trees; a child below 0 is the leaf -(child + 1)."""

    roots: np.ndarray  # (n_trees,) int32
    feature: np.ndarray  # (n_nodes,) int32
    threshold: np.ndarray  # (n_nodes,) float64: values up to it go left
    kind: np.ndarray  # (n_nodes,) int8: bits as in `kernels.trees`
    left: np.ndarray  # (n_nodes,) int32
    right: np.ndarray  # (n_nodes,) int32
    leaf: np.ndarray  # (n_leaves,) float64
    first_bits: np.ndarray  # (n_nodes,) int32: of a split by categories, where in `bits` those that go left begin
    n_bits: np.ndarray  # (n_nodes,) int32: words of 32 categories each
    bits: np.ndarray  # uint32


_ZERO_IS_MISSING = 4


def plant(booster: Booster) -> Forest:
    """Return the trees of a model with one score.

    References
    ----------
    LightGBM 4.7, src/io/tree.cpp, Tree::ToString; include/LightGBM/tree.h, NumericalDecision and CategoricalDecision.
    """
    columns: dict[str, list[np.ndarray]] = {name: [] for name in Forest._fields}
    n_nodes = n_leaves = n_words = 0
    text = booster.model_to_string().partition("end of trees")[0]
    for tree in re.split(r"^Tree=\d+\n", text, flags=re.MULTILINE)[1:]:
        said = dict(line.split("=", 1) for line in tree.splitlines() if "=" in line)
        leaf = _read(said, "leaf_value", np.float64)
        columns["leaf"].append(leaf)
        if len(leaf) == 1:
            columns["roots"].append(np.array([-(n_leaves + 1)]))
            n_leaves += 1
            continue
        kind = _read(said, "decision_type", np.int64)
        if (kind & _ZERO_IS_MISSING).any():
            raise InputError("trees that take 0 for missing cannot be walked; drop the setting zero_as_missing")
        threshold, is_category = _read(said, "threshold", np.float64), (kind & 1).astype(bool)
        ends, words = _read(said, "cat_boundaries", np.int64), _read(said, "cat_threshold", np.int64)
        place = np.where(is_category, threshold, 0).astype(np.int64)
        ends = ends if len(ends) else np.zeros(2, np.int64)
        children = {side: _read(said, f"{side}_child", np.int64) for side in ("left", "right")}
        found = {
            "roots": np.array([n_nodes]),
            "feature": _read(said, "split_feature", np.int64),
            "threshold": threshold,
            "kind": kind,
            **{side: np.where(c >= 0, c + n_nodes, c - n_leaves) for side, c in children.items()},
            "first_bits": np.where(is_category, n_words + ends[place], 0),
            "n_bits": np.where(is_category, ends[np.minimum(place + 1, len(ends) - 1)] - ends[place], 0),
            "bits": words,
        }
        for name, values in found.items():
            columns[name].append(values)
        n_nodes, n_leaves, n_words = n_nodes + len(kind), n_leaves + len(leaf), n_words + len(words)
    types = {"threshold": np.float64, "leaf": np.float64, "kind": np.int8, "bits": np.uint32}
    return Forest(
        *(np.concatenate([np.empty(0), *parts]).astype(types.get(name, np.int32)) for name, parts in columns.items())
    )


def stretch(booster: Booster, slope: float) -> None:
    """Multiply what the trees of a model say by `slope`, in the trees themselves: all that reads them stays right."""
    if slope == 1:
        return
    leaves = booster.trees_to_dataframe()
    leaves = leaves[leaves["split_feature"].isna()]
    for tree, rows in leaves.groupby("tree_index"):
        names = rows["node_index"].str.extract(r"L(\d+)")[0].fillna("0").astype(int)
        for leaf, value in zip(names, rows["value"], strict=True):
            booster.set_leaf_output(int(tree), int(leaf), slope * value)


def _read(said: dict[str, str], name: str, kind: type) -> np.ndarray:
    return np.array(said.get(name, "").split(), dtype=kind)
