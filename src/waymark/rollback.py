"""Go back to the champion before the present one.

    python src/run.py waymark.rollback churn

The next night scores with it, and does not promote the model that was taken back again.
"""

from __future__ import annotations

import sys

from waymark import champions, config, models, tracking
from waymark.errors import InputError


def main(arguments: list[str]) -> None:
    """Put the earlier champion of the target named on the command line in force, and say so."""
    if len(arguments) != 1:
        raise InputError(f"say which forecast, one of {', '.join(models.TARGETS)}: make rollback ARGS=churn")
    [target] = arguments
    last, before = champions.take_back(target)
    experiment = config.load(config.TrackingConfig, "tracking").experiment
    verdict = f"taken back by hand; {before.name} {before.version} is champion again"
    remarks = {
        tracking.restore_champion(experiment, target, before.version),
        tracking.record_decision(last.run_id, {target: {"verdict": verdict}}, "rollback.json"),
    }
    print(f"{target}: {last.name} {last.version} is {verdict}. `make repro` scores tonight with it.")
    for remark in sorted(remarks - {""}):
        print(remark)


if __name__ == "__main__":
    main(sys.argv[1:])
