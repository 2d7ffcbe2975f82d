"""Devices of PyTorch for runs: arrays are put there, and our tape gives the same gradient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from equilib import ops
from equilib.arrays import Array, to_host, tree_map
from equilib.autodiff import value_and_grad
from equilib.cli import main
from equilib.fixed_points.picard import Picard
from equilib.layers import Chain, Dense
from equilib.machine.devices import DeviceError, find_device
from equilib.models import DeepEquilibrium, InjectedCell

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def test_arrays_are_put_there():
    """`torch` is PyTorch on the CPU: arrays become tensors of the same dtype, which NumPy's do not share."""
    device = find_device("torch")
    assert device.description == f"torch: PyTorch {torch.__version__}"
    array = np.ones((2, 3), np.float32)
    put = device.put({"a": array, "b": [np.arange(3)]})
    assert (put["a"].dtype, put["b"][0].dtype) == (torch.float32, torch.int64)
    put["a"].zero_()
    assert array.all()
    device.synchronize()


@pytest.mark.parametrize("place", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(place: str):
    """A GPU that PyTorch cannot compute on is named, with the reason."""
    if getattr(torch.backends, place).is_built() and getattr(torch, place).is_available():
        find_device(f"torch:{place}").synchronize()
        return
    with pytest.raises(DeviceError, match=f"--device torch:{place} found PyTorch .* use --device torch"):
        find_device(f"torch:{place}")


def test_our_models_have_the_same_gradient_there():
    """An equilibrium of our own layers has the gradient of NumPy's arrays on tensors."""
    model = DeepEquilibrium(InjectedCell(Dense(3, 3), Dense(3, 3), Chain(ops.tanh)), Picard())
    params = tree_map(lambda leaf: 0.4 * leaf, model.init(np.random.default_rng(0)))
    x = np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32)

    def gradient(params: dict, x: Array) -> list[np.ndarray]:
        def loss(params: dict) -> Array:
            return ops.sum(model(params, x).z)

        bars = value_and_grad(loss)(params)[1]
        return [to_host(leaf) for leaf in (bars["cell"]["inject"]["weight"], bars["cell"]["recur"]["weight"])]

    put = find_device("torch").put
    for ours, theirs in zip(gradient(params, x), gradient(put(params), put(x)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_run_computes_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`equilib run --device torch` assembles and evaluates an experiment on tensors, and says so."""
    status = main(["run", "polynomial", "--device", "torch", "--epochs", "0", "--out", str(tmp_path / "run")])
    out, errors = capsys.readouterr()
    assert (status, errors) == (0, "")
    assert f"on torch: PyTorch {torch.__version__}" in out
