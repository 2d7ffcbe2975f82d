"""The command line: run, resume, evaluate, report, compare; check plugins and gradients; list what is installed."""

from equilib.cli.program import equilib, main

__all__ = ["equilib", "main"]
