"""What a program changes in its process so that big arrays cost less."""

from __future__ import annotations

from equilib.training.allocator import keep_big_blocks
from equilib.workers import use_threads


def prepare_process() -> None:
    """Keep the memory of big arrays, and let the threads of BLAS share the samples of a batch."""
    keep_big_blocks()
    use_threads()
