"""Communicators: the protocol of what carries messages between the ranks of a run."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol, TypeAlias, TypeVar

from equilib.arrays import Array

T = TypeVar("T")

Exchange: TypeAlias = Generator[Callable[[], bool], None, T]
"""Messages under way: a generator that yields, for each that must have arrived, a test of it, and returns the result.

It is asked for the next one when the last test has told so, and by nobody else.
"""


class Communicator(Protocol):
    """**Protocol:** what carries messages between the ranks of a run, numbered from 0.

    1. A method begins to send, and returns an `Exchange`; nothing waits.
    2. All ranks call the same methods in the same order, with several exchanges under way at a time.
    3. What is reduced is added by the function that is given, and by nothing else: it says in which order.
    """

    rank: int
    size: int

    def describe(self) -> str:
        """Return what it is, for people, as in "MPICH 5.0.2"."""

    def gather(self, data: bytes) -> Exchange[list[bytes]]:
        """Return what all ranks give, in their order, on each of them."""

    def broadcast(self, data: bytes) -> Exchange[bytes]:
        """Return what rank 0 gives, on each of them."""

    def reduce(self, values: Array, add: Callable[[Array], Array]) -> Exchange[Array]:
        """Return what `add` makes of the arrays of all ranks, shape (size,), on each of them.

        `values`, shape (rows, size), have one shape and dtype on all ranks. `add` maps a part of the columns of all,
        shape (ranks, rows, columns), to (columns,).
        """

    def close(self) -> None:
        """Leave, when all ranks do."""


class Connector(Protocol):
    """**Protocol:** a frozen dataclass that joins a process to the others of its run.

    Its fields are the options of the entry.
    """

    def connect(self) -> Communicator:
        """Return the communicator of all ranks.

        Raises UserError if they cannot be reached.
        """
