"""What leakcheck found, as a small table. Run as a command, it shows the last one and exits with 1 after an alarm."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from waymark import tables
from waymark.console import cut
from waymark.errors import InputError

OK, ALARM, NOT_JUDGED = "ok", "ALARM", "not judged"
_MAX_SHOWN = 12  # alarms of one check in the table
_MAX_DETAIL = 200  # letters; all of them are in reports/leakcheck.json


@dataclass(frozen=True)
class Finding:
    """What one check found of one feature, or that it found nothing."""

    check: str
    name: str  # the feature, or the column of the targets
    verdict: str  # OK, ALARM or NOT_JUDGED
    detail: str
    near: float = 0.0  # how near it came to an alarm: of several findings without one the nearest is shown


def once(found: Iterable[Finding], checks: Sequence[str]) -> list[Finding]:
    """Return each alarm once for its check and name, and of a check without one the nearest to it, as in `checks`."""
    kept: dict[tuple[str, str], Finding] = {}
    found = sorted(found, key=lambda f: -f.near)
    alarmed = {f.check for f in found if f.verdict == ALARM}
    judged = {f.check for f in found if f.verdict != NOT_JUDGED}
    for f in found:
        if f.verdict == ALARM:
            kept.setdefault((f.check, f.name), f)
        elif f.check not in alarmed and (f.verdict == OK or f.check not in judged):
            kept.setdefault((f.check, ""), f)
    return sorted(kept.values(), key=lambda f: checks.index(f.check))


def to_json(found: Sequence[Finding]) -> dict[str, Any]:
    """Return plain values for `tables.write_json`."""
    return {"n_alarms": sum(f.verdict == ALARM for f in found), "findings": [_plain(f) for f in found]}


def _plain(finding: Finding) -> dict[str, str]:
    return {"check": finding.check, "name": finding.name, "verdict": finding.verdict, "detail": finding.detail}


def as_text(found: dict[str, Any]) -> str:
    """Return what `to_json` returned as a small table."""
    lines, shown = [("check", "what", "verdict", "")], dict[str, int]()
    for f in found["findings"]:
        shown[f["check"]] = shown.get(f["check"], 0) + 1
        if shown[f["check"]] <= _MAX_SHOWN:
            lines.append((f["check"], cut(f["name"]), f["verdict"], cut(f["detail"], _MAX_DETAIL)))
    lines += [(c, f"and {n - _MAX_SHOWN} more", ALARM, "") for c, n in shown.items() if n > _MAX_SHOWN]
    width = [max(len(line[i]) for line in lines) for i in range(3)]
    return "\n".join("  ".join([*(t.ljust(w) for t, w in zip(line, width)), line[3]]).rstrip() for line in lines)


def stop_on_alarm(found: Sequence[Finding], fail: bool) -> None:
    """Raise `InputError` where an alarm shall stop the run."""
    names = [f"{cut(f.name)} ({f.check})" for f in found if f.verdict == ALARM]
    if fail and names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise InputError(f"leakcheck raised an alarm for {', '.join(names[:5])}{more}; reports/leakcheck.json says why")


if __name__ == "__main__":
    last = tables.read_json(tables.REPORTS / "leakcheck.json")
    sys.stdout.write(as_text(last) + "\n")
    sys.exit(1 if last["n_alarms"] else 0)
