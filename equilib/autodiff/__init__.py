"""Automatic differentiation of functions on trees of arrays, with HIPS autograd as the tracer.

This package is the only place that imports autograd.
"""

from equilib.autodiff.boxes import static_value
from equilib.autodiff.primitives import primitive
from equilib.autodiff.rules import JointMap, LinearMap, joint_rule, linear_rule
from equilib.autodiff.tape import IndependentError, Linearized
from equilib.autodiff.transforms import jvp, linearize, stop_gradient, value_and_grad, vjp

__all__ = [
    "IndependentError",
    "JointMap",
    "LinearMap",
    "Linearized",
    "joint_rule",
    "jvp",
    "linear_rule",
    "linearize",
    "primitive",
    "static_value",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]
