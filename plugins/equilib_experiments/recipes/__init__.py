"""Recipes of the experiments: architectures, schedules and solver settings."""
