"""Write choices into params.yaml: `python src/run.py waymark.choose source=cdnow landing=/data/cdnow`."""

import json
import re
import sys
from pathlib import Path

import yaml

from waymark import tables
from waymark.config import CONF, PARAMS
from waymark.errors import InputError
from waymark.steps.config import compose_settings

SIMULATED = "data/landing/simulated"  # which a step makes
_PLAIN = re.compile(r"[\w/.]([\w/.:\\+-]*[\w/])?")  # what YAML reads as it stands
_QUOTED = r'"(?:[^"\\\n]|\\.)*"'


def choose(text: str, choices: list[str]) -> str:
    """Return params.yaml's `text` with each `key=value` of `choices` in place, comments kept.

    A landing folder is written as an absolute path, but for the one that a step makes: experiments run in copies
    elsewhere, which hold what git and DVC keep.
    """
    for choice in choices:
        key, separator, value = choice.partition("=")
        known = re.findall(r"^(\w+):", text, re.MULTILINE)
        if not separator or not value or key not in known:
            raise InputError(f"{choice!r} is not a choice; write key=value with a key of {', '.join(known)}")
        if key == "landing" and value != SIMULATED:
            value = str(Path(value).resolve())
        if key != "set" and not _PLAIN.fullmatch(value):
            value = json.dumps(value, ensure_ascii=False)
        line = re.compile(rf"^{key}: *({_QUOTED}|[^#\n]*?)(?P<comment> +#.*)?$", re.MULTILINE)
        text = line.sub(f"{key}: {value}".replace("\\", r"\\") + r"\g<comment>", text)
    return text


def main() -> None:
    """Change params.yaml in place, unless the choices do not fit conf/ or there is no such landing folder."""
    text = choose(PARAMS.read_text(encoding="utf-8"), sys.argv[1:])
    landing = yaml.safe_load(compose_settings(yaml.safe_load(text), CONF))["landing"]
    if landing != SIMULATED and not Path(landing).is_dir():
        raise InputError(f"the landing folder {landing} does not exist; set `landing` to the folder of delivered files")
    tables.write_text(text, PARAMS)


if __name__ == "__main__":
    main()
