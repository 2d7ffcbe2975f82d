"""The differentiable operations: written on array namespaces, each with a vjp and a staged jvp.

The module doubles as the array namespace of traced arrays, so names follow the array API standard where it has
one. Images are channels last: (batch, height, width, channels).
"""

import sys

from equilib.autodiff.boxes import install
from equilib.ops.activations import gelu, relu, sigmoid, tanh
from equilib.ops.convolution import conv2d, conv2d_input_transpose, conv2d_weight_transpose
from equilib.ops.convolution_block import conv2d_block
from equilib.ops.elementwise import (
    abs,  # noqa: A004  the names in the array API standard, here and below
    add,
    cos,
    divide,
    exp,
    log,
    maximum,
    multiply,
    negative,
    pow,  # noqa: A004
    sin,
    sqrt,
    subtract,
    where,
)
from equilib.ops.losses import cross_entropy, log_softmax, mse
from equilib.ops.normalization import group_norm
from equilib.ops.operators import install_operators
from equilib.ops.products import dense, matmul
from equilib.ops.reductions import logsumexp, max, mean, sum, weighted_sum  # noqa: A004
from equilib.ops.shapes import (
    broadcast_to,
    concat,
    expand_dims,
    flip,
    getitem,
    matrix_transpose,
    pad,
    permute_dims,
    reshape,
    stack,
    sum_to,
)
from equilib.ops.windows import average_pool, fold, max_pool, patches

__all__ = [
    "abs",
    "add",
    "average_pool",
    "broadcast_to",
    "concat",
    "conv2d",
    "conv2d_block",
    "conv2d_input_transpose",
    "conv2d_weight_transpose",
    "cos",
    "cross_entropy",
    "dense",
    "divide",
    "exp",
    "expand_dims",
    "flip",
    "fold",
    "gelu",
    "getitem",
    "group_norm",
    "log",
    "log_softmax",
    "logsumexp",
    "matmul",
    "matrix_transpose",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "mse",
    "multiply",
    "negative",
    "pad",
    "patches",
    "permute_dims",
    "pow",
    "relu",
    "reshape",
    "sigmoid",
    "sin",
    "sqrt",
    "stack",
    "subtract",
    "sum",
    "sum_to",
    "tanh",
    "weighted_sum",
    "where",
]

install_operators(install(sys.modules[__name__]))
