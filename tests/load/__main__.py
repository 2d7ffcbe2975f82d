"""Command of the load tests: `python -m tests.load --kernels none`."""

from __future__ import annotations

import argparse
import multiprocessing

from tests.load import laws


def main() -> None:
    """Examine every law in large; the first that does not hold ends it."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=main.__doc__)
    parser.add_argument("--kernels", default="none", help="compute with these: none, auto, numba")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--solves", type=int, default=500, help="solves and gradients of each thread")
    parser.add_argument("--steps", type=int, default=3000, help="updates of the training")
    parser.add_argument("--interrupts", type=int, default=40)
    given = parser.parse_args()
    print(laws.memory_is_flat(given.steps, given.kernels), flush=True)
    print(laws.threads_agree(given.threads, given.solves, given.kernels), flush=True)
    for method in multiprocessing.get_all_start_methods():
        print(laws.processes_agree(method, given.kernels), flush=True)
    print(laws.solves_nest(), flush=True)
    print(laws.one_interrupt_suffices(given.interrupts, given.kernels), flush=True)


if __name__ == "__main__":
    main()
