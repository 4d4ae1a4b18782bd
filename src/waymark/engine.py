"""Where the work of the buckets runs: threads of this process, or workers of Dask. The only import of Dask.

Both call the same function with one bucket after another, on the same files, and hand back what it returns in the order
of the buckets, so that the result is the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from waymark.config import EngineConfig, load
from waymark.errors import InputError

Item, Result = TypeVar("Item"), TypeVar("Result")


def chosen() -> EngineConfig:
    """Return the engine that resolved.yaml names. No step depends on it, for DVC: no result does."""
    return load(EngineConfig, "engine")


def over(settings: EngineConfig, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield what `work` returns for each of `items`, in their order.

    Parameters
    ----------
    settings
        Which engine, and how many workers.
    work
        A function of a module (or a `functools.partial` of one): workers elsewhere import it by its name.
    """
    if settings.kind == "local":
        with ThreadPoolExecutor(settings.workers or os.cpu_count()) as pool:
            yield from pool.map(work, items)
    else:
        with dask_client(settings) as client:
            # A bucket of a worker that dies is done anew by another one.
            futures = client.map(work, list(items), pure=False, retries=2)
            for future in futures:
                yield future.result()
                future.release()


@contextmanager
def dask_client(settings: EngineConfig) -> Iterator[Any]:
    """Connect to the scheduler that the settings name, or start workers on this machine for as long as they are needed.

    Raises
    ------
    InputError
        Dask is not installed, or no scheduler answers.
    """
    try:
        import dask
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise InputError("engine=dask needs Dask, an extra: `make setup-dask` adds it") from None
    source = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    # Nothing but the work: no dashboard, and no version check of the world outside.
    dask.config.set({"distributed.admin.log-format": "%(message)s", "distributed.worker.daemon": False})
    if settings.address:
        try:
            client = Client(settings.address, timeout=10)
        except OSError as error:
            raise InputError(f"engine.address {settings.address}: no scheduler of Dask answers ({error})") from None
        with client:
            yield client
    else:
        with (
            LocalCluster(
                n_workers=settings.workers or os.cpu_count(),
                threads_per_worker=1,
                dashboard_address=None,
                host="127.0.0.1",
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
