"""Layout of a state: a tensor, or a tree of tensors with one batch axis, as one tensor of shape (batch, size)."""

from __future__ import annotations

from math import prod
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.masked import MaskedTensor
from torch.utils import _pytree as pytree

from equilib.arrays.trees import leaves_like, tree_leaves
from equilib.fixed_points.boundary import COMPLEX
from equilib.options.kinds import described

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What PyTorch computes in; of smaller floats it has storage only."""


class Layout:
    """The way between a state and a tensor (batch, size), in the order in which a single tensor lies in memory.

    So a state in channels last is not copied, and what f is given is in channels last.

    Parameters
    ----------
    z0 : Tensor, or tree of tensors that PyTorch's pytrees know, and of None
    name : str
        What it is called in errors.
    batched : bool
        False if there is no batch axis.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """

    def __init__(self, z0: Any, name: str = "z0", *, batched: bool = True) -> None:
        every, self._spec = pytree.tree_flatten(z0)
        self._gaps = [number for number, leaf in enumerate(every) if leaf is None]
        leaves = [leaf for leaf in every if leaf is not None]
        self._name, self.batched, self._alone = name, batched, isinstance(z0, Tensor)
        if not leaves:
            raise TypeError(f"{name} must be a tensor or a tree of tensors, got {described(z0)}")
        for leaf in leaves:
            if not _fits(leaf, batched=batched):
                _refuse(leaf, name + _place(z0, leaf))
        first = leaves[0]
        self.dtype, self.device = first.dtype, first.device
        lead = first.shape[:1] if batched else torch.Size((1,))
        for leaf in leaves:
            if (leaf.dtype, leaf.device) != (self.dtype, self.device) or (batched and leaf.shape[:1] != lead):
                raise ValueError(
                    f"give all tensors of {name} one batch axis, one dtype and one device: there are "
                    f"{_kind(first)} and {_kind(leaf)}"
                )
        self._shapes = [tuple(leaf.shape[1:] if batched else leaf.shape) for leaf in leaves]
        self._sizes = [prod(shape) for shape in self._shapes]
        self.batch, self.size = lead[0], sum(self._sizes)
        self._there, self._back = self._order(first) if self._alone else (None, ())
        self.axes = min(leaf.ndim for leaf in leaves)
        self._plain = self._alone and batched and first.ndim == 2

    def _order(self, z0: Tensor) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
        """Return the axes in the order of memory, and those back, where that is not the order they have."""
        if not self.batched or z0.ndim < 3 or z0.is_contiguous():
            return None, ()
        axes = sorted(range(1, z0.ndim), key=lambda axis: -z0.stride(axis))
        there = (0, *axes)
        if not z0.permute(there).is_contiguous():
            return None, ()
        return there, tuple(there.index(axis) for axis in range(z0.ndim))

    def pack(self, state: Any) -> Tensor:
        """Return a state like z0, maybe of other samples, as a tensor of shape (batch, size)."""
        if self._plain:
            return state
        if self._alone:
            rows = state if self._there is None else state.permute(self._there)
            return rows.reshape((rows.shape[0] if self.batched else 1, self.size))
        leaves = [leaf for leaf in pytree.tree_leaves(state) if leaf is not None]
        batch = leaves[0].shape[0] if self.batched else 1
        return torch.cat([leaf.reshape(batch, size) for leaf, size in zip(leaves, self._sizes, strict=True)], dim=1)

    def unpack(self, packed: Tensor) -> Any:
        """Return a tensor (..., batch, size) as the state, with the same leading axes."""
        if self._plain:
            return packed
        lead = packed.shape[:-1] if self.batched else packed.shape[:-2]
        if self._there is not None:
            (shape,), more = self._shapes, len(lead) - 1
            permuted = packed.reshape((*lead, *(shape[axis - 1] for axis in self._there[1:])))
            return permuted.permute((*range(more), *(more + axis for axis in self._back)))
        if self._alone:
            return packed.reshape((*lead, *self._shapes[0]))
        parts = torch.split(packed, self._sizes, dim=-1)
        return self._tree([part.reshape((*lead, *shape)) for part, shape in zip(parts, self._shapes, strict=True)])

    def row(self, tolerance: np.ndarray) -> np.ndarray:
        """Return a tolerance of each element of a sample in the order of packed states, or of a tree as it is."""
        if not self._alone:
            return tolerance
        whole = np.broadcast_to(tolerance, self._shapes[0])
        axes = range(whole.ndim) if self._there is None else [axis - 1 for axis in self._there[1:]]
        return whole.transpose(tuple(axes)).reshape(-1)

    def checked(self, state: Any, batch: int, *, cast: bool) -> Any:
        """Return what f returned if it is like z0, of `batch` samples; with `cast` its dtype may be another one.

        Raises
        ------
        TypeError, ValueError
            If it is something else.
        """
        if self._plain and type(state) is Tensor and state.shape == (batch, self.size) and state.dtype == self.dtype:
            return state
        leaves, name = self._leaves(state), self._name.removesuffix("0")
        for number, (leaf, shape) in enumerate(zip(leaves, self._shapes, strict=True)):
            wanted = (batch, *shape) if self.batched else shape
            if tuple(leaf.shape) != wanted:
                raise ValueError(f"f must keep the shape of {name}: {wanted} became {tuple(leaf.shape)}")
            if leaf.device != self.device:
                raise ValueError(f"f must keep the device of {name}: {self.device} became {leaf.device}")
            if leaf.dtype != self.dtype:
                if not cast:
                    raise ValueError(
                        f"f must keep the dtype of {name}: {self.dtype} became {leaf.dtype}; give {self._name}, the "
                        "inputs and the parameters one dtype"
                    )
                leaves[number] = leaf.to(self.dtype)
        return self._tree(leaves)

    def _tree(self, leaves: list[Any]) -> Any:
        """Return tensors as a tree like z0."""
        for number in self._gaps:
            leaves.insert(number, None)
        return pytree.tree_unflatten(leaves, self._spec)

    def _leaves(self, state: Any) -> list[Tensor]:
        """Return the tensors of what f returned, in the order of z0's; raises TypeError if it is another tree."""
        leaves, spec = pytree.tree_flatten(state)
        try:
            if spec != self._spec:
                leaves = self._matched(state)
            gaps = [number in self._gaps for number in range(len(leaves))]
            for number, (leaf, gap) in enumerate(zip(leaves, gaps, strict=True)):
                if leaf is not None if gap else not isinstance(leaf, Tensor):
                    raise ValueError(f"{described(leaf)} at {self._place(number)}" if not self._alone else "")
        except ValueError as error:
            hint = "; is its return statement missing?" if state is None else ""
            if isinstance(state, tuple) and state and pytree.tree_structure(state[0]) == self._spec:
                hint = "; what it returns beside it is for fixed_point(..., has_aux=True)"
            else:
                hint = hint or (f": {error}" if str(error) and not self._alone else "")
            raise TypeError(
                f"f must return what {self._name} is, {self._kind()}, it returned {described(state)}{hint}"
            ) from None
        return [leaf for leaf in leaves if leaf is not None] if self._gaps else leaves

    def _matched(self, state: Any) -> list[Any]:
        """Return the leaves of a tree with those of z0, but in another order of keys, or with a list for a tuple.

        Raises ValueError, with the place, if there are other ones.
        """
        like = self._tree([torch.empty(0) for _ in self._shapes])
        leaves: list[Any] = []
        for one, other in zip(tree_leaves(like), leaves_like(like, state), strict=True):  # containers of others too
            found, spec = pytree.tree_flatten(other)
            if spec != pytree.tree_structure(one):
                raise ValueError(f"{described(other)} in the place of {described(one)}")
            leaves += [leaf for leaf in found if leaf is not None]
        for number in self._gaps:
            leaves.insert(number, None)
        return leaves

    def _place(self, number: int) -> str:
        """Return where in z0 one of the leaves is, None included, as in "['a'][0]"."""
        numbers = pytree.tree_unflatten(list(range(self._spec.num_leaves)), self._spec)
        return pytree.keystr(pytree.tree_flatten_with_path(numbers)[0][number][0])

    def _kind(self) -> str:
        return "a tensor" if self._alone else f"a tree of {len(self._shapes)} tensors"


