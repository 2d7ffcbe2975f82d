"""Operations beside PyTorch's of the same name or meaning, as functions of the arrays that are differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import sparse

from equilib import ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
functional = torch.nn.functional

LABELS = np.array([[2, 0], [1, 1]])
STRIDE, PADDING = (2, 1), ((1, 1), (2, 2))
CAUSAL = np.tri(3, 4, dtype=bool)
NUMBERS = np.array([[3, 0], [1, 3], [0, 0]])
ADJACENCY = np.array([[0, 2.0, 0, -1.0], [0, 0, 0, 0], [3.0, 0, 0.5, 0]])


class Pair(NamedTuple):
    """An operation, PyTorch's, and the shapes of the arrays that both are differentiated with respect to."""

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]


def first(x: Any) -> Any:
    """Return images or sequences with their channels first."""
    return x.movedim(-1, 1)


OF_MODELS = {
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
    "scaled_dot_product_attention": Pair(
        ops.scaled_dot_product_attention,
        functional.scaled_dot_product_attention,
        ((2, 2, 3, 5), (2, 2, 4, 5), (2, 2, 4, 6)),
    ),
    "scaled_dot_product_attention, masked": Pair(
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


def kernels(weight: Any) -> Any:
    """Return kernels of shape (height, width, inputs, outputs) in PyTorch's order."""
    return weight.permute(3, 2, 0, 1)


def windows(x: Any) -> Any:
    """Return the windows of 2×3 pixels of images, two lines and one pixel apart."""
    columns = functional.unfold(first(x), (2, 3), stride=STRIDE)
    shape = (x.shape[0], x.shape[3], 6, (x.shape[1] - 2) // 2 + 1, x.shape[2] - 2)
    return columns.reshape(shape).permute(0, 3, 4, 2, 1)


def folded(x: Any) -> Any:
    """Return windows added into images of 5×6 pixels, the transpose of `windows`."""
    columns = x.permute(0, 4, 3, 1, 2).reshape(x.shape[0], -1, x.shape[1] * x.shape[2])
    return functional.fold(columns, (5, 6), (2, 3), stride=STRIDE).movedim(1, -1)


def put(g: Any) -> Any:
    """Return rows added into five zeros at the places NUMBERS."""
    return torch.zeros(5, 2, dtype=g.dtype).index_add(0, torch.tensor(NUMBERS.ravel()), g.reshape(-1, 2))


def positive(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of positive numbers as one of any."""
    return lambda x: operation(x * x + 0.5)


ROWS, IMAGES = ((3, 4),), (2, 5, 6, 3)

PLAIN = {
    **{
        name: Pair(getattr(ops, name), getattr(torch, name), ROWS)
        for name in ("abs", "cos", "exp", "negative", "relu", "sign", "sin", "tanh")
    },
    **{name: Pair(positive(getattr(ops, name)), positive(getattr(torch, name)), ROWS) for name in ("log", "sqrt")},
    "pow": Pair(positive(lambda x: ops.pow(x, -1.5)), positive(lambda x: x**-1.5), ROWS),
    **{
        name: Pair(getattr(ops, name), getattr(torch, name), ((3, 4), (2, 1, 4)))
        for name in ("add", "subtract", "multiply")
    },
    "divide": Pair(
        lambda x, y: ops.divide(x, ops.add(ops.multiply(y, y), 0.5)), lambda x, y: x / (y * y + 0.5), ((3, 4), (4,))
    ),
    "where": Pair(
        lambda x, y: ops.where(CAUSAL, x, y), lambda x, y: torch.where(torch.tensor(CAUSAL), x, y), ((3, 4), (4,))
    ),
    "matmul": Pair(ops.matmul, torch.matmul, ((2, 3, 4), (4, 5))),
    "dense": Pair(ops.dense, lambda x, w, b: functional.linear(x, w.T, b), ((2, 3, 4), (4, 5), (5,))),
    "sum": Pair(lambda x: ops.sum(x, (0, 2)), lambda x: torch.sum(x, (0, 2)), ((2, 3, 4),)),
    "mean": Pair(lambda x: ops.mean(x, 1, keepdims=True), lambda x: torch.mean(x, 1, keepdim=True), ((2, 3, 4),)),
    "mse": Pair(ops.mse, functional.mse_loss, ((3, 4), (3, 4))),
    "cross_entropy": Pair(
        lambda x: ops.cross_entropy(x, LABELS),
        lambda x: functional.cross_entropy(x.movedim(-1, 1), torch.tensor(LABELS)),
        ((2, 2, 3),),
    ),
    "weighted_sum": Pair(
        lambda x, y, z: ops.weighted_sum(x, (0.5, -2.0), (y, z)), lambda x, y, z: x + 0.5 * y - 2.0 * z, ROWS * 3
    ),
    "broadcast_to": Pair(
        lambda x: ops.broadcast_to(x, (2, 3, 4)), lambda x: torch.broadcast_to(x, (2, 3, 4)), ((3, 1),)
    ),
    "sum_to": Pair(lambda x: ops.sum_to(x, (3, 1)), lambda x: x.sum_to_size(3, 1), ((2, 3, 4),)),
    "reshape": Pair(lambda x: ops.reshape(x, (4, -1)), lambda x: torch.reshape(x, (4, -1)), ((2, 3, 4),)),
    "permute_dims": Pair(lambda x: ops.permute_dims(x, (2, 0, 1)), lambda x: torch.permute(x, (2, 0, 1)), ((2, 3, 4),)),
    "matrix_transpose": Pair(ops.matrix_transpose, lambda x: x.mT, ((2, 3, 4),)),
    "expand_dims": Pair(lambda x: ops.expand_dims(x, 1), lambda x: torch.unsqueeze(x, 1), ROWS),
    "flip": Pair(lambda x: ops.flip(x, (0, -1)), lambda x: torch.flip(x, (0, -1)), ((2, 3, 4),)),
    "getitem": Pair(lambda x: ops.getitem(x, (slice(1, 3), 0)), lambda x: x[1:3, 0], ((4, 2, 3),)),
    "pad": Pair(lambda x: ops.pad(x, ((0, 3), (1, 2))), lambda x: functional.pad(x, (1, 2, 0, 3)), ROWS),
    "concat": Pair(lambda x, y: ops.concat((x, y), 1), lambda x, y: torch.concat((x, y), 1), ((3, 1), (3, 4))),
    "stack": Pair(lambda x, y: ops.stack((x, y), 1), lambda x, y: torch.stack((x, y), 1), ROWS * 2),
    "put_sum": Pair(lambda g: ops.put_sum(g, NUMBERS, (5, 2)), put, ((3, 2, 2),)),
    "group_norm": Pair(
        lambda x, scale, shift: ops.group_norm(x, 2, 1e-5, scale, shift),
        lambda x, scale, shift: functional.group_norm(first(x), 2, scale, shift).movedim(1, -1),
        ((2, 3, 5, 4), (4,), (4,)),
    ),
    "average_pool": Pair(
        lambda x: ops.average_pool(x, (2, 3), STRIDE),
        lambda x: functional.avg_pool2d(first(x), (2, 3), STRIDE).movedim(1, -1),
        (IMAGES,),
    ),
    "max_pool": Pair(
        lambda x: ops.max_pool(x, (2, 3), STRIDE),
        lambda x: functional.max_pool2d(first(x), (2, 3), STRIDE).movedim(1, -1),
        (IMAGES,),
    ),
    "patches": Pair(lambda x: ops.patches(x, (2, 3), STRIDE), windows, (IMAGES,)),
    "fold": Pair(lambda x: ops.fold(x, (2, 5, 6, 3), (2, 3), STRIDE), folded, ((2, 2, 4, 6, 3),)),
    "conv2d": Pair(
        lambda x, w: ops.conv2d(x, w, STRIDE, PADDING),
        lambda x, w: functional.conv2d(first(x), kernels(w), None, STRIDE, (1, 2)).movedim(1, -1),
        (IMAGES, (3, 2, 3, 4)),
    ),
    "conv2d_block": Pair(
        lambda x, w, b: ops.conv2d_block(x, w, b, None, "tanh", STRIDE, PADDING),
        lambda x, w, b: torch.tanh(functional.conv2d(first(x), kernels(w), b, STRIDE, (1, 2))).movedim(1, -1),
        (IMAGES, (3, 2, 3, 4), (4,)),
    ),
    "conv2d_input_transpose": Pair(
        lambda g, w: ops.conv2d_input_transpose(g, w, IMAGES, STRIDE, PADDING),
        lambda g, w: functional.conv_transpose2d(first(g), kernels(w), None, STRIDE, (1, 2)).movedim(1, -1),
        ((2, 3, 9, 4), (3, 2, 3, 4)),
    ),
    "conv2d_weight_transpose": Pair(
        lambda x, g: ops.conv2d_weight_transpose(x, g, (3, 2), STRIDE, PADDING),
        lambda x, g: torch.nn.grad.conv2d_weight(first(x), (4, 3, 3, 2), first(g), STRIDE, (1, 2)).permute(2, 3, 1, 0),
        (IMAGES, (2, 3, 9, 4)),
    ),
}
"""What operations of the array API, losses and convolutions are in PyTorch."""

PAIRS = {**PLAIN, **OF_MODELS}
