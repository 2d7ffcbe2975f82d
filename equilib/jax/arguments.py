"""Checks of what a solve or an integration in JAX is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from equilib.arrays import Tree
from equilib.jax.solution import JitError


def check_constants(options: dict[str, Any]) -> None:
    """Require that no option is traced; raises JitError."""
    for name, value in options.items():
        if isinstance(value, jax.core.Tracer):
            raise JitError(
                f"{name} is traced, but a solve is compiled for its options, and has no derivative by them; give a "
                f"constant, under jit as a static argument: jax.jit(..., static_argnames={name!r})"
            )


def check_rows(inputs: Sequence[Tree], batched_inputs: Sequence[bool] | None, batch: int) -> None:
    """Require the batch axis of inputs that are declared to have it; raises ValueError."""
    for number, (tree, has) in enumerate(zip(inputs, batched_inputs or (), strict=False)):
        shapes = (jnp.shape(leaf) for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape"))
        for shape in shapes if has else ():
            if shape[:1] != (batch,):
                raise ValueError(
                    f"input {number} is declared to have the batch axis, but it has the shape {shape} where z0 has "
                    f"{batch} samples; give its arrays that axis, or declare it False in batched_inputs"
                )
