"""Fixed points and integrations in JAX: differentiable to any order, compiled once, and traced under `jit`."""

from equilib.jax.fixed_points import equilibrium, fixed_point
from equilib.jax.solution import Equilibrium, TracedSolution
from equilib.jax.traced.solve import JitError

__all__ = ["Equilibrium", "JitError", "TracedSolution", "equilibrium", "fixed_point"]
