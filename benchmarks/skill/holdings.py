"""Which logs are asked what they hold: those of every protocol with a goal that was missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from skill.ceilings import Labels, Question, explore
from skill.protocols import POINTS, PROTOCOLS
from skill.purchases import WATCHED
from skill.waits import Waits


@dataclass(frozen=True)
class Holding:
    """A log whose limits are looked for, by the rows of one protocol."""

    protocol: str
    asked: Callable[[Path], Question]  # given the folder of logs

    @property
    def title(self) -> str:
        """That of the protocol."""
        return PROTOCOLS[self.protocol].title

    def run(self, logs: Path) -> dict[str, Any]:
        """Look for them."""
        return explore(self.asked(logs))


def _of(name: str, target: str, known_days: float | None = None) -> Holding:
    return Holding(name, lambda logs: Labels(POINTS[name](logs), target, known_days))


NEXT_STAGE = ("helpdesk", "helpdesk_end", "bpi_12_w_end", "bpi_12_w_other", "bpic2012")
CHURN = ("retail_90", "retail_30_a", "retail_30_b", "complete_journey")
WAITS = {"helpdesk_wait": "tax2017_helpdesk", "bpi_12_w_wait": "tax2017_bpi_12_w"}
HOLDINGS: dict[str, Holding] = {
    f"holds_{holding.protocol}": holding
    for holding in (
        *(_of(name, "churn") for name in CHURN),
        _of("cdnow", "churn", WATCHED),
        *(Holding(name, partial(Waits, source=source)) for name, source in WAITS.items()),
        *(_of(name, "next_stage") for name in NEXT_STAGE),
    )
}