def _fits(leaf: Any, *, batched: bool) -> bool:
    return (
        isinstance(leaf, Tensor)
        and leaf.dtype in DTYPES
        and leaf.layout is torch.strided
        and not leaf.is_meta
        and not leaf.is_nested
        and not isinstance(leaf, MaskedTensor)
        and (not batched or leaf.ndim > 0)
    )


def _place(state: Any, leaf: Any) -> str:
    """Return where in a state a leaf is, as in "['a'][0]"."""
    return next(pytree.keystr(path) for path, each in pytree.tree_flatten_with_path(state)[0] if each is leaf)


def _refuse(leaf: Any, name: str) -> NoReturn:
    if not isinstance(leaf, Tensor):
        raise TypeError(f"{name} must be a tensor or a tree of tensors, got {described(leaf)}")
    if leaf.is_complex():
        raise TypeError(f"{name} must be real, it is of {leaf.dtype}; {COMPLEX}")
    if leaf.dtype not in DTYPES:
        raise TypeError(f"{name} must hold floating-point numbers, it is of {leaf.dtype}; take {name}.float()")
    if leaf.is_meta or leaf.is_nested or isinstance(leaf, MaskedTensor):
        what = "on the meta device, without numbers" if leaf.is_meta else "nested" if leaf.is_nested else "masked"
        raise TypeError(f"{name} must be one plain tensor, it is {what}")
    if leaf.layout is not torch.strided:
        raise TypeError(f"{name} must be dense, it is {leaf.layout}; take {name}.to_dense()")
    raise ValueError(f"{name} needs a batch axis; pass batched=False if its elements form one system")


def _kind(leaf: Tensor) -> str:
    return f"{tuple(leaf.shape)} of {leaf.dtype} on {leaf.device}"
