"""Run one benchmark by name."""

from __future__ import annotations

import importlib
import sys

NAMES = ("cell", "detest", "linear_solvers", "memory", "importing", "classical")

if len(sys.argv) != 2 or sys.argv[1] not in NAMES:
    sys.exit(f"usage: python -m benchmarks {{{','.join(NAMES)}}}")
importlib.import_module(f"benchmarks.{sys.argv[1]}").main()
