"""Derivatives of the solution of an initial value problem: from the cotangent of y(t) to those of y(t₀) and θ.

The first three integrate the adjoint equation λ' = −(∂f/∂y)ᵀ λ backward in time, in which θ̄ = ∫ (∂f/∂θ)ᵀ λ dt; they are
exact up to the tolerance. `Discrete` differentiates the steps that were taken and is exact for them.
"""

from equilib.ode.adjoints.backsolve import Backsolve
from equilib.ode.adjoints.discrete import Discrete
from equilib.ode.adjoints.gauss import Gauss
from equilib.ode.adjoints.interpolating import Interpolating

__all__ = ["Backsolve", "Discrete", "Gauss", "Interpolating"]
