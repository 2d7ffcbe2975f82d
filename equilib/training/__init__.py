"""Training: optimizers, schedules, the loop, and the record of a run.

It is above the core: nothing in `equilib` but the command line imports it.
"""
