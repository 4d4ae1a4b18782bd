"""DVC step: the models against their baselines."""

import logging

from waymark import catalogue, config, digest, evaluation, models, tables
from waymark.console import timed
from waymark.on_disk import filled_from, places
from waymark.periods import Horizons

log = logging.getLogger(__name__)


def main() -> None:
    """Judge the models of both targets and write what was found."""
    with timed(log, "evaluate") as facts:
        cfg = config.load(config.EvaluateConfig, "evaluate")
        files = sorted((tables.FEATURES / "train").glob("*.parquet"))
        features, targets, fill = places(files, ["stage"]), tables.read(tables.TARGETS), filled_from(files)
        known = catalogue.from_json(tables.read_json(tables.FEATURES / "catalogue.json"))
        aims = config.load(config.TargetsConfig, "targets")
        horizons = Horizons(aims.horizon_days, tuple(aims.horizons_days))
        seed = config.value("seed")
        trained = {target: models.load(tables.MODELS / target) for target in models.TARGETS}
        evaluation.check_current(targets, trained)
        found = evaluation.evaluate(
            features,
            targets,
            known,
            trained,
            baselines=cfg.baselines,
            horizons=horizons,
            end_of_case=aims.end_of_case,
            n_bootstrap=cfg.n_bootstrap,
            interval=cfg.interval,
            n_bins=cfg.n_calibration_bins,
            n_explained=cfg.n_explained,
            seed=seed,
            fill=fill,
        )
        tables.write_json(found, tables.REPORTS / "evaluation.json")
        tables.write_json(digest.summary(found), tables.REPORTS / "metrics.json")
        with tables.new_folder(tables.MODELS / "baseline") as folder:
            best = evaluation.train_best_baselines(found, features, targets, known, horizons, seed, fill)
            for target, baseline in best.items():
                models.write(*baseline, folder / target)
        with tables.new_folder(tables.REPORTS / "plots") as folder:
            for name, text in digest.plots(found).items():
                tables.write_text(text, folder / name)
        facts.extend(f"{target}: {judged['verdict']}" for target, judged in found["targets"].items())
        facts.extend(f"{target} not modelled: {why}" for target, why in found["not_modelled"].items())


if __name__ == "__main__":
    main()
