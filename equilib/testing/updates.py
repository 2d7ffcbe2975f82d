"""Laws of an optimizer: the obligations of `equilib.training.optimizers.Optimizer`."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any

import numpy as np

from equilib.arrays import Array, Tree, is_array, named_leaves, tree_map
from equilib.testing.check import require
from equilib.testing.contract import DTYPES, arrives_by_pickle, global_generator_untouched, options_are_declared
from equilib.testing.subject import difference, host, namespaces, same_bits
from equilib.training.optimizers import Optimizer

RATE, STEPS = 0.02, 200
_rng = np.random.default_rng(6)
PARAMS: Tree = {"layer": [_rng.standard_normal((3, 4)), _rng.standard_normal(4)], "scale": np.asarray(1.5)}
GOAL: Tree = tree_map(lambda leaf: leaf + np.sign(_rng.standard_normal(leaf.shape)), PARAMS)


@dataclass(frozen=True)
class OptimizerSubject:
    """An optimizer under test, on ½‖θ − θ*‖², each element of which is 1 away."""

    optimizer: Optimizer

    def run(
        self, steps: int, xp: ModuleType = np, dtype: str = "float64", *, rate: float = RATE, afresh: int = 0
    ) -> tuple[Tree, Any]:
        """Return parameters and state after some steps; after `afresh` of them from copies, as of a checkpoint."""
        optimizer = copy.deepcopy(self.optimizer)
        params, goal = (tree_map(lambda leaf: xp.asarray(leaf.astype(dtype)), tree) for tree in (PARAMS, GOAL))
        state = optimizer.init(params)
        for step in range(steps):
            if step == afresh > 0:
                optimizer = copy.deepcopy(self.optimizer)
                state = replace(optimizer.init(params), **{name: getattr(state, name) for name in _names(state)})
            gradient = tree_map(lambda p, c: p - c, params, goal)
            params, state = optimizer.update(params, gradient, state, rate)
        return params, state


def _distance(params: Tree, goal: Tree = GOAL) -> float:
    return float(sum(np.sum((host(p) - host(c)) ** 2) for (_, p), (_, c) in _pairs(params, goal)))


def _pairs(one: Tree, other: Tree) -> Any:
    found, expected = list(named_leaves(one)), list(named_leaves(other))
    names = [name for name, _ in found]
    require(names == [name for name, _ in expected], f"the tree of parameters became {', '.join(names)}")
    return zip(found, expected, strict=True)


def _agree(one: Tree, other: Tree, when: str) -> None:
    for (name, p), (_, q) in _pairs(one, other):
        require(same_bits(p, q), f"{when} {name} differs by {difference(p, q):.1e}")


def declares_its_options(subject: OptimizerSubject) -> None:
    """The command line lists, parses and records the fields of a frozen dataclass."""
    options_are_declared(subject.optimizer)


def goes_to_other_processes(subject: OptimizerSubject) -> None:
    """A pool of processes is sent optimizers by pickle."""
    arrives_by_pickle(subject.optimizer)


def goes_downhill(subject: OptimizerSubject) -> None:
    """A gradient points uphill: the first step is against it, and on ½‖θ − θ*‖² many lead far down."""
    before = _distance(PARAMS)
    for steps, share in ((1, 1.0), (STEPS, 0.25)):
        left = _distance(subject.run(steps)[0]) / before
        require(left < share, f"after {steps} steps of {RATE} the loss is {left:.2f} times the first")


def heeds_the_rate(subject: OptimizerSubject) -> None:
    """Schedules act by the rate: none moves nothing, and a smaller one moves less."""
    _agree(subject.run(3, rate=0.0)[0], PARAMS, "with a rate of 0")
    little, much = (_distance(subject.run(1, rate=rate)[0], PARAMS) for rate in (1e-4, 1e-2))
    require(little < much, "a rate of 1e-4 moves the parameters as far as 1e-2")


def keeps_shapes_and_dtypes(subject: OptimizerSubject) -> None:
    """float32 stays float32, in the parameters and in the state, also where the rate is a number of NumPy's."""
    for dtype in DTYPES:
        params, state = subject.run(2, dtype=dtype, rate=np.float64(RATE))
        for (name, leaf), (_, before) in _pairs(params, PARAMS):
            require(str(leaf.dtype) == dtype and leaf.shape == before.shape, f"{name} became {leaf.dtype}{leaf.shape}")
        for name, leaf in _state_leaves(state):
            wide = is_array(leaf) and leaf.dtype.kind == "f" and str(leaf.dtype) != dtype
            require(not wide, f"{name} of the state is {getattr(leaf, 'dtype', '')}, the parameters are {dtype}")


def _state_leaves(state: Any) -> list[tuple[str, Any]]:
    parameters: Any = getattr(type(state), "__dataclass_params__", None)
    frozen = parameters is not None and parameters.frozen
    require(frozen, f"the state is a {type(state).__name__}, not a frozen dataclass")
    return list(named_leaves({name: getattr(state, name) for name in _names(state)}))


def _names(state: Any) -> list[str]:
    return [each.name for each in fields(state)]


def goes_on_from_a_checkpoint(subject: OptimizerSubject) -> None:
    """A run is resumed from the fields of the state alone, arrays and numbers, bit for bit."""
    for name, leaf in _state_leaves(subject.run(2)[1]):
        held = is_array(leaf) or isinstance(leaf, bool | int | float | str) or leaf is None
        require(held, f"a checkpoint cannot hold {name} of the state, a {type(leaf).__name__}")
    _agree(subject.run(6, afresh=3)[0], subject.run(6)[0], "resumed after 3 of 6 steps")


def keeps_nothing_on_itself(subject: OptimizerSubject) -> None:
    """An optimizer serves many trainings, and changes no array that it is given: a snapshot may hold it."""
    optimizer = copy.deepcopy(subject.optimizer)
    params, gradient = (tree_map(np.copy, tree) for tree in (PARAMS, GOAL))
    state = optimizer.init(params)
    kept = copy.deepcopy(state)
    with global_generator_untouched():
        first, _ = optimizer.update(params, gradient, state, RATE)
        second, _ = optimizer.update(params, gradient, state, RATE)
    _agree(first, second, "called once more")
    _agree(params, PARAMS, "changed in place")
    _agree(gradient, GOAL, "changed in place, of the gradient")
    for (name, leaf), (_, before) in zip(_state_leaves(state), _state_leaves(kept), strict=True):
        require(not is_array(leaf) or same_bits(leaf, before), f"it changed {name} of the state in place")


def runs_on_other_arrays(subject: OptimizerSubject) -> None:
    """The same code serves NumPy, CuPy and all array-API libraries."""
    expected = dict(named_leaves(subject.run(5)[0]))
    for name, xp in namespaces(("any",)).items():
        found: list[tuple[str, Array]] = list(named_leaves(subject.run(5, xp)[0]))
        for leaf, value in found:
            require(type(value) is type(xp.zeros(1)), f"on {name} {leaf} is a {type(value).__name__}")
            error = difference(value, expected[leaf])
            require(error < 1e-12, f"on {name} {leaf} differs by {error:.1e}")
