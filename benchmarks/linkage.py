"""How well linkage finds the persons of labelled public records: docs/linkage.md.

`make benchmark-linkage` prints one row a data set. WAYMARK_LOGS names the folder that holds them, one folder a source;
a data set that is not there is left out. All share every setting but which column holds what.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from waymark.config import LinkageConfig
from waymark.errors import InputError
from waymark.linkage import link_records


class Labelled(NamedTuple):
    """Records whose persons are known: files below the folder of logs, two columns, and what is compared."""

    files: tuple[str, ...]
    id: str
    person: str
    columns: dict[str, str]


# The insurance number is left out: with it there would be nothing to show.
FEBRL = {
    **{"given_name": "name", "surname": "name", "date_of_birth": "date", "street_number": "exact"},
    **{"address_1": "name", "address_2": "name", "suburb": "name", "postcode": "postcode", "state": "exact"},
}
FAKE = {"first_name": "name", "surname": "name", "dob": "date", "city": "name", "email": "email"}
DATA_SETS = {
    "febrl dataset3": Labelled(("febrl/dataset3.parquet",), "rec_id", "true_entity", FEBRL),
    "febrl dataset4a + 4b": Labelled(
        ("febrl/dataset4a.parquet", "febrl/dataset4b.parquet"), "rec_id", "true_entity", FEBRL
    ),
    "splink fake_1000": Labelled(("splink_identity/fake_1000.parquet",), "unique_id", "cluster", FAKE),
}


def measure(folder: Path, data: Labelled) -> dict[str, Any]:
    """Return pairwise precision, recall and F1 of the links, and of the persons that they join records into."""
    records = pd.concat([pd.read_parquet(folder / file) for file in data.files], ignore_index=True)
    settings = LinkageConfig(
        records=data.files[0],
        id=data.id,
        delivered_time="2025-01-01",
        learn_until="2025-01-02",
        columns=data.columns,
    )
    start = time.perf_counter()
    links = link_records(records, settings)
    seconds = time.perf_counter() - start
    place = pd.Series(np.arange(len(records)), index="customer:" + records[data.id].astype("str"))
    a, b = place[links["id_a"]].to_numpy(), place[links["id_b"]].to_numpy()
    truth = records[data.person].to_numpy()
    n_true = _n_pairs(pd.Series(truth))
    n_right = int((truth[a] == truth[b]).sum())
    _, joined = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(len(records),) * 2), directed=False)
    both = pd.DataFrame({"joined": joined, "truth": truth})
    found = {"n_records": len(records), "n_true_pairs": n_true, "n_links": len(links)}
    found |= _scores("", n_right, len(links), n_true)
    found |= _scores("persons_", _n_pairs(both.apply(tuple, axis=1)), _n_pairs(both["joined"]), n_true)
    return found | {"seconds": seconds}


def _n_pairs(labels: pd.Series) -> int:
    n = labels.value_counts().to_numpy()
    return int((n * (n - 1)).sum()) // 2


def _scores(prefix: str, n_right: int, n_found: int, n_true: int) -> dict[str, float]:
    return {
        f"{prefix}precision": n_right / n_found,
        f"{prefix}recall": n_right / n_true,
        f"{prefix}f1": 2 * n_right / (n_found + n_true),
    }


def measure_all(folder: Path) -> pd.DataFrame:
    """Return one row a data set that is below `folder`."""
    there = {name: data for name, data in DATA_SETS.items() if all((folder / file).is_file() for file in data.files)}
    if not there:
        wanted = ", ".join(data.files[0] for data in DATA_SETS.values())
        raise InputError(f"WAYMARK_LOGS names the folder of logs, and {folder} holds none of {wanted}")
    return pd.DataFrame([{"records": name, **measure(folder, data)} for name, data in there.items()])


if __name__ == "__main__":
    try:
        table = measure_all(Path(os.environ.get("WAYMARK_LOGS", ".")))
    except InputError as error:
        sys.exit(f"waymark: {error}")
    print(table.to_string(index=False, float_format="%.4f"))
