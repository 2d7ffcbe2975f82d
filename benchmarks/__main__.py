"""Run one benchmark by name."""

from __future__ import annotations

import importlib
import sys

ALONE = ("linear_solvers", "memory", "importing")
BESIDE_PEERS = ("cell", "solvers", "mnist", "node", "gradients", "scaling", "overhead", "stiff", "stiff_node", "embed")
BESIDE_PEERS += ("torch_mnist", "embed_jax")
OPTIONS_OF_THEIR_OWN = {
    "results": "results_page",
    **{name: name for name in ("auto", "classical", "detest", "hunt", "jumps", "ode_gradients", "published", "ranks")},
}


def main(argv: list[str]) -> None:
    """Run the benchmark that the first argument names with the others."""
    names = (*ALONE, *BESIDE_PEERS, *OPTIONS_OF_THEIR_OWN)
    if not argv or argv[0] not in names or (argv[0] in ALONE and len(argv) > 1):
        with_options = ", ".join((*BESIDE_PEERS, *OPTIONS_OF_THEIR_OWN))
        sys.exit(f"usage: python -m benchmarks {{{','.join(names)}}} [options of {with_options}: --help]")
    name, *rest = argv
    module = importlib.import_module(f"benchmarks.{OPTIONS_OF_THEIR_OWN.get(name, name)}")
    if name in ALONE:
        module.main()
    elif name in BESIDE_PEERS:
        module.main(importlib.import_module("benchmarks.request").parse(name, rest))
    else:
        module.main(rest)


if __name__ == "__main__":  # processes that a benchmark starts import this module again
    main(sys.argv[1:])
