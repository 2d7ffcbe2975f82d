"""How the experiments are done: architectures, schedules and solver settings."""
