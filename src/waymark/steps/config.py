"""Compose conf/ with the choices of params.yaml into resolved.yaml, and check it whole. The only use of Hydra."""

import logging
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from waymark import tables
from waymark.config import CONF, PARAMS, RESOLVED, Settings, check
from waymark.errors import InputError

log = logging.getLogger(__name__)


def main() -> None:
    """Write resolved.yaml."""
    text = compose_settings(yaml.safe_load(PARAMS.read_text(encoding="utf-8")), CONF)
    tables.write_text(text, RESOLVED)
    log.info("config: %s", RESOLVED)


def compose_settings(params: dict[str, Any], conf: Path) -> str:
    """Return the settings that `params` chooses from `conf`, defaults included, as YAML.

    Raises
    ------
    InputError
        Where a choice does not exist, or the settings do not fit together.
    """
    overrides = choices_to_overrides(params, conf)
    try:
        with initialize_config_dir(str(conf.resolve()), version_base=None):
            composed = compose("config", overrides=overrides)
        OmegaConf.resolve(composed)
        missing = OmegaConf.missing_keys(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(f"{PARAMS} and {conf}/ do not compose: {' '.join(str(error).split())[:400]}") from None
    except yaml.YAMLError as error:
        raise InputError(f"a file of {conf}/ is not YAML: {' '.join(str(error).split())[:300]}") from None
    if missing:
        raise InputError(f"{', '.join(sorted(missing))}: no value; set it in {conf}/")
    values = OmegaConf.to_container(composed)
    settings = check(Settings, {k: v for k, v in values.items() if k != "cutoff_time"}, f"{conf}/")
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def choices_to_overrides(params: dict[str, Any], conf: Path) -> list[str]:
    """Turn the choices of params.yaml into Hydra overrides; refuse names that are not among the choices."""
    groups = {d.name: sorted(f.stem for f in d.glob("*.yaml")) for d in sorted(conf.iterdir()) if d.is_dir()}
    known = {*groups, "landing", "cutoff_time", "seed", "set"}
    overrides = []
    for key, value in params.items():
        if key not in known:
            raise InputError(f"{PARAMS}: {key} is not a choice; there are {', '.join(sorted(known))}")
        if key in groups and value not in groups[key]:
            raise InputError(f"{PARAMS}: no {key} is called {value!r}; conf/{key}/ has {', '.join(groups[key])}")
        if key != "set":
            overrides.append(f"{key}={_quoted(value) if key not in groups else value}")
    for key, value in _flat(params.get("set") or {}):
        overrides.append(f"++{key}={_quoted(value)}")
    OverridesParser.create().parse_overrides(overrides)
    return overrides


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    out = []
    for key, value in tree.items():
        if isinstance(value, dict):
            out += _flat(value, f"{prefix}{key}.")
        else:
            out.append((f"{prefix}{key}", value))
    return out


def _quoted(value: Any) -> str:
    """Write a value as Hydra's override grammar reads it."""
    if isinstance(value, list):
        return "[" + ",".join(_quoted(v) for v in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


if __name__ == "__main__":
    main()
