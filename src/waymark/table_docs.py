"""Write docs/tables.md from schema.py, whose comments say what the columns hold: `make docs`."""

import inspect
import re
from pathlib import Path

from waymark import schema, tables, tonight

PATHS = {
    "events": f"{tables.STORE}, read by `Store().events()`",
    "rejects": tables.REJECTS,
    "links": f"{tables.STORE}, read by `Store().links()`",
    "identifiers": tables.IDENTIFIERS,
    "person_changes": tables.PERSON_CHANGES,
    "journeys": tables.JOURNEYS,
    "features": f"{tables.FEATURES}/train/<night>.parquet",
    "tonight": tonight.PATH,
    "targets": tables.TARGETS,
    "predictions": tables.PREDICTIONS / "cutoff_date=YYYY-MM-DD" / "predictions.parquet",
    "reasons": tables.PREDICTIONS / "cutoff_date=YYYY-MM-DD" / "reasons.parquet",
    "baseline": tables.PREDICTIONS / "cutoff_date=YYYY-MM-DD" / "baseline.parquet",
    "realised": tables.REALISED,
}
FAMILIES = {
    "attr_": "a category that the mapping keeps",
    "num_": "a number that the mapping keeps",
    "f_": "a feature; data/features/catalogue.json says in words what it is, its group and its unit",
    "base_": "a time, level or mean that `f_` columns are worked out from; `waymark.tonight` does not show it",
    "by_": "by how much a group of features moved the log-odds, `by_<group>`; reason_groups.py names them",
    "p_silent_": "probability of silence within that many days, `p_silent_<h>d`",
    "p_next_": "probability that this stage comes next within the horizon, `p_next_<stage>`",
}


def render() -> str:
    """Return the page: one section a table, one line a column."""
    parts = ["# Tables\n", "Written by `make docs` from `src/waymark/schema.py`. Times are UTC, in microseconds.\n"]
    found = [t for t in vars(schema).values() if isinstance(t, schema.Table)]
    for table in found:
        key = ", ".join(table.key)
        parts.append(f"## {table.name}\n\nOne row is {table.grain}. Key: {key}. File: `{PATHS[table.name]}`.\n")
        words = _comments(table.name)
        lines = ["| column | type | null | what it holds |", "| --- | --- | --- | --- |"]
        for name, kind in table.columns.items():
            null = "yes" if table.is_nullable(name) else ""
            lines.append(f"| `{name}` | {kind} | {null} | {words.get(name, '')} |")
        lines += [f"| `{prefix}...` | {kind} | yes | {FAMILIES[prefix]} |" for prefix, kind in table.families.items()]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _comments(table: str) -> dict[str, str]:
    """Return the comments beside the columns of `table` in schema.py, or above those that have none beside them."""
    source = inspect.getsource(schema)
    shared = source[source.index("POINT = ") :].split("}", 1)[0]
    block = source[source.index(f'name="{table}"') :].split("\n)\n", 1)[0]
    words, above = dict[str, str](), list[str]()
    for line in (shared + block).splitlines():
        if comment := re.fullmatch(r" *# (.+)", line):
            above.append(comment[1])
            continue
        if column := re.fullmatch(r' *"(\w+)": (?:TIME|"\w+"),(?:  # (.+))?', line):
            words[column[1]] = column[2] or " ".join(above) or words.get(column[1], "")
        above.clear()
    return words


if __name__ == "__main__":
    tables.write_text(render(), Path("docs/tables.md"))
