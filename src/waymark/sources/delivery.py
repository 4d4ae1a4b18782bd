"""What was delivered for one mapping: its rows as mapped, those refused, and an account that adds up."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from waymark.config import FileLayout
from waymark.errors import InputError
from waymark.sources.cells import Mapped
from waymark.sources.readers import read_rows
from waymark.sources.rows import LEFT_OUT, Rows

Reject = tuple[str, int, str, str]  # file, line, rule, reason
COUNTS = ("delivered", "accepted", "duplicates", "rejected", "left_out")


@dataclass
class Delivery:
    """What has been read of one feed so far."""

    name: str
    feed: FileLayout
    tables: list[pa.Table] = field(default_factory=list)  # mapped rows, with the `file` that each came in
    rejects: list[Reject] = field(default_factory=list)
    delivered: Counter[str] = field(default_factory=Counter)  # rows of each file
    filled: set[str] = field(default_factory=set)  # mapped columns that held anything
    clocks: set[str] = field(default_factory=set)  # those of `CLOCKS` that told when a row was known
    columns: tuple[str, ...] = ()  # of the first rows, for messages

    def read(self, path: Path, file: str, map_rows: Callable[[Rows], Mapped]) -> Iterator[int]:
        """Read one file, which messages call `file`, and yield the number of rows read, some at a time.

        `map_rows` says what some rows of it mean.
        """
        for chunk in read_rows(path, file, self.feed):
            mapped = map_rows(chunk.rows)
            self.tables.append(mapped.rows.append_column("file", pa.repeat(file, mapped.rows.num_rows)))
            self.rejects += [(file, r.line, r.rule, r.reason) for r in (*chunk.unreadable, *mapped.refused)]
            self.delivered[file] += len(chunk.rows.lines) + len(chunk.unreadable)
            self.filled |= mapped.filled
            self.clocks |= mapped.clocks
            self.columns = self.columns or chunk.rows.column_names
            yield len(chunk.rows.lines)

    def drain(self) -> pa.Table | None:
        """Return the mapped rows of the files read since this was last asked, or None where there are none."""
        found, self.tables = self.tables, []
        return pa.concat_tables(found, promote_options="permissive") if found else None

    @property
    def never_filled(self) -> list[str]:
        """The mapped columns that no row filled."""
        return sorted(set(self.feed.mapped_columns()) - self.filled)


def check_share(
    delivery: Delivery, max_reject_share: float, counts: Mapping[str, int], rejects: Sequence[Reject]
) -> None:
    """Raise `InputError` where nothing of a feed was ever delivered, or too much of it breaks the contract.

    Parameters
    ----------
    delivery
        What has been read tonight.
    counts
        `COUNTS` of all that was ever delivered.
    rejects
        Rows that were ever refused, for examples.
    """
    name, n_delivered = delivery.name, counts["delivered"]
    if not n_delivered:
        raise InputError(f"feed {name}: {', '.join(sorted(delivery.delivered))} held no rows")
    n_broken, n_wanted = counts["rejected"] - counts["left_out"], n_delivered - counts["left_out"]
    if n_broken > max_reject_share * n_wanted:
        raise InputError(
            f"feed {name}: {n_broken:,} of {n_wanted:,} rows ({n_broken / n_wanted:.1%}) break the "
            f"contract, more than max_reject_share = {max_reject_share:g} allows: {_worst(delivery, rejects)}"
        )
    if n_broken == n_wanted:
        raise InputError(f"feed {name}: none of its {n_delivered:,} rows can be used: {_worst(delivery, rejects)}")


def _worst(delivery: Delivery, rejects: Sequence[Reject]) -> str:
    """Name the rules broken most, with an example each, and mapped columns that no row fills."""
    counts = Counter(rule for _, _, rule, _ in rejects)
    if set(counts) != {LEFT_OUT}:
        counts.pop(LEFT_OUT, None)
    first: dict[str, tuple[str, int, str]] = {}
    for file, line, rule, reason in sorted(rejects):
        first.setdefault(rule, (file, line, reason))
    worst = sorted(counts, key=lambda rule: (-counts[rule], rule))[:3]
    examples = [f"{counts[r]:,} times {r} (as in {first[r][0]}:{first[r][1]}: {first[r][2]})" for r in worst]
    if delivery.never_filled:
        there = _listed(delivery.columns)
        examples.append(f"no row fills the mapped column {', '.join(delivery.never_filled)}; there are {there}")
    return "; ".join(examples)


def _listed(names: Sequence[str], most: int = 40) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def total(accounts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Add up the accounts of files."""
    accounts = list(accounts)
    return {name: sum(a[name] for a in accounts) for name in COUNTS}
