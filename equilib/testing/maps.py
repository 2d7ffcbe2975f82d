"""Maps whose fixed points are known, and some that have none, on arrays of any library, with derivatives by hand.

All are z ↦ carried·z + s·φ(gain·A(z)/s + bias), with one bias for each sample, and A a linear map. They compute a
sample's value from that sample alone, bit for bit, so that differences are the solver's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from types import ModuleType
from typing import Any

import numpy as np

from equilib.arrays import Array, Namespace, Tree, array_namespace, coefficients
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.problem import FixedPointProblem

Product = Callable[[Array], Array]


@dataclass(frozen=True)
class Nonlinearity:
    """φ of (xp, x), and its slope of (xp, x, φ(x))."""

    value: Callable[[Namespace, Array], Array]
    slope: Callable[[Namespace, Array, Array], Array]


IDENTITY = Nonlinearity(lambda xp, x: x, lambda xp, x, value: xp.ones_like(x))
TANH = Nonlinearity(lambda xp, x: xp.tanh(x), lambda xp, x, value: 1 - value * value)
# It exceeds x by at least max(1, |x|): as an f it has no fixed point, nor nearly one relative to the size of z.
ABOVE = Nonlinearity(lambda xp, x: x + xp.sqrt(1 + x * x), lambda xp, x, value: 1 + x / xp.sqrt(1 + x * x))
# It exceeds x by 0.05 at least, which is little beside a large x.
CREEPING = Nonlinearity(lambda xp, x: x + 0.05 + xp.sin(x) ** 2 / 2, lambda xp, x, value: 1 + xp.sin(x) * xp.cos(x))


@dataclass(frozen=True, kw_only=True)
class KnownMap:
    """One of the maps; its arrays are NumPy's, float64.

    Attributes
    ----------
    apply, transpose : callable
        A and Aᵀ.
    activation : Nonlinearity
        φ.
    bias, z0 : ndarray, shape (batch, ...)
    solution : ndarray, shape (batch, ...), or None
        The fixed points, None where there are none.
    gain, scale, carried : float
    """

    name: str
    apply: Product = field(repr=False)
    transpose: Product = field(repr=False)
    activation: Nonlinearity
    bias: np.ndarray = field(repr=False)
    z0: np.ndarray = field(repr=False)
    solution: np.ndarray | None = field(repr=False)
    gain: float = 1.0
    scale: float = 1.0
    carried: float = 0.0

    def start(self, xp: ModuleType = np, dtype: str = "float64") -> Array:
        """Return a new copy of the initial guess on arrays of `xp`."""
        return xp.asarray(self.z0.astype(dtype))

    def inputs(self, xp: ModuleType = np, dtype: str = "float64") -> Tree:
        """Return what the map depends on: a number shared by the batch, and a bias for each sample."""
        gain = np.full((), self.gain, dtype=dtype)
        return {"gain": xp.asarray(gain), "bias": xp.asarray(self.bias.astype(dtype))}

    def problem(
        self,
        xp: ModuleType = np,
        dtype: str = "float64",
        *,
        calls: Counter[str] | None = None,
        derivatives: bool = True,
    ) -> FixedPointProblem:
        """Return the problem; `calls` counts evaluations ("f") and products, and derivatives may be refused."""
        counter: Counter[str] = Counter() if calls is None else calls

        def f(z: Array, inputs: Tree) -> Array:
            counter["f"] += 1
            return self(z, inputs)

        def linearize(_: object, z: Array, inputs: Tree) -> Linearization:
            if not derivatives:
                raise AssertionError("it asked for a linearization, and does not declare that it needs derivatives")
            counter["f"] += 1
            return self.linearize(z, inputs, counter)

        return FixedPointProblem(f, self.inputs(xp, dtype), linearize=linearize)

    def turning_nan(self, sick: int | slice, *, derivatives: bool = True) -> FixedPointProblem:
        """Return the problem of which f is nan in some of the samples from its third evaluation on."""
        calls: Counter[str] = Counter()
        problem, ill = self.problem(calls=calls, derivatives=derivatives), self.poisoned(sick).inputs()

        def linearize(f: Callable[..., Array], z: Array, inputs: Tree) -> Linearization:
            return problem.derivatives(f, z, inputs if calls["f"] < 2 else ill)

        return problem.of(lambda z, inputs: problem.f(z, inputs if calls["f"] < 2 else ill), linearize, *problem.inputs)

    def restrictable(self) -> FixedPointProblem:
        """Return the problem with two inputs, the gain, and the bias, which is declared to have the batch axis."""
        inputs = self.inputs()
        return FixedPointProblem(
            lambda z, gain, bias: self(z, {"gain": gain, "bias": bias}),
            inputs["gain"],
            inputs["bias"],
            linearize=lambda _, z, gain, bias: self._by_leaf(z, {"gain": gain, "bias": bias}),
            batched_inputs=(False, True),
        )

    def _by_leaf(self, z: Array, inputs: Tree) -> Linearization:
        linear = self.linearize(z, inputs, Counter())
        return replace(linear, inputs_vjp=lambda w: tuple(linear.inputs_vjp(w)[0].values()))

    def __call__(self, z: Array, inputs: Tree) -> Array:
        """Evaluate the map."""
        inner = inputs["gain"] * self.apply(z) / self.scale + inputs["bias"]
        return self._carry(z, self.scale * self.activation.value(array_namespace(z), inner))

    def _carry(self, z: Array, value: Array) -> Array:
        return value + self.carried * z if self.carried else value

    def linearize(self, z: Array, inputs: Tree, calls: Counter[str]) -> Linearization:
        """Return the value, and products that count themselves."""
        xp = array_namespace(z)
        gain, product = inputs["gain"], self.apply(z)
        inner = gain * product / self.scale + inputs["bias"]
        inside = self.activation.value(xp, inner)
        slope = self.activation.slope(xp, inner, inside)

        def jvp(v: Array) -> Array:
            calls["jvp"] += 1
            return self._carry(v, slope * gain * self.apply(v))

        def vjp(w: Array) -> Array:
            calls["vjp"] += 1
            return self._carry(w, self.transpose(slope * gain * w))

        def inputs_vjp(w: Array) -> tuple[Tree, ...]:
            pulled = slope * w
            return ({"gain": xp.sum(pulled * product), "bias": self.scale * pulled},)

        value = self._carry(z, self.scale * inside)
        return Linearization(value=value, jvp=jvp, vjp=vjp, inputs_vjp=inputs_vjp)

    def jacobians(self) -> np.ndarray:
        """Return J at the fixed points, shape (batch, size, size)."""
        if self.solution is None:
            raise ValueError(f"{self.name} has no fixed point")
        linear = self.linearize(self.solution, self.inputs(), Counter())
        shape = self.solution.shape
        units = np.eye(prod(shape[1:])).reshape(-1, 1, *shape[1:])
        columns = [linear.jvp(np.broadcast_to(unit, shape)).reshape(shape[0], -1) for unit in units]
        return np.stack(columns, axis=2)

    def take(self, samples: slice | list[int]) -> KnownMap:
        """Return the map of some of the samples."""
        solution = None if self.solution is None else self.solution[samples]
        return replace(self, bias=self.bias[samples], z0=self.z0[samples], solution=solution)

    def starting_at(self, z0: np.ndarray) -> KnownMap:
        """Return the map with another initial guess."""
        return replace(self, z0=z0)

    def poisoned(self, sick: int | slice) -> KnownMap:
        """Return the map with nan in the bias of some of the samples."""
        bias = self.bias.copy()
        bias[sick] = np.nan
        return replace(self, bias=bias)

    def __str__(self) -> str:
        return self.name


def _dense(matrix: np.ndarray) -> Product:
    def apply(z: Array) -> Array:
        xp = array_namespace(z)
        # A sum of products instead of `matmul`, whose rounding depends on how many rows there are.
        return xp.sum(coefficients(matrix, z)[None, :, :] * z[:, None, :], axis=2)

    return apply


def _stencil(weights: dict[tuple[int, int, int], float], sign: int) -> Product:
    def apply(z: Array) -> Array:
        xp = array_namespace(z)
        total = xp.zeros_like(z)
        for shift, weight in weights.items():
            total = total + weight * xp.roll(z, tuple(sign * each for each in shift), axis=(1, 2, 3))
        return total

    return apply


def _reverse(z: Array) -> Array:
    return -z


def _same(z: Array) -> Array:
    # A copy: a solver that wrote to what it is given must not meet its own iterate there.
    return z + 0.0


_BATCH, _SIZE = 5, 6
_rng = np.random.default_rng(11)
_matrix = _rng.standard_normal((_SIZE, _SIZE)) + np.diag(np.ones(_SIZE - 1), 1)
_DENSE = _matrix / np.linalg.norm(_matrix, 2)
# The weights of a convolution over a torus that mixes its channels: their absolute values add up to 1.
_WEIGHTS = {(0, 0, 0): 0.2, (1, 0, 0): 0.3, (0, -1, 0): -0.15, (0, 1, 1): 0.25, (-1, 0, 1): -0.1}


def _cell(
    name: str, shape: tuple[int, ...], *, gain: float, scale: float = 1.0, activation: Nonlinearity = TANH
) -> KnownMap:
    """Choose the fixed points, and the biases so that they are."""
    apply = _dense(_DENSE) if len(shape) == 2 else _stencil(_WEIGHTS, 1)
    transpose = _dense(_DENSE.T) if len(shape) == 2 else _stencil(_WEIGHTS, -1)
    y = _rng.uniform(-0.8, 0.8, shape)
    return KnownMap(
        name=name,
        apply=apply,
        transpose=transpose,
        activation=activation,
        bias=(np.arctanh(y) if activation is TANH else y) - gain * apply(y),
        z0=scale * _rng.uniform(-1.0, 1.0, shape),
        solution=scale * y,
        gain=gain,
        scale=scale,
    )


def _shifted(name: str, apply: Product, bias: np.ndarray, **settings: Any) -> KnownMap:
    """Return the map for a symmetric A that does not mix a sample's elements."""
    z0 = _rng.uniform(-1.0, 1.0, bias.shape)
    given = {"activation": IDENTITY, "solution": None, **settings}
    return KnownMap(name=name, apply=apply, transpose=apply, bias=bias, z0=z0, **given)


