"""Solves that are traced: the driver's loop, its stopping tests and a linear solver, as one program of JAX."""
