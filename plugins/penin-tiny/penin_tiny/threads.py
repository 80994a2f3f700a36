"""One BLAS thread while the model computes, whatever the rest of the process uses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

_LOCK = threading.Lock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Compute on one BLAS thread inside, and give the former number back afterwards.

    Matrices this small lose more to the hand-over between threads than they gain, and one thread
    makes the sums the same from run to run. The number of threads belongs to the whole process, so
    only one caller is let in at a time: two that overlap could not both restore it.
    """
    with _LOCK, _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
