"""Compose conf/ with the choices of params.yaml into resolved.yaml, and check it whole. The only use of Hydra."""

import logging
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from waymark import models, tables
from waymark.config import CONF, PARAMS, RESOLVED, Settings, check
from waymark.errors import InputError

log = logging.getLogger(__name__)


def main() -> None:
    """Write resolved.yaml."""
    try:
        params = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(f"{PARAMS} is not YAML: {_in_one_line(error)}") from None
    text = compose_settings(params, CONF)
    tables.write_text(text, RESOLVED)
    log.info("config: %s", RESOLVED)


def compose_settings(params: dict[str, Any], conf: Path) -> str:
    """Return the settings that `params` chooses from `conf`, defaults included, as YAML.

    Raises
    ------
    InputError
        Where a choice does not exist, or the settings do not fit together.
    """
    files, values = split_choices(params, conf)
    try:
        with initialize_config_dir(str(conf.resolve()), version_base=None):
            composed = compose("config", overrides=[f"{group}={name}" for group, name in files.items()])
        OmegaConf.set_struct(composed, False)
        composed.merge_with(values)
        OmegaConf.resolve(composed)
        missing = OmegaConf.missing_keys(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(f"{PARAMS} and {conf}/ do not compose: {_in_one_line(error)}") from None
    except yaml.YAMLError as error:
        raise InputError(f"a file of {conf}/ is not YAML: {_in_one_line(error)}") from None
    if missing:
        raise InputError(f"{', '.join(sorted(missing))}: no value; set it in {conf}/")
    values = OmegaConf.to_container(composed)
    settings = check(Settings, {k: v for k, v in values.items() if k != "cutoff_time"}, f"{conf}/")
    _check_models(settings)
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def _check_models(settings: Settings) -> None:
    """Refuse what no model can be made of now, not when the data have been read."""
    for target in models.TARGETS:
        estimator = settings.model.of(target)
        models.make(estimator.name, estimator.settings, [], settings.seed, target=target)
        for name in settings.evaluate.baselines.get(target, ()):
            models.make(name, {}, [], settings.seed, target=target)


def split_choices(params: dict[str, Any], conf: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the chosen file of each group and the single values that win over them; refuse what is no choice."""
    if not isinstance(params, dict):
        raise InputError(f"{PARAMS} does not hold choices such as `source: simulated`")
    groups = {d.name: sorted(f.stem for f in d.glob("*.yaml")) for d in sorted(conf.iterdir()) if d.is_dir()}
    known = {*groups, "landing", "cutoff_time", "seed", "set"}
    for key, value in params.items():
        if key not in known:
            raise InputError(f"{PARAMS}: {key} is not a choice; there are {', '.join(sorted(known))}")
        if key in groups and value not in groups[key]:
            raise InputError(f"{PARAMS}: no {key} is called {value!r}; conf/{key}/ has {', '.join(groups[key])}")
    single = params.get("set") or {}
    if not isinstance(single, dict):
        raise InputError(f"{PARAMS}: set is {single!r}; write for example {{targets: {{horizon_days: 14}}}}")
    chosen = {k: v for k, v in params.items() if k in ("landing", "cutoff_time", "seed")}
    return {k: v for k, v in params.items() if k in groups}, _plain(chosen | single)


def _plain(value: Any) -> Any:
    """Return a value of YAML with its dates as text: OmegaConf knows no dates."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value.isoformat() if isinstance(value, date) else value


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


if __name__ == "__main__":
    main()
