"""PyTorch's tensors as arrays: on the way to the host and back."""

from __future__ import annotations

import numpy as np
import pytest

from equilib.arrays import check_like, coefficients, from_host, to_host, two_norm
from equilib.fixed_points.boundary import lent

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def test_tensors_that_require_grad_come_to_the_host():
    """Parameters have values on the host, and no derivative follows them there."""
    found = to_host(torch.ones(2, requires_grad=True))
    assert type(found) is np.ndarray
    assert found.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_numbers_cross_in_every_floating_dtype(dtype: str):
    """Of a dtype that NumPy does not have numbers come as float32, and go back rounded to that dtype."""
    like = torch.ones(2, dtype=getattr(torch, dtype))
    host = to_host(like)
    assert host.dtype == (np.float32 if dtype == "bfloat16" else np.dtype(dtype))
    back = coefficients(np.array([0.5, 3.0]), like)
    assert back.dtype == like.dtype
    assert back.tolist() == [0.5, 3.0]


def test_tensors_elsewhere_are_asked_to_come():
    """A tensor on another device is copied by its own library: of the device `meta` that says it has no numbers."""
    with pytest.raises(NotImplementedError, match="no data"):
        to_host(torch.zeros(3, device="meta"))
    assert coefficients(np.ones(3), torch.zeros(3, device="meta")).device.type == "meta"


def test_read_only_masks_are_sent_without_a_warning():
    """PyTorch has no read-only tensors, so what NumPy would not let it write to is copied."""
    mask = np.ones(3, dtype=bool)
    mask.setflags(write=False)
    assert from_host(mask, torch.zeros(3)).tolist() == [True] * 3


def test_what_is_lent_of_a_tensor_keeps_its_graph():
    """A copy, of the same derivative in every version of PyTorch, which f may change."""
    x = torch.ones(2, requires_grad=True)
    copy = lent(2 * x)
    copy += 1
    assert torch.autograd.grad(copy.sum(), x)[0].tolist() == [2.0, 2.0]


def test_a_parameter_is_like_a_tensor():
    """Arrays are compared by library, shape and dtype, not by class."""
    parameter = torch.nn.Parameter(torch.ones(2, 3))
    assert check_like(torch.ones(2, 3), parameter, "the guess") is parameter
    with pytest.raises(ValueError, match="the guess must be like"):
        check_like(torch.ones(2, 3), np.ones((2, 3), np.float32), "the guess")


def test_norms_of_half_precision_do_not_overflow():
    """A norm is taken in single precision at least."""
    assert float(two_norm(torch.full((1, 4), 6e4, dtype=torch.float16))[0]) == pytest.approx(1.2e5, rel=1e-3)
