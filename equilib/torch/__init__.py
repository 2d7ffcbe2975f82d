"""Equilibria in PyTorch: the functions of `equilib` for tensors, and a module."""

from equilib.adjoints.named import adjoint, linear_solver, solver
from equilib.errors import needing
from equilib.ode.named import integrator

with needing("torch", purpose="equilib.torch", extra="torch"):
    from equilib.torch.equilibria import equilibrium, fixed_point
    from equilib.torch.evolution import evolve, odeint
    from equilib.torch.module import DeepEquilibrium

__all__ = [
    "DeepEquilibrium",
    "adjoint",
    "equilibrium",
    "evolve",
    "fixed_point",
    "integrator",
    "linear_solver",
    "odeint",
    "solver",
]
