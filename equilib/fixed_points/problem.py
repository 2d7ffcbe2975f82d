"""The fixed-point problem: f, its inputs, and what is declared about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from equilib.arrays import Array, Tree, named_leaves, take_rows, tree_map
from equilib.errors import NoDerivativeError
from equilib.fixed_points.arguments import check_call, check_declared
from equilib.fixed_points.boundary import checked, copied, evaluate, read_only
from equilib.fixed_points.coarse import CoarseEvaluations
from equilib.fixed_points.linearization import Linearization, Map, Products, autodiff_linearize
from equilib.options.kinds import check_kind, check_type


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Problem:
    """A map of a state with its inputs and derivatives: what is asked, which no solve changes.

    Attributes
    ----------
    f : callable
        The map, whose arguments are where it is evaluated, the state last, and then the inputs.
    inputs : tuple of trees of arrays
    derivatives : callable
        Maps f and its arguments to a `Linearization`.
    """

    state: ClassVar[str] = "z"
    arguments: ClassVar[tuple[str, ...]] = ("z",)

    f: Map
    inputs: tuple[Tree, ...]
    derivatives: Callable[..., Linearization]

    def __init__(self, f: Map, *inputs: Tree, linearize: Callable[..., Linearization]) -> None:
        for name, given in (("f", f), ("linearize", linearize)):
            check_kind(given, name, "function")
        check_call(f, "f", *self.arguments, inputs=len(inputs), where=f"{type(self).__name__}(f, *inputs)")
        check_call(linearize, "linearize", "f", *self.arguments, inputs=len(inputs))
        self.__dict__.update(f=f, inputs=read_only(inputs), derivatives=linearize)

    def of(self, f: Map, derivatives: Callable[..., Linearization], *inputs: Tree) -> Self:
        """Return the problem of another map, or of other inputs, with what is declared about this one."""
        made = object.__new__(type(self))
        made.__dict__.update({**self.__dict__, "f": f, "inputs": inputs, "derivatives": derivatives})
        return made

    def __call__(self, *at: Array) -> Array:
        """Evaluate f at a state, in an array of its own; raises what `equilib.fixed_points.boundary.evaluate` does."""
        return copied(self._evaluated(*at))

    def _evaluated(self, *at: Array) -> Array:
        return evaluate(self.f, at[-1], *self.inputs, name=self.state, before=at[:-1])

    def linearize(self, *at: Array) -> Linearization:
        """Evaluate f, shape (batch, ...), once and keep what J·v and Jᵀ·w need.

        Raises
        ------
        Exception
            As `__call__` does.
        NoDerivativeError
            If f cannot be traced; or when a product is asked for, if the problem was not given it.
        """
        try:
            linear = self.derivatives(self.f, *at[:-1], read_only(at[-1]), *self.inputs)
        except NoDerivativeError:
            self._evaluated(*at)  # where f itself is wrong, this says so
            raise
        check_type(linear, "what linearize returns", Linearization)
        checked(linear.value, at[-1], name=self.state)
        return linear


@dataclass(frozen=True, init=False, repr=False, eq=False)
class FixedPointProblem(Problem):
    """Find z = f(z, *inputs): what is asked, which no solve changes.

    Evaluated directly it counts nothing; a solve does it by an `equilib.fixed_points.evaluator.Evaluator`, which does.

    Parameters
    ----------
    f : callable
        Maps z, shape (batch, ...), and the inputs to an array of the shape and dtype of z. Sample i of the
        result may depend on sample i of z only.
    inputs : trees of arrays
        What f depends on besides z (parameters, injection); a sensitivity returns their cotangents.
    jvp, vjp : callable, optional
        `jvp(z, v, *inputs)` and `vjp(z, w, *inputs)`, for arrays that autograd does not know.
    inputs_vjp : callable, optional
        `inputs_vjp(z, w, *inputs)` returns (∂f/∂inputs)ᵀ·w: a tuple with one tree for each of the inputs.
    linearize : callable, optional
        `linearize(f, z, *inputs)` to a `Linearization`; by default of the products given, or by differentiating f.
    batched_inputs : sequence of bool, optional
        For each of the inputs whether axis 0 of all its arrays is the batch, as `(False, True)` for parameters and
        an injection; `()` where there are none and f may be called on some of the samples. Only where it is given
        can a solve remove finished samples from the evaluation of f.
    affine : bool
        Whether f is affine in z, as an adjoint equation is: what a linear solver says about its residual is then true.
    closing : callable, optional
        f as it is evaluated where a solve is expected to end: the same values, by an evaluation that keeps more, such
        as what a derivative there needs.
    coarse : CoarseEvaluations, optional
        What is known of evaluations of f that are rounded more than those that a solve ends with, where there are
        such. A solve compares their residuals with no others.

    Attributes
    ----------
    derivatives : callable
        What `linearize` was, or was made of.

    Raises
    ------
    ValueError
        If `batched_inputs` does not name as many inputs as there are.
    """

    batched_inputs: tuple[bool, ...] | None
    affine: bool
    closing: Map | None
    coarse: CoarseEvaluations | None

    def __init__(
        self,
        f: Map,
        *inputs: Tree,
        jvp: Map | None = None,
        vjp: Map | None = None,
        inputs_vjp: Callable[..., tuple[Tree, ...]] | None = None,
        linearize: Callable[..., Linearization] | None = None,
        batched_inputs: Sequence[bool] | None = None,
        affine: bool = False,
        closing: Map | None = None,
        coarse: CoarseEvaluations | None = None,
    ) -> None:
        for name, given in (("jvp", jvp), ("vjp", vjp), ("inputs_vjp", inputs_vjp)):
            if given is not None:
                check_kind(given, name, "function")
        check_declared(batched_inputs, len(inputs))
        if linearize is None:
            products = Products(jvp, vjp, inputs_vjp)
            linearize = autodiff_linearize if products == Products() else products
        batched = None if batched_inputs is None else tuple(batched_inputs)
        super().__init__(f, *inputs, linearize=linearize)
        self.__dict__.update(batched_inputs=batched, affine=affine, closing=closing, coarse=coarse)

    @property
    def automatic(self) -> bool:
        """Whether the derivatives are those of automatic differentiation."""
        return getattr(self.derivatives, "automatic", self.derivatives is autodiff_linearize)

    def restricted(self, rows: np.ndarray) -> FixedPointProblem:
        """Return the problem of the samples `rows`, ndarray of int, shape (samples,).

        Raises
        ------
        ValueError
            If it is not declared which inputs have the batch axis.
        """
        if self.batched_inputs is None:
            raise ValueError("say which inputs have the batch axis: FixedPointProblem(..., batched_inputs=...)")
        inputs = (
            tree_map(lambda leaf: take_rows(leaf, rows), each) if batched else each
            for each, batched in zip(self.inputs, self.batched_inputs, strict=True)
        )
        return self.of(self.f, self.derivatives, *read_only(tuple(inputs)))

    def check_batch(self, size: int) -> None:
        """Require that the inputs declared to have the batch axis have it, with `size` samples.

        Raises
        ------
        ValueError
            If an array has another length.
        """
        for number, batched in enumerate(self.batched_inputs or ()):
            for name, leaf in named_leaves(self.inputs[number]) if batched else ():
                shape = tuple(getattr(leaf, "shape", ()))
                if shape[:1] != (size,):
                    raise ValueError(
                        f"input {number} is declared to have the batch axis, but{f' {name!r} in' if name else ''} it "
                        f"has the shape {shape} where z0 has {size} samples; give its arrays that axis, or leave out "
                        "batched_inputs"
                    )

    def residual(self, z: Array, *, closing: bool = False) -> Array:
        """Evaluate f(z) − z, shape (batch, ...), by `closing` where asked and given; raises what `__call__` does."""
        return evaluate(self.closing if closing and self.closing else self.f, z, *self.inputs) - z
