"""A tuple as the state: two populations of neurons that drive each other, and the gradient of both."""

import numpy as np

from equilib import equilibrium, ops
from equilib.autodiff import value_and_grad

rng = np.random.default_rng(0)
A, B, x = 0.4 * rng.normal(size=(4, 6)), 0.4 * rng.normal(size=(6, 4)), rng.normal(size=(5, 4))


def f(state, A, B, x):
    u, v = state
    return ops.tanh(v @ B + x), ops.tanh(u @ A)


def energy(A):
    found = equilibrium(f, (np.zeros((5, 4)), np.zeros((5, 6))), A, B, x, solver="newton-gmres", rtol=1e-10)
    u, v = found.z
    return ops.sum(u**2) + ops.sum(v**2), found


(value, found), gradient = value_and_grad(energy, has_aux=True)(A)
print(found)
difference = (energy(A + 1e-5 * gradient)[0] - energy(A - 1e-5 * gradient)[0]) / 2e-5
assert abs(difference / np.sum(gradient**2) - 1) < 1e-6
