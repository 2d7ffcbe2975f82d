"""Fixed points as differentiable functions, forward, in reverse, and again.

It loads autograd, as the rest of `equilib.adjoints` does not.
"""
