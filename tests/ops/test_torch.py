"""Operations are PyTorch's of the same name: values and gradients, over dtypes and layouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import sparse

from equilib import ops
from equilib.autodiff import linearize

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
functional = torch.nn.functional

CAUSAL = np.tri(3, 4, dtype=bool)
NUMBERS = np.array([[3, 0], [1, 3], [0, 0]])
ADJACENCY = np.array([[0, 2.0, 0, -1.0], [0, 0, 0, 0], [3.0, 0, 0.5, 0]])
TIES = np.array([[1.0, 2.0, 2.0], [0.5, 0.5, 0.5]])


class Pair(NamedTuple):
    """An operation, PyTorch's, and the shapes of the arrays that both are differentiated with respect to."""

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]


def first(x: Any) -> Any:
    """Return images or sequences with their channels first."""
    return x.movedim(-1, 1)


PAIRS = {
    "silu": Pair(ops.silu, functional.silu, ((3, 4),)),
    "softplus": Pair(ops.softplus, functional.softplus, ((3, 4),)),
    "gelu": Pair(ops.gelu, lambda x: functional.gelu(x, approximate="tanh"), ((3, 4),)),
    "sigmoid": Pair(ops.sigmoid, torch.sigmoid, ((3, 4),)),
    "softmax": Pair(lambda x: ops.softmax(x, 1), lambda x: torch.softmax(x, 1), ((2, 3, 4),)),
    "log_softmax": Pair(ops.log_softmax, lambda x: torch.log_softmax(x, -1), ((2, 3, 4),)),
    "logsumexp": Pair(lambda x: ops.logsumexp(x, 0), lambda x: torch.logsumexp(x, 0), ((2, 3),)),
    "clip": Pair(lambda x: ops.clip(x, -0.5, 0.4), lambda x: torch.clip(x, -0.5, 0.4), ((3, 4),)),
    "minimum": Pair(ops.minimum, torch.minimum, ((3, 4), (4,))),
    "maximum": Pair(ops.maximum, torch.maximum, ((3, 4), (4,))),
    "max": Pair(lambda x: ops.max(x, (0, 2)), lambda x: torch.amax(x, (0, 2)), ((2, 3, 4),)),
    "min": Pair(lambda x: ops.min(x, 1, keepdims=True), lambda x: torch.amin(x, 1, keepdim=True), ((2, 3, 4),)),
    "var": Pair(lambda x: ops.var(x, 1, 1), lambda x: torch.var(x, 1, correction=1), ((2, 3, 4),)),
    "std": Pair(lambda x: ops.std(x, (0, 2)), lambda x: torch.std(x, (0, 2), correction=0), ((2, 3, 4),)),
    "layer_norm": Pair(
        lambda x, scale, shift: ops.layer_norm(x, scale, shift, axes=2),
        lambda x, scale, shift: functional.layer_norm(x, (3, 4), scale, shift),
        ((2, 5, 3, 4), (3, 4), (3, 4)),
    ),
    "rms_norm": Pair(
        lambda x, scale: ops.rms_norm(x, scale, 1e-6),
        lambda x, scale: functional.rms_norm(x, (4,), scale, 1e-6),
        ((2, 3, 4), (4,)),
    ),
    "attention": Pair(
        ops.scaled_dot_product_attention,
        functional.scaled_dot_product_attention,
        ((2, 2, 3, 5), (2, 2, 4, 5), (2, 2, 4, 6)),
    ),
    "attention, masked": Pair(
        lambda q, k, v: ops.scaled_dot_product_attention(q, k, v, CAUSAL),
        lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, torch.tensor(CAUSAL)),
        ((2, 3, 5), (2, 4, 5), (2, 4, 6)),
    ),
    "take": Pair(lambda x: ops.take(x, NUMBERS), lambda x: functional.embedding(torch.tensor(NUMBERS), x), ((4, 3),)),
    "conv2d_general": Pair(
        lambda x, w: ops.conv2d_general(x, w, (2, 1), ((2, 2), (1, 1)), (1, 2), 2),
        lambda x, w: functional.conv2d(first(x), w.permute(3, 2, 0, 1), None, (2, 1), (2, 1), (1, 2), 2).movedim(1, -1),
        ((2, 6, 7, 4), (3, 2, 2, 6)),
    ),
    "conv1d": Pair(
        lambda x, w: ops.conv1d(x, w, 2, (1, 1), 3, 3),
        lambda x, w: functional.conv1d(first(x), w.permute(2, 1, 0), None, 2, 1, 3, 3).movedim(1, -1),
        ((2, 9, 3), (3, 1, 6)),
    ),
    "conv2d_transpose": Pair(
        lambda x, w: ops.conv2d_transpose(x, w, (2, 3), ((1, 1), (0, 0)), (0, 2)),
        lambda x, w: functional.conv_transpose2d(first(x), w.permute(3, 2, 0, 1), None, (2, 3), (1, 0), (0, 2)).movedim(
            1, -1
        ),
        ((2, 4, 3, 3), (3, 2, 2, 3)),
    ),
    "sparse_matmul": Pair(
        lambda x: ops.sparse_matmul(sparse.csr_array(ADJACENCY), x),
        lambda x: torch.sparse.mm(torch.tensor(ADJACENCY, dtype=x.dtype).to_sparse_coo(), x),
        ((4, 3),),
    ),
    "einsum": Pair(
        lambda *x: ops.einsum("bhqd,bhkd,bkh->bqd", *x),
        lambda *x: torch.einsum("bhqd,bhkd,bkh->bqd", *x),
        ((2, 2, 3, 4), (2, 2, 5, 4), (2, 5, 2)),
    ),
}

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda x: x,
    "Fortran's order": np.asfortranarray,
    "every other element": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: np.flip(np.flip(x, -1).copy(), -1),
}


