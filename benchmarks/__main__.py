"""Run one benchmark by name."""

from __future__ import annotations

import importlib
import sys

from benchmarks.request import parse

ALONE = ("detest", "linear_solvers", "memory", "importing", "classical")
BESIDE_PEERS = ("cell", "solvers", "mnist", "node", "gradients", "scaling", "overhead")

if sys.argv[1:2] == ["results"]:  # trains for hours, and has options of its own
    importlib.import_module("benchmarks.results_page").main(sys.argv[2:])
    sys.exit()

names = (*ALONE, *BESIDE_PEERS)
if len(sys.argv) < 2 or sys.argv[1] not in names or (sys.argv[1] in ALONE and len(sys.argv) > 2):
    sys.exit(
        f"usage: python -m benchmarks {{{','.join(names)},results}} [options of {', '.join(BESIDE_PEERS)}: --help]"
    )
module = importlib.import_module(f"benchmarks.{sys.argv[1]}")
if sys.argv[1] in ALONE:
    module.main()
else:
    module.main(parse(sys.argv[1], sys.argv[2:]))
