"""The three tapes that equilibria are differentiated by, as laws about all of them see them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pytest

Function = Callable[..., Any]


class Tape(Protocol):
    """**Protocol:** `fixed_point` of one library, its arrays, and derivatives of functions of them."""

    fixed_point: Function
    equilibrium: Function
    tanh: Function

    def array(self, host: np.ndarray) -> Any:
        """Return an array of this library, float64."""

    def host(self, array: Any) -> np.ndarray:
        """Return it on the host."""

    def grad(self, loss: Function) -> Function:
        """Return the gradient of a sum by the first argument, which can be differentiated again."""


class NumPyTape:
    """Our own tape, on NumPy's arrays."""

    def __init__(self) -> None:
        from equilib import equilibrium, fixed_point, ops

        self.fixed_point, self.equilibrium, self.tanh = fixed_point, equilibrium, ops.tanh

    def array(self, host: np.ndarray) -> Any:
        """Return the array itself."""
        return host

    def host(self, array: Any) -> np.ndarray:
        """Return the array itself."""
        return np.asarray(array)

    def grad(self, loss: Function) -> Function:
        """Return the gradient of a sum by the first argument."""
        from equilib import ops
        from equilib.autodiff import value_and_grad

        gradient = value_and_grad(lambda *arguments: ops.sum(loss(*arguments)))
        return lambda *arguments: gradient(*arguments)[1]


class TorchTape:
    """PyTorch's autograd."""

    def __init__(self) -> None:
        import torch

        from equilib.torch import equilibrium, fixed_point

        self.torch, self.tanh = torch, torch.tanh
        self.fixed_point, self.equilibrium = fixed_point, equilibrium

    def array(self, host: np.ndarray) -> Any:
        """Return a tensor with a copy."""
        return self.torch.from_numpy(host.copy())

    def host(self, array: Any) -> np.ndarray:
        """Return the numbers of a tensor."""
        return array.detach().numpy()

    def grad(self, loss: Function) -> Function:
        """Return the gradient of a sum by the first argument."""

        def gradient(x: Any, *rest: Any) -> Any:
            x = x if x.requires_grad else x.detach().requires_grad_()
            return self.torch.autograd.grad(loss(x, *rest).sum(), x, create_graph=True)[0]

        return gradient


class JaxTape:
    """JAX, outside of `jit`."""

    def __init__(self) -> None:
        import jax

        from equilib.jax import equilibrium, fixed_point

        jax.config.update("jax_enable_x64", True)
        self.jax, self.tanh = jax, jax.numpy.tanh
        self.fixed_point, self.equilibrium = fixed_point, equilibrium

    def array(self, host: np.ndarray) -> Any:
        """Return an array of JAX's."""
        return self.jax.numpy.asarray(host)

    def host(self, array: Any) -> np.ndarray:
        """Return the numbers of an array."""
        return np.asarray(array)

    def grad(self, loss: Function) -> Function:
        """Return the gradient of a sum by the first argument."""
        return self.jax.grad(lambda *arguments: loss(*arguments).sum())


TAPES: dict[str, Callable[[], Tape]] = {"numpy": NumPyTape, "torch": TorchTape, "jax": JaxTape}
"""Where the library of that name is installed."""


def tape(name: str) -> Tape:
    """Return a tape, or skip the test where its library is not installed."""
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return TAPES[name]()
