"""DVC step: the models against their baselines."""

import logging

from waymark import config, digest, evaluation, models, tables
from waymark.console import timed
from waymark.how_judged import read_how

log = logging.getLogger(__name__)


def main() -> None:
    """Judge the models of both targets and write what was found."""
    with timed(log, "evaluate") as facts:
        cfg, aims = config.load(config.EvaluateConfig, "evaluate"), config.load(config.TargetsConfig, "targets")
        targets, how = tables.read(tables.TARGETS), read_how(cfg, aims, config.value("seed"))
        trained = {target: models.load(tables.MODELS / target) for target in models.TARGETS}
        evaluation.check_current(targets, trained)
        found = evaluation.evaluate(targets=targets, trained=trained, **how)
        tables.write_json(found, tables.REPORTS / "evaluation.json")
        tables.write_json(digest.summary(found), tables.REPORTS / "metrics.json")
        with tables.new_folder(tables.MODELS / "baseline") as folder:
            same = {name: how[name] for name in ("features", "catalogue", "horizons", "seed", "fill")}
            for target, baseline in evaluation.train_best_baselines(found, targets=targets, **same).items():
                models.write(*baseline, folder / target)
        with tables.new_folder(tables.REPORTS / "plots") as folder:
            for name, text in digest.plots(found).items():
                tables.write_text(text, folder / name)
        facts.extend(f"{target}: {judged['verdict']}" for target, judged in found["targets"].items())
        facts.extend(f"{target} not modelled: {why}" for target, why in found["not_modelled"].items())


if __name__ == "__main__":
    main()
