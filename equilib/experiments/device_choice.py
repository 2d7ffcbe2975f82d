"""Choice of the device by the work that one update of a training holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from equilib.arrays import Tree, tree_leaves
from equilib.errors import some
from equilib.machine.devices import Device
from equilib.ode import Evolution
from equilib.runs.context import RunContext
from equilib.training.data import Dataset
from equilib.training.model import EquilibriumModel

LEAST = 1 << 15
"""Numbers in a batch of states from which a GPU is worth its launches.

A call costs the host about 13 µs with a GPU, whatever it computes; in that time a core passes over so many float32.
"""


def settle_device(context: RunContext, network: Any, params: Tree, data: Dataset, batch_size: int) -> None:
    """Give the context the CPU where `--device auto` found a GPU that the states of a batch are too small for.

    The parameters and the data are still on the host, where the network is passed through with one sample.
    """
    if context.request.device != "auto" or context.device.kind != "cuda":
        return
    size = _state_size(network, params, data)
    if size is None:
        return
    samples = min(batch_size, data.train_inputs.shape[0])
    held = f"a batch of {some(samples, 'states')} holds {some(samples * size, 'numbers')}"
    if samples * size < LEAST:
        context.device = Device(
            "cpu", f"cpu, although there is a GPU: {held}, and it needs {LEAST:,} to gain; --device cuda takes it"
        )
    else:
        context.device = replace(context.device, description=f"{context.device.description} (auto: {held})")


def _state_size(network: Any, params: Tree, data: Dataset) -> int | None:
    """Return how many numbers the state of one sample has; None of a network that has none, or fails."""
    model = network.unrolled(1) if isinstance(network, EquilibriumModel) else network
    try:
        with np.errstate(all="ignore"):
            _, record = model(params, data.train_inputs[:1, ...])
    except Exception:  # the rehearsal of the training says it better
        return None
    state = record.y[-1, ...] if isinstance(record, Evolution) else getattr(record, "z", None)
    return sum(leaf.size for leaf in tree_leaves(state)) or None
