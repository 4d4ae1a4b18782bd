"""Which code this is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from waymark import tables


def code_version() -> str:
    """Return a hash of every file of code in src/."""
    root = Path(__file__).parents[1]
    files = {file.relative_to(root).as_posix(): tables.sha256(file) for file in sorted(root.rglob("*.py"))}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
