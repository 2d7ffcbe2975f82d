"""α–β model of data-parallel training: what a sum of gradients costs on so many ranks."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import numpy as np


@dataclass(frozen=True)
class Link:
    """A message of n bytes takes latency + n / bandwidth, in seconds and bytes per second, as `source` says."""

    latency: float
    bandwidth: float
    source: str


NVLINK = Link(3.4e-6, 450e9, "NCCL's cost model, ring, Simple; NVLink 4: 900 GB/s both ways")
INFINIBAND = Link(9.6e-6, 50e9, "NCCL's cost model, ring, Simple; NDR: 400 Gb/s for each GPU")
CALL = 8.4e-6
"""Seconds that a collective of NCCL takes in any case (its cost model, ring, Simple)."""

HOST = 8
"""GPUs of a host, with a card each."""

UNPICKLING = 5e-6
"""Seconds in which a rank reads the statistics of another one; a batch needs those of all."""


def fitted(sizes: list[int], times: list[float], ranks: int) -> Link:
    """Return the link whose model of `in_order` fits measured times of sums best, each weighed by its own size."""
    messages, share = 2 * (ranks - 1), 2 * (ranks - 1) / ranks
    A = np.stack([np.full(len(sizes), messages), share * np.asarray(sizes)], axis=1) / np.asarray(times)[:, None]
    latency, inverse = np.linalg.lstsq(A, np.ones(len(sizes)), rcond=None)[0]
    return Link(float(latency), 1 / float(inverse), "measured")


def in_order(ranks: int, size: float, link: Link) -> float:
    """Return the seconds of a sum in the order of the ranks: everybody's parts to everybody, and back."""
    return 0.0 if ranks == 1 else 2 * (ranks - 1) * (link.latency + size / ranks / link.bandwidth)


def on_gpus(ranks: int, size: float) -> float:
    """Return the seconds of NCCL's sum: within hosts by rings on NVLink, between them by a tree on InfiniBand.

    NCCL takes what is the fastest by its model; a tree's latency grows with log2 of the hosts, a ring's with the ranks.
    """
    if ranks == 1:
        return 0.0
    local, hosts = min(ranks, HOST), ceil(ranks / HOST)
    within = 2 * (local - 1) * (NVLINK.latency + size / local / NVLINK.bandwidth)
    # Each of the host's cards carries its part.
    between = 2 * ceil(log2(hosts)) * INFINIBAND.latency + 2 * size / local / INFINIBAND.bandwidth if hosts > 1 else 0.0
    return CALL + within + between


def statistics(ranks: int, small: float) -> float:
    """Return the seconds in which all ranks learn the statistics of a batch, if one message takes `small`."""
    return 0.0 if ranks == 1 else ceil(log2(ranks)) * small + ranks * UNPICKLING
