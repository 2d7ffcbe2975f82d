"""Timing that a noisy machine does not spoil: alternate the candidates, quote medians and ratios."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_info

from equilib.machine.environment import kernels_in_use


def alternate(candidates: Mapping[str, Callable[[], object]], rounds: int, warmup: int = 3) -> dict[str, list[float]]:
    """Run the candidates in turn, `rounds` times each; return their times in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for index in range(warmup + rounds):
        for name, candidate in candidates.items():
            start = perf_counter()
            candidate()
            if index >= warmup:
                times[name].append(1e3 * (perf_counter() - start))
    return times


def paired_ratio(times: Mapping[str, list[float]], numerator: str, denominator: str) -> float:
    """Return the median of the ratios round by round, in which slow spells of the machine cancel."""
    return median(a / b for a, b in zip(times[numerator], times[denominator], strict=True))


def table(times: Mapping[str, list[float]]) -> str:
    """Return median, minimum and maximum of each candidate as a Markdown table."""
    rows = [f"| {name} | {median(each):.3f} | {min(each):.3f} | {max(each):.3f} |" for name, each in times.items()]
    return "\n".join(["| candidate | median ms | min | max |", "|---|---|---|---|", *rows])


def machine() -> str:
    """Return one line about what the times depend on."""
    blas = [
        f"{pool['internal_api']} {pool.get('architecture', '')} × {pool['num_threads']}" for pool in threadpool_info()
    ]
    libraries = f"Python {platform.python_version()}, NumPy {np.__version__}, {', '.join(blas)}"
    return f"{platform.machine()}, {libraries}, {kernels()}"


def kernels() -> str:
    """Return what computes the operations."""
    return f"kernels: {', '.join(kernels_in_use()) or 'none, formulas only'}"
