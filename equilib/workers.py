"""Threads that share the samples of a batch.

NumPy computes everything but matrix products in one thread. An operation on a big array is therefore divided here: one
contiguous share of the samples for each thread, whose products run in that thread. There are as many threads as NumPy's
BLAS uses, so whoever limits those limits these.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from equilib.blas import thread_control

Result = TypeVar("Result")

# To hand a share to another thread and to wait for it takes 0.1 ms: what NumPy needs for this many numbers.
_WORTHWHILE = 200_000

_tasks: SimpleQueue[_Task] = SimpleQueue()
_threads: list[threading.Thread] = []


class _Task(NamedTuple):
    """A share to be computed by some thread, and where to put what comes of it."""

    work: Callable[[int, int], Any]
    first: int
    last: int
    context: Context  # NumPy's errstate
    outcome: SimpleQueue[tuple[Any, BaseException | None]]


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
    tasks = [_Task(work, first, last, copy_context(), SimpleQueue()) for first, last in pairwise(edges[1:])]
    before = control.get()
    control.set(1)
    try:
        _hand_out(tasks)
        own = work(edges[0], edges[1])
    finally:
        others = [task.outcome.get() for task in tasks]
        control.set(before)
    for _, error in others:
        if error is not None:
            raise error
    return [own, *(result for result, _ in others)]


def _hand_out(tasks: list[_Task]) -> None:
    # concurrent.futures does the same in 40 µs more, a fiftieth of a convolution.
    while len(_threads) < len(tasks):
        thread = threading.Thread(target=_work, args=(_tasks,), name=f"equilib-{len(_threads) + 1}", daemon=True)
        _threads.append(thread)
        thread.start()
    for task in tasks:
        _tasks.put(task)


def _work(tasks: SimpleQueue[_Task]) -> None:
    while True:
        work, first, last, context, outcome = tasks.get()
        try:
            outcome.put((context.run(work, first, last), None))
        except BaseException as error:  # the caller raises it
            outcome.put((None, error))


def _forget_threads() -> None:
    global _tasks
    _tasks = SimpleQueue()
    _threads.clear()


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_forget_threads)
