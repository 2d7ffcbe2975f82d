"""Equilibria in PyTorch: the functions of `equilib` for tensors, and a module."""

from equilib.adjoints.named import adjoint, linear_solver, solver
from equilib.ode.named import integrator
from equilib.torch.equilibria import equilibrium, fixed_point
from equilib.torch.module import DeepEquilibrium

__all__ = ["DeepEquilibrium", "adjoint", "equilibrium", "fixed_point", "integrator", "linear_solver", "solver"]
