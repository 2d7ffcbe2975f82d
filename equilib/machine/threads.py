"""Threads that share the samples of a batch.

NumPy computes everything but matrix products in one thread. An operation on a big array is therefore divided here: one
contiguous share of the samples for each thread, whose products run in that thread. BLAS then keeps to one thread for
good: its own would go on looking for work for some milliseconds after each product, on a core that is needed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from equilib.machine.blas import thread_control

Result = TypeVar("Result")

# To hand a share to another thread and to wait for it takes 0.1 ms: what NumPy needs for this many numbers.
_WORTHWHILE = 200_000

_count = 1
_tasks: SimpleQueue[_Task] = SimpleQueue()
_threads: list[threading.Thread] = []
_here = threading.local()


class _Task(NamedTuple):
    """A share to be computed by some thread, and where to put what comes of it."""

    work: Callable[[int, int], Any]
    first: int
    last: int
    context: Context  # NumPy's errstate
    outcome: SimpleQueue[tuple[Any, BaseException | None]]


def use_threads(count: int | None = None) -> int:
    """Let `by_shares` use so many threads in this process, and NumPy's BLAS one; return how many.

    By default they are as many as BLAS has used so far, so that what limits those limits these; where its threads
    cannot be counted, one. It changes the whole process, so only programs call it, never a library function. Until then
    one thread computes everything but the matrix products, in which BLAS uses its own.

    Raises ValueError if `count` is not positive.
    """
    global _count
    if count is not None and count < 1:
        raise ValueError(f"the number of threads must be positive, got {count}")
    control = thread_control()
    if count is None:
        count = _count if control is None else max(_count, control.get())
    if control is not None:
        control.set(1)
    _count = count
    return count


def threads_in_use() -> int:
    """Return how many threads `by_shares` uses."""
    return _count


def shared(numbers: int) -> bool:
    """Tell whether `by_shares` would divide work that reads or writes so many numbers."""
    return _count > 1 and numbers >= _WORTHWHILE and not getattr(_here, "shared", False)


def by_shares(work: Callable[[int, int], Result], samples: int, *, numbers: int) -> list[Result]:
    """Call work(first, last) for contiguous shares of the samples at the same time; return the results in order.

    A call computes the samples first, ..., last − 1, and within a share nothing is divided any further. `numbers` is
    how many of them the whole work reads or writes: little work is not divided.
    """
    threads = min(_count, samples)
    if threads < 2 or not shared(numbers):
        return [work(0, samples)]
    edges = [samples * index // threads for index in range(threads + 1)]
    tasks = [_Task(work, first, last, copy_context(), SimpleQueue()) for first, last in pairwise(edges[1:])]
    _here.shared = True
    try:
        _hand_out(tasks)
        own = work(edges[0], edges[1])
    finally:
        others = [task.outcome.get() for task in tasks]
        _here.shared = False
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
    _here.shared = True
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
