"""Experiments: an equilibrium of theirs on a few samples."""
