"""Layers in objects of any class: what is held is found, and what is only called is noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from equilib import ops
from equilib.arrays import Array, Tree
from equilib.layers import BatchNorm, Chain, Dense, Dropout, observing
from equilib.layers.held import held_layers
from equilib.layers.observation import observes
from equilib.layers.pass_constants import draw
from tests.training.small import FEATURES, STATE, network


class Own:
    """A class of one's own, whose parameters are those of the layer that it finds by `find`."""

    def __init__(self, find: Callable[[], Any], **held: Any) -> None:
        self._find = find
        self.__dict__.update(held)

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters."""
        return self._find().init(rng)

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layer."""
        return self._find()(params, x)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Slotted:
    """A layer in a slot."""

    layer: Any

    def init(self, rng: np.random.Generator) -> Tree:
        """Draw the parameters."""
        return self.layer.init(rng)

    def __call__(self, params: Tree, x: Array) -> Array:
        """Apply the layer."""
        return self.layer(params, x)  # type: ignore[no-any-return]


class Private(Own):
    """A layer in a slot that is private."""

    __slots__ = ("__layer",)

    def __init__(self, layer: Any) -> None:
        super().__init__(lambda: layer)
        self.__layer = layer


def of_class(layer: Any) -> Any:
    """Return an object whose class has the layer."""
    return type("OfClass", (Own,), {"layer": layer})(lambda: layer)


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "attribute": lambda layer: Own(lambda: layer, layer=layer),
    "slot": Slotted,
    "private slot": Private,
    "class": of_class,
    "nested rows": lambda layer: Own(lambda: layer, rows=((Dense(4, 4), layer),)),
    "dict of lists": lambda layer: Own(lambda: layer, by_name={"last": [[layer]]}),
    "helper": lambda layer: Own(lambda: layer, helper=SimpleNamespace(inner=SimpleNamespace(norm=layer))),
    "partial": lambda layer: Own(lambda: layer, apply=partial(ops.add, layer)),
    "method": lambda layer: Own(lambda: layer, apply=layer.__call__),
    "layer in a layer": lambda layer: Own(lambda: layer, inner=Slotted(Slotted(layer))),
    "in a chain": lambda layer: Chain(Slotted(layer)),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_a_layer_is_found_wherever_it_is_held(name: str, rng: np.random.Generator) -> None:
    """A BatchNorm that nobody lets observe is refused, and so is a Dropout that nobody would draw for."""
    holder = HOLDERS[name](BatchNorm(4))
    assert observes(holder)
    assert not observes(HOLDERS[name](Dense(4, 4)))
    with pytest.raises(ValueError, match=r"a BatchNorm in .* the statistics of a batch: give it a method"):
        observing(holder, holder.init(rng), np.ones((3, 4)))
    drops = HOLDERS[name](Dropout(0.5, (4,)))
    with pytest.raises(TypeError, match="and has no children"):
        draw(drops, drops.init(rng), np.ones((3, 4)), rng)


def test_a_layer_that_no_object_shows_is_noticed_when_it_is_called(rng: np.random.Generator) -> None:
    """Where only a function finds the BatchNorm, its call by running statistics tells of it, in a chain too."""
    hidden = Own(lambda: BatchNorm(4))
    assert not observes(hidden)
    with pytest.raises(ValueError, match="a BatchNorm in Own cannot use the statistics of a batch"):
        observing(hidden, hidden.init(rng), np.ones((3, 4)))
    model = replace(network(), before=Chain(Dense(FEATURES, STATE), Own(lambda: BatchNorm(STATE))))
    with pytest.raises(ValueError, match="a BatchNorm in Chain cannot use the statistics of a batch: hold it in"):
        observing(model, model.init(rng), np.ones((3, FEATURES), np.float32))


def test_what_holds_itself_is_searched_once() -> None:
    """Objects that hold each other, and such as raise for what they have not, end the search."""

    class Raising:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    one, other = Own(lambda: None), Own(lambda: None, raising=Raising())
    one.other, other.one = other, one  # type: ignore[attr-defined]
    assert list(held_layers(one)) == [other]
    assert not observes(one)
    assert draw(one, {}, np.ones((3, 4)), np.random.default_rng(0)) == {}


class Affine(NamedTuple):
    """Parameters by name."""

    weight: Array
    bias: Array


class ByName:
    """A layer whose parameters are a named tuple."""

    def init(self, rng: np.random.Generator) -> Affine:
        """Draw the parameters."""
        return Affine(rng.standard_normal((FEATURES, STATE)).astype("float32"), np.zeros(STATE, "float32"))

    def __call__(self, params: Affine, x: Array) -> Array:
        """Apply the layer."""
        return ops.dense(x, *params)


def test_observed_parameters_are_of_their_own_types(rng: np.random.Generator) -> None:
    """A named tuple beside a BatchNorm stays one."""
    model = replace(network(), before=Chain(ByName(), BatchNorm(STATE)))
    params = model.init(rng)
    _, moved = observing(model, params, rng.standard_normal((5, FEATURES)).astype("float32"))
    assert type(moved["before"][0]) is Affine
    assert all(new is old for new, old in zip(moved["before"][0], params["before"][0], strict=True))
