"""What every section of the settings is made of."""

import os
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

# Pydantic would look through all that is installed for plugins of its own, to build the first checks of a section.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

Name = str
Days = int


class Section(BaseModel):
    """A part of the settings. Immutable; knows its names and types, and nothing else."""

    # A step reads few sections: the checks of each are built when it is first read.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, defer_build=True)


def parse_time(value: Any) -> Any:
    """Return a time, or the text of one, in UTC; whatever else it is stays for others to refuse."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)  # OmegaConf writes dates back as strings
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value
