"""Budgets of what a training batch of the tutorial asks of a GPU, counted on the emulated CuPy."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from equilib.experiments.assembly import assemble
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.reporters import LineReporter
from equilib.runs.request import RunRequest
from equilib.training.trainer import Trainer
from tests.cupy_emulator import Meter, emulated, metered
from tests.digits import write_digits

MODELS = {"newton-gmres": "regdeq", "anderson": "regdeq", "vcab3": "deq"}
BUDGETS = {
    # kernels and memsets, products of matrices, uploads, waits
    "pretraining": (667, 52, 3, 10),
    "newton-gmres": (756, 65, 14, 27),
    "anderson": (736, 64, 10, 23),
    "vcab3": (1382, 149, 97, 74),
}
"""What the first batch costs from the initial parameters, with formulas. Less is a gain: then write down less."""

WITH_KERNELS = {
    "pretraining": (176, 3, 2, 10),
    "newton-gmres": (184, 3, 10, 27),
    "anderson": (181, 3, 7, 23),
    "vcab3": (379, 3, 8, 55),
}
"""The same with `equilib_cuda`."""


@contextmanager
def tutorial(solver: str, folder: Path, kernels: str = "none") -> Iterator[Trainer]:
    """Yield the trainer of the tutorial on a batch of 32 images, on the emulator, with kernels or formulas only."""
    with emulated():
        data = write_digits(folder, train=38, test=2)  # a sixth of them validates
        values = {"recipe": "tutorial", "model": MODELS[solver]}
        request = RunRequest(
            experiment="mnist", values=values, solver=solver, device="cuda", data_dir=data, kernels=kernels
        )
        reporter = LineReporter(io.StringIO())
        yield assemble(RunContext(request=request, registry=Registry.discover(), reporter=reporter)).trainer


def counts(meter: Meter) -> tuple[int, int, int, int]:
    """Return kernels with memsets, products, uploads and waits."""
    return meter.launches.total(), meter.products.total(), meter.uploads, meter.downloads


@pytest.mark.parametrize(
    "work",
    ["pretraining", "newton-gmres", *(pytest.param(each, marks=pytest.mark.cupy) for each in ("anderson", "vcab3"))],
)
@pytest.mark.parametrize("kernels", ["none", "cuda"])
def test_a_batch_stays_within_its_budget(work: str, kernels: str, tmp_path: Path) -> None:
    """No kernel, product, upload or wait more than is written down, for the batch and its update."""
    allowed = (BUDGETS if kernels == "none" else WITH_KERNELS)[work]
    with tutorial("newton-gmres" if work == "pretraining" else work, tmp_path, kernels) as trainer:
        model = trainer._unrolled() if work == "pretraining" else trainer.model
        with metered() as meter:
            trainer._train_pass(model, "")
    assert trainer.step == 1
    exceeded = [found > budget for found, budget in zip(counts(meter), allowed, strict=True)]
    assert not any(exceeded), f"{meter} where {allowed} were allowed: {meter.launches.most_common(10)}"
