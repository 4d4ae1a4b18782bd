"""Puts the trained models in force in a project, whatever promotion said: what is measured is what they cost."""

from __future__ import annotations

from dataclasses import replace

from waymark import champions, models, tables


def main() -> None:
    """Let the candidate of each target reign."""
    for target in models.TARGETS:
        found, card = champions.read(target), tables.read_json(tables.MODELS / target / "model.json")
        named = {key: card[key] for key in ("version", "name", "trained_until")}
        reign = replace(found.present, role="candidate", **named)
        champions.settle(target, found, reign, tables.MODELS / target, keep=1)


if __name__ == "__main__":
    main()
