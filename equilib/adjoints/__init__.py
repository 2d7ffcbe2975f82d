"""Sensitivities of fixed points: implicit, Jacobian-free, unrolled."""
