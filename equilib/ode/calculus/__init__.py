"""Integrations as differentiable functions of the initial value, the times and the inputs.

It loads autograd, as the rest of `equilib.ode` does not.
"""
