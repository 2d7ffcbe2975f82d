"""Fixed points in JAX."""
from equilib.jax.fixed_point import fixed_point, equilibrium
