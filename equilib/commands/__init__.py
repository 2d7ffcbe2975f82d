"""Commands on runs: run, resume, evaluate, predict, compare."""
