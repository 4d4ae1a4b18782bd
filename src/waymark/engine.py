"""Where the work of the buckets runs: threads of this process, or workers of Dask.

Both call the same function with one item after another, on the same files, and hand back what it returns in the order
of the items, so that the result is the same.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_all_start_methods
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa

from waymark.code import code_version
from waymark.config import EngineConfig, load
from waymark.errors import InputError

Item, Result = TypeVar("Item"), TypeVar("Result")

ANSWER_SECONDS = 10  # within which a scheduler answers
START_SECONDS = 120  # within which there is a worker
_TRIM, _MAP = -1, -3  # of glibc: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
_AHEAD = 4  # items that wait for each thread of a worker: never idle, and few results that wait to be asked for
_SETTINGS = {
    # A worker that works is not looked after many times a second: that took a tenth of its time.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "2s",
    "distributed.admin.tick.limit": "1h",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.scheduler.http.routes": [],  # no dashboard
    "distributed.worker.http.routes": [],
    "distributed.admin.large-graph-warning-threshold": "1GB",  # training points of a bucket are sent along
    "distributed.worker.multiprocessing-method": "forkserver" if "forkserver" in get_all_start_methods() else "spawn",
    # Without Dask's own threshold for giving memory back, which has each array of a bucket cleared by the system anew.
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1},
}
# Imported once for all workers of this machine. Nothing of ours: it has to come from this folder.
_PRELOADED = ["distributed", "pandas", "pyarrow.parquet", "numba", "pydantic", "yaml"]


class Engine(Protocol):
    """Something that calls functions."""

    def over(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield what `work` returns for each of `items`, in their order.

        `work` is a function of a module, or a `functools.partial` of one: workers elsewhere import it by its name.
        """

    def few(self) -> Engine:
        """Return what is to do little work for each item."""


@contextmanager
def chosen() -> Iterator[Engine]:
    """Start the engine that resolved.yaml names, for as long as the block runs.

    No step that walks buckets depends on it, for DVC: no result does.
    """
    with started(load(EngineConfig, "engine")) as engine:
        yield engine


@contextmanager
def started(settings: EngineConfig) -> Iterator[Engine]:
    """Start an engine for as long as the block runs; see `chosen`."""
    if settings.kind == "local":
        _keep_memory()
        yield Threads(settings.workers or os.cpu_count() or 1)
        _give_back()
    else:
        with _client(settings) as client:
            yield Workers(client, settings.address or "of this machine")


@functools.cache
def _keep_memory() -> None:
    """Have glibc use memory again that arrays of a bucket gave back: the system would have to clear it anew.

    Arrow has an allocator of its own, which gives much back at once, too.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_MAP, 32 << 20)  # bytes: what is larger goes back to the system at once
        tune(_TRIM, 256 << 20)  # bytes that may lie unused


def _give_back() -> None:
    """Have glibc give back what lies unused: the next step of this process begins with little."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Threads:
    """Threads of this process."""

    def __init__(self, n: int = 1) -> None:
        """Use up to `n` at a time."""
        self._n = n

    def over(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """See `Engine`."""
        with ThreadPoolExecutor(self._n) as pool:
            yield from pool.map(work, items)

    def few(self) -> Threads:
        """See `Engine`: one thread, as several wait for Python's lock, and for the system, more than they work."""
        return Threads(1)


class Workers:
    """Workers of Dask."""

    def __init__(self, client: Any, where: str) -> None:
        """Use those that a client of Dask knows."""
        self.client, self.where = client, where

    def over(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """See `Engine`.

        What a worker did not finish that died, another one does anew.
        """
        # Sent once, and kept by each worker; were it lost with one of them, the scheduler would still know it.
        job = self.client.submit(_Job, work, code_version(), pure=False)
        waiting = deque()
        for item in items:
            waiting.append(self.client.submit(_do, job, item, pure=False))
            if len(waiting) >= _AHEAD * max(sum(self.client.nthreads().values()), 1):
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    def few(self) -> Workers:
        """See `Engine`: processes wait for nobody."""
        return self

    def _result(self, future: Any) -> Any:
        from dask.distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker as error:
            raise InputError(
                f"engine: workers {self.where} died again and again over one bucket, the last one "
                f"{error.last_worker.address}; most often it needs more memory than they have"
            ) from None
        except (ModuleNotFoundError, AttributeError) as error:
            if "waymark" not in str(error):
                raise
            raise InputError(
                f"engine: workers {self.where} do not have the code of this folder ({error}); start them in it, "
                "with PYTHONPATH=src"
            ) from None


class _Job(NamedTuple):
    """A function, and the code that it is of."""

    work: Callable[[Any], Any]
    code: str


def _do(job: _Job, item: Any) -> Any:
    """Call the function of a job, in a worker."""
    if job.code != _code_here():
        raise InputError("engine: a worker runs other code than this folder holds; start the workers of Dask anew")
    _keep_memory()
    return job.work(item)


@functools.cache
def _code_here() -> str:
    """Return the version of the code that this process has imported: it stays as it was first seen."""
    return code_version()


@contextmanager
def _client(settings: EngineConfig) -> Iterator[Any]:
    """Connect to the scheduler that the settings name, or start workers on this machine.

    Raises
    ------
    InputError
        Dask is not installed, no scheduler answers, or it has no workers.
    """
    try:
        import dask
        from dask.distributed import Client, LocalCluster
        from distributed.utils import get_mp_context
    except ImportError:
        raise InputError("engine: dask needs Dask, an extra: `make setup-dask` adds it") from None
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_SETTINGS))
        logging.getLogger("distributed").setLevel(logging.WARNING)
        if settings.address:
            try:
                client = stack.enter_context(Client(settings.address, timeout=ANSWER_SECONDS))
            except OSError as error:
                raise InputError(f"engine.address: no scheduler of Dask answers at {settings.address}") from error
            try:
                client.wait_for_workers(1, timeout=START_SECONDS)
            except TimeoutError:
                raise InputError(f"engine.address: the scheduler at {settings.address} has no workers") from None
        else:
            method = get_mp_context()
            if method.get_start_method() == "forkserver":
                method.set_forkserver_preload(_PRELOADED)
            n = settings.workers or os.cpu_count() or 1
            cluster = LocalCluster(
                n_workers=n, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit=0
            )
            client = stack.enter_context(Client(stack.enter_context(cluster)))
        yield client
