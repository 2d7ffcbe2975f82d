"""The differentiable operations: written on array namespaces, each with a vjp and a staged jvp.

The module doubles as the array namespace of traced arrays, so names follow the array API standard where it has
one. Images are channels last: (batch, height, width, channels).
"""

import sys

from equilib.autodiff.boxes import install
from equilib.ops.activations import gelu, relu, sigmoid, silu, softplus, tanh
from equilib.ops.attention import scaled_dot_product_attention
from equilib.ops.convolution import conv2d, conv2d_input_transpose, conv2d_weight_transpose
from equilib.ops.convolution_block import conv2d_block
from equilib.ops.einstein_sum import einsum
from equilib.ops.elementwise import (
    abs,  # noqa: A004  the names in the array API standard, here and below
    add,
    clip,
    cos,
    divide,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    pow,  # noqa: A004
    sign,
    sin,
    sqrt,
    subtract,
    where,
)
from equilib.ops.gather import put_sum, take
from equilib.ops.general_convolution import conv1d, conv2d_general, conv2d_transpose
from equilib.ops.losses import cross_entropy, mse
from equilib.ops.normalization import group_norm
from equilib.ops.operators import install_operators
from equilib.ops.pooling import average_pool, max_pool
from equilib.ops.products import dense, matmul
from equilib.ops.reductions import logsumexp, max, mean, min, std, sum, var, weighted_sum  # noqa: A004
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
from equilib.ops.soft_maximum import log_softmax, softmax
from equilib.ops.sparse import sparse_matmul
from equilib.ops.vector_norms import layer_norm, rms_norm
from equilib.ops.windows import fold, patches

__all__ = [
    "abs",
    "add",
    "average_pool",
    "broadcast_to",
    "clip",
    "concat",
    "conv1d",
    "conv2d",
    "conv2d_block",
    "conv2d_general",
    "conv2d_input_transpose",
    "conv2d_transpose",
    "conv2d_weight_transpose",
    "cos",
    "cross_entropy",
    "dense",
    "divide",
    "einsum",
    "exp",
    "expand_dims",
    "flip",
    "fold",
    "gelu",
    "getitem",
    "group_norm",
    "layer_norm",
    "log",
    "log_softmax",
    "logsumexp",
    "matmul",
    "matrix_transpose",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mse",
    "multiply",
    "negative",
    "pad",
    "patches",
    "permute_dims",
    "pow",
    "put_sum",
    "relu",
    "reshape",
    "rms_norm",
    "scaled_dot_product_attention",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "sparse_matmul",
    "sqrt",
    "stack",
    "std",
    "subtract",
    "sum",
    "sum_to",
    "take",
    "tanh",
    "var",
    "weighted_sum",
    "where",
]

install_operators(install(sys.modules[__name__]))
