"""The command line: run, resume, evaluate, predict, report, compare; check plugins and gradients; doctor; lists."""

from equilib.cli.program import equilib, main

__all__ = ["equilib", "main"]
