"""α–β model of data-parallel training: what a sum of gradients costs on so many ranks, and what that leaves of them."""

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


@dataclass(frozen=True)
class Model:
    """A model on a GPU: bytes of its gradient, samples of a batch, and seconds of it on the host and on the device.

    The host's do not depend on the batch: they are launches. The larger of the two binds.
    """

    gradient: float
    batch: int
    host: float
    device: float

    def seconds(self, samples: float) -> float:
        """Return the time of a pass through so many samples."""
        return max(self.host, self.device * samples / self.batch)


MODELS = {
    # docs/gpu.md: newton-gmres with the kernels of `equilib_cuda`, by the model of the H200.
    "tutorial": Model(0.71e6, 32, 5.6e-3, 1.1e-3),
    # The device's time as on a CPU, where a batch takes 800 times the tutorial's; launches of some hundred steps.
    "cifar10 source": Model(0.64e6, 128, 0.1, 2.3),
    # 25 passes through 0.2 GFLOP a sample at 30 TFLOP/s.
    "100 M parameters": Model(400e6, 256, 5.6e-3, 43e-3),
}
PLAN = (1, 2, 8, 16, 64, 256, 1000)


def fitted(sizes: list[int], times: list[float], ranks: int) -> Link:
    """Return the link whose model of `in_order` fits measured times of sums best, each weighed by its own size."""
    messages, share = 2 * (ranks - 1), 2 * (ranks - 1) / ranks
    A = np.stack([np.full(len(sizes), messages), share * np.asarray(sizes)], axis=1) / np.asarray(times)[:, None]
    latency, inverse = np.linalg.lstsq(A, np.ones(len(sizes)), rcond=None)[0]
    return Link(float(latency), 1 / float(inverse), "measured")


def in_order(ranks: int, size: float, link: Link) -> float:
    """Return the seconds of a sum in one order: everybody's parts to everybody, and back."""
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


def planned() -> list[str]:
    """Return the tables to a thousand ranks: communication of a batch on GPUs, and the efficiency that it leaves."""
    links = (
        f"{name}: {1e6 * link.latency:.1f} µs, {link.bandwidth / 1e9:.0f} GB/s ({link.source})"
        for name, link in (("NVLink", NVLINK), ("InfiniBand", INFINIBAND))
    )
    names = " | ".join(f"{name}, {each.gradient / 1e6:g} MB" for name, each in MODELS.items())
    lines = [
        f"On hosts of 8 GPUs. {'. '.join(links)}. Times in ms: NCCL's sum / equilib's in one order, all of it on "
        "InfiniBand beyond a host; then the statistics of a batch.",
        "",
        f"| ranks | {names} | statistics |",
        "|" + "---|" * (len(MODELS) + 2),
    ]
    for ranks in PLAN:
        link = NVLINK if ranks <= HOST else INFINIBAND
        sums = [
            f"{1e3 * on_gpus(ranks, each.gradient):.2f} / {1e3 * in_order(ranks, each.gradient, link):.2f}"
            for each in MODELS.values()
        ]
        lines.append(f"| {ranks} | {' | '.join(sums)} | {1e3 * statistics(ranks, 2 * link.latency):.2f} |")
    lines += [
        "",
        "Efficiency, nothing overlapped, with NCCL's sum / in one order. Weak: each rank has "
        f"{', '.join(str(each.batch) for each in MODELS.values())} samples. Strong: as many for all ranks; of the "
        "third 8,192.",
        "",
        f"| ranks | {' | '.join(f'{name}, {how}' for name in MODELS for how in ('weak', 'strong'))} |",
        "|" + "---|" * (2 * len(MODELS) + 1),
    ]
    return lines + [f"| {ranks} | {' | '.join(_efficiencies(ranks))} |" for ranks in PLAN]


def _efficiencies(ranks: int) -> list[str]:
    link = NVLINK if ranks <= HOST else INFINIBAND
    cells = []
    for model in MODELS.values():
        whole = 8192 if model.gradient > 1e8 else model.batch
        extra = statistics(ranks, 2 * link.latency)
        sums = [extra + on_gpus(ranks, model.gradient), extra + in_order(ranks, model.gradient, link)]
        base, alone = model.seconds(model.batch), model.seconds(whole)
        weak = [base / (base + each) for each in sums]
        strong = [alone / ranks / (model.seconds(whole / ranks) + each) for each in sums]
        cells += [" / ".join(f"{each:.2f}" for each in weak)]
        cells += [" / ".join(f"{each:.2f}" for each in strong) if ranks <= whole else "–"]
    return cells
