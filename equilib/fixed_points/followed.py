"""Arrays that PyTorch or JAX itself differentiates or transforms: a solve of other arrays has no derivative there."""

from __future__ import annotations

import sys
from typing import Any

from equilib.arrays import Array


def refuse_followed(array: Array, what: str) -> None:
    """Require an array, called `what`, of any shape, that neither library follows.

    Raises
    ------
    TypeError
        If it is traced by JAX or transformed by `torch.func`, or it requires grad where PyTorch makes a graph.
    """
    # They are asked without being loaded: what is not loaded follows nothing.
    jax: Any = sys.modules.get("jax")
    if isinstance(array, getattr(getattr(jax, "core", None), "Tracer", ())):
        raise TypeError(f"{what} is traced by JAX: take equilib.jax.fixed_point or equilib.jax.odeint")
    torch: Any = sys.modules.get("torch")
    tensor: Any = getattr(torch, "Tensor", ())
    if not isinstance(array, tensor):
        return
    if torch._C._functorch.is_functorch_wrapped_tensor(array):
        raise TypeError(f"{what} is transformed by torch.func: take equilib.torch.fixed_point or equilib.torch.odeint")
    if array.requires_grad and torch.is_grad_enabled():
        raise TypeError(
            f"{what} requires grad, and PyTorch would keep the graph of every step: take equilib.torch.fixed_point or "
            "equilib.torch.odeint, or stay inside of torch.no_grad() where no derivative is asked for"
        )
