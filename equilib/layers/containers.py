"""Layers made of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import prod
from typing import Any

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers.composite import Composite
from equilib.layers.epilogue import TakesEpilogue, activation_name, apply
from equilib.layers.observation import observing
from equilib.layers.protocol import Layer, WithoutParameters
from equilib.ops.convolution_block import IDENTITY
from equilib.options.kinds import check_kind


@dataclass(frozen=True)
class Activation(WithoutParameters):
    """A function as a layer without parameters, such as `Activation(ops.tanh)`.

    Raises TypeError if it is none.
    """

    function: Callable[[Array], Array]

    def __post_init__(self) -> None:
        check_kind(self.function, "what Activation applies", "function")

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the function to an array of any shape."""
        return self.function(x)


@dataclass(frozen=True)
class Flatten(WithoutParameters):
    """Make each sample a vector: (batch, ...) to (batch, size of one sample)."""

    def __call__(self, params: Tree, x: Array) -> Array:
        """Return the vectors, shape (batch, size)."""
        return ops.reshape(x, (x.shape[0], prod(x.shape[1:])))  # of no samples -1 is any size


class _Container(Composite):
    """Layers; the parameters are a list, one entry for each. A plain function counts as a layer without parameters.

    Raises TypeError if something is neither.
    """

    def __init__(self, *layers: Layer | Callable[[Array], Array]) -> None:
        for each in layers:
            check_kind(each, f"a part of {type(self).__name__}", "layer or function")
        self.layers = tuple(each if isinstance(each, Layer) else Activation(each) for each in layers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"

    def children(self) -> list[Layer]:
        """Return the layers."""
        return list(self.layers)


class Chain(_Container):
    """Layers one after the other; a plain function counts as a layer without parameters.

    The parameters are a list, one entry for each layer. Raises TypeError if something is no layer and no function.
    """

    def __init__(self, *layers: Layer | Callable[[Array], Array]) -> None:
        super().__init__(*layers)
        self._stages = list(_stages(self.layers))

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layers in turn; each takes the shape that the last returns."""
        return self.with_epilogue(params, x, IDENTITY, None)

    def with_epilogue(self, params: Tree, x: Array, activation: str, after: Array | None) -> Array:
        """Return φ(chain(x)) + after for x of shape (batch, ...), as `TakesEpilogue` says."""
        self._check(params)
        last = len(self._stages) - 1
        for stage, (number, name) in enumerate(self._stages):
            if stage == last and IDENTITY in (name, activation):
                return apply(self.layers[number], params[number], x, activation if name == IDENTITY else name, after)
            x = apply(self.layers[number], params[number], x, name)
        return apply(lambda _, y: y, None, x, activation, after)

    def observe(self, params: Tree, x: Array) -> tuple[Array, Tree]:
        """Return chain(params, x), x of shape (batch, ...), and the parameters, as `observing`, layer after layer."""
        self._check(params)
        moved = []
        for layer, own in zip(self.layers, params, strict=True):
            x, after = observing(layer, own, x)
            moved.append(after)
        return x, moved

    def _check(self, params: Tree) -> None:
        if len(params) != len(self.layers):
            raise ValueError(f"a chain of {len(self.layers)} layers takes as many parameters, not {len(params)}")


def _stages(layers: Sequence[Any]) -> Iterator[tuple[int, str]]:
    """Yield the number of each layer, and the activation behind it that becomes part of it."""
    part_of_the_last = False
    for number, (layer, following) in enumerate(pairwise((*layers, None))):
        if part_of_the_last:
            part_of_the_last = False
            continue
        name = activation_name(following.function) if isinstance(following, Activation) else None
        part_of_the_last = isinstance(layer, TakesEpilogue) and name is not None
        yield number, (name or IDENTITY) if part_of_the_last else IDENTITY


class Fork(_Container):
    """The same input through several branches: the tuple of their results."""

    def __call__(self, params: Tree, x: Any) -> Any:
        """Apply the branches to x, shape (batch, ...)."""
        return tuple(branch(own, x) for branch, own in zip(self.layers, params, strict=True))

    def observe(self, params: Tree, x: Any) -> tuple[Any, Tree]:
        """Return fork(params, x), x of shape (batch, ...), and the parameters, as `observing` of each branch."""
        results, moved = _observed(self.layers, params, [x] * len(self.layers))
        return tuple(results), moved


class _Joined(_Container):
    """Branches whose results `combine` joins from left to right."""

    def __init__(
        self, *branches: Layer | Callable[[Array], Array], combine: Callable[[Array, Array], Array] = ops.add
    ) -> None:
        super().__init__(*branches)
        check_kind(combine, "combine", "function")
        self.combine = combine


class Parallel(_Joined):
    """The same input through several branches, whose results `combine` joins; by default they are added."""

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the branches and combine their results, all of one shape, from left to right."""
        return reduce(self.combine, [branch(own, x) for branch, own in zip(self.layers, params, strict=True)])

    def observe(self, params: Tree, x: Array) -> tuple[Array, Tree]:
        """Return parallel(params, x), x of shape (batch, ...), and the parameters, as `observing` of each branch."""
        results, moved = _observed(self.layers, params, [x] * len(self.layers))
        return reduce(self.combine, results), moved


class Merge(_Joined):
    """A tuple, each of its arrays through a branch of its own; `combine` joins the results, by default it adds them.

    It is the head of a model with several scales.
    """

    def __call__(self, params: Tree, x: Any) -> Array:
        """Apply the branches and combine their results, all of one shape, from left to right.

        Raises ValueError if there are not as many arrays as branches.
        """
        self._check(x)
        return reduce(self.combine, [branch(own, y) for branch, own, y in zip(self.layers, params, x, strict=True)])

    def observe(self, params: Tree, x: Any) -> tuple[Array, Tree]:
        """Return merge(params, x), x of shapes (batch, ...), and the parameters, as `observing` of each branch."""
        self._check(x)
        results, moved = _observed(self.layers, params, x)
        return reduce(self.combine, results), moved

    def _check(self, x: Any) -> None:
        if not isinstance(x, tuple) or len(x) != len(self.layers):
            found = f"a tuple of {len(x)}" if isinstance(x, tuple) else "one array"
            raise ValueError(f"{len(self.layers)} branches take a tuple of as many arrays, they were given {found}")


def _observed(layers: Sequence[Any], params: Tree, inputs: Sequence[Any]) -> tuple[list[Any], list[Tree]]:
    """Return what each layer makes of its own input, and its parameters, both as `observing` has them."""
    found = [observing(layer, own, x) for layer, own, x in zip(layers, params, inputs, strict=True)]
    return [result for result, _ in found], [moved for _, moved in found]
