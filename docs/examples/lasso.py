"""A layer that optimizes: the lasso, and the penalty with which it predicts what was held out best."""

import numpy as np

from equilib import fixed_point, ops
from equilib.autodiff import value_and_grad

rng = np.random.default_rng(0)
A, true = rng.normal(size=(80, 20)) / np.sqrt(80), np.where(np.arange(20) < 4, 2.0, 0.0)
y = A @ true + 0.3 * rng.normal(size=80)
train, test = slice(0, 50), slice(50, 80)


def coefficients(penalty, step=0.5):
    def proximal(b):
        b = b - step * (A[train].T @ (A[train] @ b - y[train]))
        return ops.relu(b - step * penalty) - ops.relu(-b - step * penalty)

    return fixed_point(proximal, np.zeros(20), solver="anderson", batched=False, rtol=1e-8, max_steps=1000)


def loss(logarithm):
    return ops.mse(A[test] @ coefficients(ops.exp(logarithm)), y[test])


logarithm = np.log(0.01)
for step in range(30):
    value, slope = value_and_grad(loss)(logarithm)
    logarithm = logarithm - 100.0 * slope
print("penalty:", np.exp(logarithm), "squared error:", value, "coefficients:", coefficients(np.exp(logarithm)))
assert value < loss(np.log(0.01))
