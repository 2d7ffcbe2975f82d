"""Fixed points and integrations in JAX: differentiable to any order, compiled once, and traced under `jit`."""

from equilib.errors import needing

with needing("jax", purpose="equilib.jax", extra="jax"):
    from equilib.jax.evolution import evolve, odeint
    from equilib.jax.fixed_points import equilibrium, fixed_point
    from equilib.jax.solution import Equilibrium, JitError, TracedSolution

__all__ = ["Equilibrium", "JitError", "TracedSolution", "equilibrium", "evolve", "fixed_point", "odeint"]
