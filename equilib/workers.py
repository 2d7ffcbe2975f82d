"""Threads that share the samples of a batch.

NumPy computes everything but matrix products in one thread. An operation on a big array is therefore divided here: one
contiguous share of the samples for each thread, whose products run in that thread. There are as many threads as NumPy's
BLAS uses, so whoever limits those limits these.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import copy_context
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from equilib.blas import thread_control

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Result = TypeVar("Result")

# To hand a share to another thread and to wait for it takes 0.1 ms: what NumPy needs for this many numbers.
_WORTHWHILE = 200_000

_pool: ThreadPoolExecutor | None = None


def by_shares(work: Callable[[int, int], Result], samples: int, *, numbers: int) -> list[Result]:
    """Call work(first, last) for contiguous shares of the samples at the same time; return the results in order.

    Parameters
    ----------
    work : callable
        Computes the samples first, ..., last − 1; it must not divide its own work.
    samples : int
    numbers : int
        How many numbers the whole work reads or writes: little work is not divided.
    """
    control = thread_control()
    threads = 1 if control is None or numbers < _WORTHWHILE else min(control.get(), samples)
    if control is None or threads < 2:
        return [work(0, samples)]
    edges = [samples * index // threads for index in range(threads + 1)]
    others: list[Future[Result]] = []
    before = control.get()
    control.set(1)
    try:
        for first, last in pairwise(edges[1:]):
            # The context holds NumPy's errstate.
            others.append(_executor().submit(copy_context().run, work, first, last))
        own = work(edges[0], edges[1])
    finally:
        for each in others:
            each.exception()  # waits
        control.set(before)
    return [own, *(each.result() for each in others)]


def _executor() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor  # deferred: small arrays need no threads

        _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="equilib")
    return _pool


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):  # a child process has the pool but none of its threads
    os.register_at_fork(after_in_child=_forget_pool)
