"""`--device auto`, and what a run on a GPU says and moves, on the emulated CuPy where there is no GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from equilib.cli import main
from equilib.experiments.assembly import Training, assemble
from equilib.experiments.device_choice import LEAST
from equilib.fixed_points.compaction import put_samples
from equilib.plugin.registry import Registry
from equilib.runs.context import RunContext
from equilib.runs.reporters import LineReporter
from equilib.runs.request import RunRequest
from tests.arrays_under_test import GPU, NAMESPACES, cupy_in_place, lift, lower
from tests.cupy_emulator import metered
from tests.digits import write_digits


@pytest.fixture(autouse=True)
def in_place() -> Iterator[None]:
    """Let every test here find a GPU."""
    with cupy_in_place():
        yield


def assembled(experiment: str, **given: object) -> Training:
    """Assemble the training of a request."""
    request = RunRequest(experiment=experiment, **given)
    return assemble(RunContext(request=request, registry=Registry.discover(), reporter=LineReporter(sys.stderr)))


def test_auto_leaves_small_states_to_the_cpu_and_says_why() -> None:
    """A batch of states below the limit is the CPU's, though there is a GPU; `cuda` takes it all the same."""
    training = assembled("linear", device="auto")
    assert training.trainer.device.kind == "cpu"
    assert type(training.trainer.data.train_inputs) is np.ndarray
    said = next(line for line in training.introduction if line.startswith("Model: "))
    assert "although there is a GPU: a batch of" in said
    assert f"it needs {LEAST:,} to gain; --device cuda takes it" in said
    assert assembled("linear", device="cuda").trainer.device.kind == "cuda"


@pytest.mark.parametrize(("batch_size", "kind"), [(2, "cpu"), (8, "cuda")])
def test_auto_takes_the_gpu_for_large_states_and_says_why(batch_size: int, kind: str, tmp_path: Path) -> None:
    """4,608 numbers a sample: eight samples in a batch are enough."""
    data = write_digits(tmp_path, train=12, test=2)
    training = assembled("mnist", device="auto", data_dir=data, batch_size=batch_size)
    assert training.trainer.device.kind == kind
    said = next(line for line in training.introduction if line.startswith("Model: "))
    assert f"a batch of {batch_size} states holds {batch_size * 4608:,} numbers" in said


def test_the_digest_of_the_data_is_taken_where_it_was_loaded() -> None:
    """It is that of the data on the device, and nothing comes back from there."""
    training = assembled("linear", device="cuda", dtype="float64")
    with metered() as meter:
        digest = training.host_data.digest()
    assert meter.downloads == 0
    assert (
        digest
        == training.trainer.data.digest()
        == assembled("linear", device="cpu", dtype="float64").host_data.digest()
    )


def test_a_run_on_a_gpu_says_nothing_of_blas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It announces that kernels are compiled, and gives no advice about NumPy's products."""
    assert main(["run", "linear", "--epochs", "1", "--device", "cuda", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "compiled during the first batches" in said
    assert "BLAS" not in said


@pytest.mark.skipif(GPU is not None, reason="the memory of a real GPU is not filled")
def test_a_full_gpu_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that runs out in the middle of a run ends it with what was asked for and what to do."""
    import cupy

    def full(*_: object, **__: object) -> None:
        raise cupy.cuda.memory.OutOfMemoryError("Out of memory allocating 1,384,448 bytes (allocated so far: 2 bytes).")

    context = ["run", "linear", "--epochs", "1", "--device", "cuda", "--out", str(tmp_path / "out")]
    monkeypatch.setitem(sys.modules["array_api_compat.cupy"].__dict__, "sum", full)
    assert main(context) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: the memory of the GPU does not suffice (Out of memory allocating 1,384,448 bytes")
    assert "--batch-size" in err
    assert err.count("\n") == 1


@pytest.mark.skipif(GPU is not None, reason="the emulator counts")
def test_putting_samples_back_uploads_their_places_only() -> None:
    """The zeros at the end of histories that grew are made on the device."""
    xp = NAMESPACES["cupy"]
    whole, part = (lift(xp, [np.ones((4, 3))] * count) for count in (1, 3))
    part = [each[:2] for each in part]
    with metered() as meter:
        found = put_samples(whole, part, np.array([0, 2]), batch=4)
    assert meter.uploads == 3
    np.testing.assert_array_equal(lower(found[2])[:, 0], [1, 0, 1, 0])
