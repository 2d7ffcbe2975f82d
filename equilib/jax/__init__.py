"""Fixed points and integrations in JAX: differentiable to any order, compiled once, and traced under `jit`."""

from equilib.jax.fixed_point import equilibrium, fixed_point
from equilib.jax.solution import Equilibrium, TracedSolution
from equilib.jax.traced.solve import JitRefused

__all__ = ["Equilibrium", "JitRefused", "TracedSolution", "equilibrium", "fixed_point"]
