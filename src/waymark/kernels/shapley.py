"""How far each feature moved what trees say of a row: Shapley values of LightGBM's trees, at a tenth of its own cost.

The trees come as a plain tuple of `waymark.attribution.Attribution`, all trees one after another. Tree t has the nodes
`node_starts[t] <= i < node_starts[t + 1]`, and leaves likewise. A node sends a row to the left by its `feature`,
`threshold` and `kind` (LightGBM's decision type), or where the row's category is in the bits
`words[word_starts[i]:word_starts[i + 1]]`. A leaf is reached where each of its steps `step_starts[l] <= e <
step_starts[l + 1]` holds: at `node[e]` (counted within the tree) the row goes `is_left[e]`. The steps by one feature
are one slot, `slot[e]` (counted within the leaf); 63 is for features that are given, not explained. `share` is the
share of training rows that hold the steps of a slot, among those that got to them; `alone` is the leaf's value times
all of these.
"""

import numpy as np

from waymark.kernels.jit import jit

_BLOCK = 64  # rows: they and their sums stay in the cache while all trees pass
_CATEGORY, _LEFT_IF_MISSING, _MISSING_IS_NAN = 1, 2, 2


@jit
def moves(value, share, held, out):
    """Write how far each slot of a leaf moves the expected value of what the leaf gives, to `out`, (n_slots,).

    `held` has a bit a slot: whether the row holds its steps.

    References
    ----------
    Lundberg, Erion, Lee (2018), Consistent individualized feature attribution for tree ensembles, equation 2, for one
    leaf: of every set of the other slots the row decides, and of the rest the training rows.
    """
    n = len(share)
    by_size = np.empty(n)
    for j in range(n):
        by_size[:] = 0.0
        by_size[0] = 1.0
        degree = 0
        for i in range(n):
            if i == j:
                continue
            degree += 1
            holds = float((held >> i) & 1)
            for size in range(degree, 0, -1):
                by_size[size] = by_size[size] * share[i] + by_size[size - 1] * holds
            by_size[0] *= share[i]
        total, weight = 0.0, 1.0 / n
        for size in range(n):
            total += by_size[size] * weight
            weight *= (size + 1) / max(n - 1 - size, 1)
        out[j] = value * (((held >> j) & 1) - share[j]) * total


@jit
def tabulate(value, slot_starts, share, table_starts, table):
    """Fill in what `moves` says of each leaf, for all that a row may hold: `table` of leaf l is (2 ** n, n) numbers.

    A leaf whose part of the table is empty has too many slots for one.
    """
    for leaf in range(len(value)):
        first, n = slot_starts[leaf], slot_starts[leaf + 1] - slot_starts[leaf]
        begin = table_starts[leaf]
        if table_starts[leaf + 1] > begin:
            for held in range(1 << n):
                moves(value[leaf], share[first : first + n], held, table[begin + held * n : begin + (held + 1) * n])


@jit
def decide(x, threshold, kind, words, out):
    """Say of each value whether a node sends it to the left; of a category it holds the codes in the bits `words`."""
    if kind & _CATEGORY:
        for r in range(len(x)):
            code = np.int64(x[r]) if x[r] >= 0 else np.int64(-1)  # missing ones too
            is_known = code >= 0 and code >> 5 < len(words)
            out[r] = is_known and ((words[code >> 5] >> np.uint32(code & 31)) & np.uint32(1)) == 1
    elif (kind >> 2) & 3 != _MISSING_IS_NAN:
        for r in range(len(x)):
            out[r] = (0.0 if x[r] != x[r] else x[r]) <= threshold
    elif kind & _LEFT_IF_MISSING:
        for r in range(len(x)):
            out[r] = not x[r] > threshold
    else:
        for r in range(len(x)):
            out[r] = x[r] <= threshold


@jit
def attribute(x, trees, tables, weight, out, base):
    """Add to `out` how far each feature moved the scores of each row, and to `base` from where.

    Parameters
    ----------
    x
        (n, n_features) float32.
    weight
        (n, n_classes) float64: how much a score counts. Tree t adds to the score of class t modulo n_classes.
    out
        (n, n_features) float64.
    base
        (n, n_classes) float64: what the trees say of a row of which only the given features are known.
    """
    node_starts, feature, threshold, kind, word_starts, words, leaf_starts, value, alone = trees[:9]
    slot_starts, slot_feature, share, step_starts, node, is_left, slot = trees[9:]
    table_starts, table = tables
    n_classes, n_features = weight.shape[1], x.shape[1]
    left = np.empty((max(np.max(np.diff(node_starts)), 1), _BLOCK), np.bool_)
    missed = np.empty(_BLOCK, np.int64)
    counts = np.empty(_BLOCK)
    found = np.empty(64)
    # Features down, rows across: the loops over the rows of a block go through neighbours.
    columns, sums = np.empty((n_features, _BLOCK), np.float32), np.empty((n_features, _BLOCK))
    for begin in range(0, len(x), _BLOCK):
        m = min(_BLOCK, len(x) - begin)
        sums[:] = 0.0
        for r in range(m):
            for f in range(n_features):
                columns[f, r] = x[begin + r, f]
        for t in range(len(node_starts) - 1):
            k = t % n_classes
            for b in range(node_starts[t + 1] - node_starts[t]):
                i = node_starts[t] + b
                own = words[word_starts[i] : word_starts[i + 1]]
                decide(columns[feature[i], :m], threshold[i], kind[i], own, left[b])
            for leaf in range(leaf_starts[t], leaf_starts[t + 1]):
                first, n = slot_starts[leaf], slot_starts[leaf + 1] - slot_starts[leaf]
                missed[:m] = 0
                for e in range(step_starts[leaf], step_starts[leaf + 1]):
                    went, wanted, bit = left[node[e]], is_left[e], slot[e]
                    for r in range(m):
                        missed[r] |= np.int64(went[r] != wanted) << bit
                everything = (np.int64(1) << n) - 1
                for r in range(m):
                    # The sign bit is that of what is given: such a row cannot get here.
                    counts[r] = weight[begin + r, k] if missed[r] >= 0 else 0.0
                    base[begin + r, k] += alone[leaf] if missed[r] >= 0 else 0.0
                    missed[r] = everything & ~missed[r]
                if table_starts[leaf + 1] > table_starts[leaf]:
                    for j in range(n):
                        sum_of, place = sums[slot_feature[first + j]], table_starts[leaf] + j
                        for r in range(m):
                            sum_of[r] += counts[r] * table[place + missed[r] * n]
                else:
                    for r in range(m):
                        moves(value[leaf], share[first : first + n], missed[r], found[:n])
                        for j in range(n):
                            sums[slot_feature[first + j], r] += counts[r] * found[j]
        for r in range(m):
            for f in range(n_features):
                out[begin + r, f] += sums[f, r]