DENSE = _cell("a tanh cell", (_BATCH, _SIZE), gain=0.7)
LINEAR = _cell("a linear contraction", (_BATCH, _SIZE), gain=0.6, activation=IDENTITY)
IMAGES = _cell("a convolutional cell", (3, 4, 5, 2), gain=0.7)
CONSTANT = _cell("a constant map", (_BATCH, _SIZE), gain=0.0)
TINY = _cell("a tanh cell of size 1e-6", (_BATCH, _SIZE), gain=0.7, scale=1e-6)
HUGE = _cell("a tanh cell of size 1e+6", (_BATCH, _SIZE), gain=0.7, scale=1e6)
_VALUES = _rng.uniform(-0.8, 0.8, (_BATCH, _SIZE))
EXPANSIVE = _shifted("an expansive map", _reverse, bias=4 * _VALUES, solution=_VALUES, gain=3.0)
NO_FIXED_POINT = _shifted("a map without fixed point", _same, bias=np.zeros((_BATCH, _SIZE)), activation=ABOVE)
SHIFT = _shifted("z + 1, where I − J = 0", _same, bias=np.ones((_BATCH, _SIZE)))

_steps = np.random.default_rng(21)
_W = -np.eye(8) - 0.3 / 8**0.5 * _steps.standard_normal((8, 8))
_INJECTION = _steps.standard_normal((6, 8))
_FAR = np.array([[3.0], [20.0], [-3.0], [-20.0]])
# Where f(z) − z is bounded, one long step makes every residual small beside z.
DRIFTING = (
    KnownMap(
        name="z − tanh z from far away",
        apply=_reverse,
        transpose=_reverse,
        activation=TANH,
        bias=np.zeros_like(_FAR),
        z0=_FAR,
        solution=np.zeros_like(_FAR),
        carried=1.0,
    ),
    KnownMap(
        name="a residual block",
        apply=_dense(_W),
        transpose=_dense(_W.T),
        activation=TANH,
        bias=_INJECTION,
        z0=np.zeros_like(_INJECTION),
        solution=-np.linalg.solve(_W, _INJECTION.T).T,
        carried=1.0,
    ),
    SHIFT,
    _shifted("z + 0.05 + sin²(z)/2", _same, bias=np.zeros_like(_FAR), activation=CREEPING).starting_at(10 + 1.5 * _FAR),
)
