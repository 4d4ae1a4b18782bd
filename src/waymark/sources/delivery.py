"""What was delivered for one mapping: its rows as mapped, those refused, and an account that adds up."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from waymark import schema
from waymark.config import FileLayout
from waymark.errors import InputError
from waymark.sources.cells import Mapped
from waymark.sources.readers import read_rows
from waymark.sources.rows import LEFT_OUT, Refusal, Rows

COUNTS = ("delivered", "accepted", "duplicates", "rejected", "left_out")


@dataclass
class Delivery:
    """What has been read of one feed so far."""

    name: str
    feed: FileLayout
    tables: list[pa.Table] = field(default_factory=list)  # mapped rows, with the `file` that each came in
    rejects: list[tuple[str, int, str, str]] = field(default_factory=list)  # file, line, rule, reason
    delivered: Counter[str] = field(default_factory=Counter)  # rows of each file
    mapped: Counter[str] = field(default_factory=Counter)  # those of them that keep the contract
    filled: set[str] = field(default_factory=set)  # mapped columns that held anything
    clocks: set[str] = field(default_factory=set)  # those of `CLOCKS` that told when a row was known
    columns: tuple[str, ...] = ()  # of the first rows, for messages

    def read(self, path: Path, file: str, map_rows: Callable[[Rows], Mapped]) -> None:
        """Read one file, which messages call `file`; `map_rows` says what some rows of it mean."""
        for chunk in read_rows(path, file, self.feed):
            mapped = map_rows(chunk.rows)
            names = pa.array([file]).dictionary_encode().take(pa.array([0] * mapped.rows.num_rows, pa.int32()))
            self.tables.append(mapped.rows.append_column("file", names))
            self.rejects += [(file, r.line, r.rule, r.reason) for r in (*chunk.unreadable, *mapped.refused)]
            self.delivered[file] += len(chunk.rows.lines) + len(chunk.unreadable)
            self.mapped[file] += mapped.rows.num_rows
            self.filled |= mapped.filled
            self.clocks |= mapped.clocks
            self.columns = self.columns or chunk.rows.column_names

    def refuse(self, conflicts: Sequence[tuple[str, Refusal]]) -> None:
        """Refuse rows that were mapped, each with the file it came in."""
        self.rejects += [(file, r.line, r.rule, r.reason) for file, r in conflicts]
        self.mapped.subtract(file for file, _ in conflicts)

    def rows(self) -> pa.Table:
        """Return the mapped rows of all files read so far."""
        return pa.concat_tables(self.tables, promote_options="permissive")

    @property
    def never_filled(self) -> list[str]:
        """The mapped columns that no row filled."""
        return sorted(set(self.feed.mapped_columns()) - self.filled)

    def check(self, max_reject_share: float) -> None:
        """Raise `InputError` where nothing was delivered, or too much that breaks the contract."""
        n_delivered, n_left_out = self.delivered.total(), sum(rule == LEFT_OUT for _, _, rule, _ in self.rejects)
        if not n_delivered:
            raise InputError(f"feed {self.name}: {', '.join(sorted(self.delivered))} held no rows")
        n_broken, n_wanted = len(self.rejects) - n_left_out, n_delivered - n_left_out
        if n_broken > max_reject_share * n_wanted:
            raise InputError(
                f"feed {self.name}: {n_broken:,} of {n_wanted:,} rows ({n_broken / n_wanted:.1%}) break the "
                f"contract, more than max_reject_share = {max_reject_share:g} allows: {self._worst()}"
            )
        if n_broken == n_wanted:
            raise InputError(f"feed {self.name}: none of its {n_delivered:,} rows can be used: {self._worst()}")

    def _worst(self) -> str:
        """Name the rules broken most, with an example each, and mapped columns that no row fills."""
        counts = Counter(rule for _, _, rule, _ in self.rejects)
        if set(counts) != {LEFT_OUT}:
            counts.pop(LEFT_OUT, None)
        first: dict[str, tuple[str, int, str]] = {}
        for file, line, rule, reason in sorted(self.rejects):
            first.setdefault(rule, (file, line, reason))
        worst = sorted(counts, key=lambda rule: (-counts[rule], rule))[:3]
        examples = [f"{counts[r]:,} times {r} (as in {first[r][0]}:{first[r][1]}: {first[r][2]})" for r in worst]
        if self.never_filled:
            there = _listed(self.columns)
            examples.append(f"no row fills the mapped column {', '.join(self.never_filled)}; there are {there}")
        return "; ".join(examples)

    def account(self, kept: pd.DataFrame) -> list[dict[str, Any]]:
        """Account for each file's rows, of which `kept` are accepted.

        Raises
        ------
        RuntimeError
            A row got lost, which is a bug and never the delivery's fault.
        """
        accepted_of = kept["file"].value_counts()
        rejected = Counter(file for file, _, _, _ in self.rejects)
        left_out = Counter(file for file, _, rule, _ in self.rejects if rule == LEFT_OUT)
        accounts = []
        for file, n in sorted(self.delivered.items()):
            accepted = int(accepted_of.get(file, 0))
            counts = (n, accepted, self.mapped[file] - accepted, rejected[file], left_out[file])
            if n != self.mapped[file] + rejected[file]:
                raise RuntimeError(f"{file}: rows do not add up: {dict(zip(COUNTS, counts, strict=True))}")
            accounts.append({"feed": self.name, "file": file, **dict(zip(COUNTS, counts, strict=True))})
        return accounts


def _listed(names: Sequence[str], most: int = 40) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def total(accounts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Add up the accounts of files."""
    accounts = list(accounts)
    return {name: sum(a[name] for a in accounts) for name in COUNTS}


def rejects_of(deliveries: Iterable[Delivery]) -> pd.DataFrame:
    """Return the refused rows of all feeds as rows of `schema.REJECTS`, sorted by its key."""
    rejects = [(delivery.name, *reject) for delivery in deliveries for reject in delivery.rejects]
    refused = pd.DataFrame(rejects, columns=list(schema.REJECTS.columns)).astype({"line": "int64"})
    return refused.sort_values(list(schema.REJECTS.key), kind="stable", ignore_index=True)
