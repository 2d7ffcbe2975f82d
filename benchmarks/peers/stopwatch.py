"""Times of short and of long calls. Contestants import it in environments without equilib, so it needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time

BLOCK = 2e-3
"""Seconds of calls that are timed at once: the clock itself takes a third of a microsecond."""


def microseconds(call: Callable[[], object], blocks: int) -> float:
    """Return the median over blocks of calls of the processor time of one call: other processes do not lengthen it."""
    calls = 1
    while _block(call, calls) < BLOCK:
        calls *= 2
    return 1e6 * median(_block(call, calls) / calls for _ in range(blocks))


def seconds(call: Callable[[], object], repeats: int) -> list[float]:
    """Return the wall time of each of some calls."""
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return times


def _block(call: Callable[[], object], calls: int) -> float:
    start = process_time()
    for _ in range(calls):
        call()
    return process_time() - start