def gradients(pair: Pair, args: list[np.ndarray], rng: np.random.Generator) -> tuple[list[Any], list[Any]]:
    """Return the value and the cotangents of the arguments: ours, and PyTorch's."""
    tensors = [torch.tensor(np.ascontiguousarray(each), requires_grad=True) for each in args]
    value = pair.theirs(*tensors)
    w = rng.standard_normal(tuple(value.shape)).astype(args[0].dtype)
    theirs = torch.autograd.grad(value, tensors, torch.tensor(w))
    linear = linearize(pair.ours, *args)
    ours = [linear.value, *linear.vjp(w, tuple(range(len(args))))]
    return ours, [each.detach().numpy() for each in (value, *theirs)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_are_pytorchs(name: str, layout: str, rng: np.random.Generator) -> None:
    """In float64 they agree to 1e-12, whatever the strides of the arguments."""
    args = [LAYOUTS[layout](rng.standard_normal(shape)) for shape in PAIRS[name].shapes]
    for ours, theirs in zip(*gradients(PAIRS[name], args, rng), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_single_precision_is_pytorchs(name: str, rng: np.random.Generator) -> None:
    """In float32 they agree to rounding, and nothing is widened."""
    args = [rng.standard_normal(shape).astype(np.float32) for shape in PAIRS[name].shapes]
    for ours, theirs in zip(*gradients(PAIRS[name], args, rng), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["max", "min", "minimum", "maximum", "clip", "std"])
def test_kinks_are_pytorchs(name: str, rng: np.random.Generator) -> None:
    """Where elements tie, a bound is met or all are equal, the derivative is the one that PyTorch takes."""
    ours, theirs, shapes = PAIRS[name]
    first = np.full(shapes[0], 0.5) if name == "std" else np.resize(TIES, shapes[0])
    first = np.where(first == 2.0, 0.4, first) if name == "clip" else first
    args = [first, *(np.resize(TIES[1], shape) for shape in shapes[1:])]
    for mine, other in zip(*gradients(Pair(ours, theirs, shapes), args, rng), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)
