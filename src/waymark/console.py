"""What a person sees while work goes on: a bar on a terminal, plain lines in a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def set_up_logging() -> None:
    """Send the log to standard error, one plain line a message."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


def progress(items: Iterable, what: str, total: int | None = None) -> Iterator:
    """Yield `items`, with a bar on a terminal and nothing where standard error is a file."""
    if sys.stderr.isatty():
        from tqdm import tqdm  # an eighth of a second, for nobody to see elsewhere

        items = tqdm(items, desc=what, total=total, leave=False, file=sys.stderr)
    yield from items


def cut(text: str, most: int = 60) -> str:
    """Return `text`, or of a longer one than `most` letters its beginning."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


@contextmanager
def timed(log: logging.Logger, what: str) -> Iterator[list[str]]:
    """Log `what`, what the body appended to the yielded list, and the seconds it took."""
    facts: list[str] = []
    start = time.perf_counter()
    yield facts
    log.info("%s: %s (%.1f s)", what, "; ".join(facts) or "done", time.perf_counter() - start)
