"""Ranks of a run: who they are, and the messages between them."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equilib.arrays import Array
from equilib.errors import RunError
from equilib.machine.ranks.communicator import Communicator, Exchange, T
from equilib.machine.ranks.pending import Pending
from equilib.machine.signals import Interrupted

if TYPE_CHECKING:
    from equilib.machine.ranks.lifeline import Lifeline, Refusal

_SIGNAL = 128
"""What a shell adds to the number of the signal that ended a process."""


_OTHERS_LEAVE, _FINALIZING = 0.2, 5.0  # seconds


class RankError(RunError):
    """Another rank failed; the text says which, and why."""


@dataclass(frozen=True)
class Place:
    """Where a rank is: its host, its process, and the cores that it may use; none where the system does not say.

    `machine` tells hosts of one name apart, as containers and copies of a disk have it.
    """

    host: str
    process: int
    cores: tuple[int, ...]
    machine: str = ""

    @classmethod
    def here(cls) -> Place:
        """Return that of this process."""
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else ()
        return cls(socket.gethostname(), os.getpid(), tuple(cores), _boot())

    def shares_host(self, other: Place) -> bool:
        """Tell whether another rank is on the same host."""
        return (self.host, self.machine) == (other.host, other.machine)


class Ranks:
    """The processes of a run, each with a copy of the model; without a communicator this process alone.

    All of them call the same methods in the same order, but those about an end. A wait for the others ends with
    RankError where one of them has failed, and with Interrupted where one was asked to end.

    Attributes
    ----------
    rank, size : int
        The number of this one, and how many there are.
    places : list of Place
        Where each of them is.
    doing : str
        What this one is at, as far as a sentence should say so; empty while it prepares.
    waited : float
        Seconds that it has waited for others and for messages.
    resume : str
        The command by which one goes on.
    """

    def __init__(self, communicator: Communicator | None = None) -> None:
        self._communicator = communicator
        self.rank, self.size = (communicator.rank, communicator.size) if communicator else (0, 1)
        self.exchanges, self.waits, self.doing, self.resume = 0, False, "", ""
        self.waited = 0.0
        self._lifeline: Lifeline | Refusal | None = None
        self.places: list[Place] = self.gather(Place.here())

    def watch(self) -> None:
        """Have all ranks watched from now on, if rank 0's environment does not say that nobody is.

        Raises, on all ranks, UserError if one of them cannot be, and OSError if no watcher can be started.
        """
        from equilib.machine.ranks.lifeline import Refusal, connect  # deferred: one process alone needs none of it

        try:
            self._lifeline = connect(self)
        except Exception:
            self._lifeline = Refusal()
            raise

    @property
    def local_rank(self) -> int:
        """The number of this rank among those of its host."""
        return sum(self.places[self.rank].shares_host(place) for place in self.places[: self.rank])

    @property
    def sharing_cores(self) -> int:
        """How many ranks may use the same cores as this one, itself included."""
        own = self.places[self.rank]
        return sum(own.shares_host(place) and place.cores == own.cores for place in self.places)

    def describe(self) -> dict[str, Any] | None:
        """Return what a record says of them; None of one process alone."""
        if self._communicator is None:
            return None
        hosts = [host for host, _ in dict.fromkeys((place.host, place.machine) for place in self.places)]
        return {"size": self.size, "communicator": self._communicator.describe(), "hosts": hosts}

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order."""
        if self._communicator is None:
            return [value]
        return [pickle.loads(each) for each in self._wait(self._communicator.gather(pickle.dumps(value)))]

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what `make` returns on rank 0, which alone calls it; what that raises, all raise."""
        if self._communicator is None:
            return make()
        data = pickle.dumps(_attempt(make), protocol=5) if self.rank == 0 else b""
        made, error = pickle.loads(self._wait(self._communicator.broadcast(data)))
        if error is not None:
            raise error
        found: T = made
        return found

    def start_reduce(self, values: Array, add: Callable[[Array], Array]) -> Pending[Array]:
        """Begin to `add` the rows of all ranks, shape (rows, size) each, as a `Communicator` does; `finish` it."""
        if self._communicator is None:
            raise ValueError("one process alone has nothing to reduce")
        return Pending(self._communicator.reduce(values, add))

    def finish(self, pending: Pending[T]) -> T:
        """Wait for what is under way, and return it."""
        self.waits, start = True, time.perf_counter()
        try:
            return pending.result(self._check)
        finally:
            self.waits, self.waited = False, self.waited + time.perf_counter() - start
            self.exchanges += 1

    def close(self) -> None:
        """Leave, when all do."""
        if self._communicator is not None:
            self.gather(None)
            if self._lifeline is not None:
                self._lifeline.leave(wait=False)
            self._communicator.close()

    def failed(self, sentence: str, status: int) -> tuple[str, int]:
        """Tell all that this rank failed; return what it is to say, nothing where another does, and its exit status."""
        if self._lifeline is None:
            return sentence, status
        verdict = self._lifeline.report(sentence, status)
        return "" if self.rank or verdict.said else verdict.sentence, verdict.status

    def abandon(self, status: int) -> int:
        """Leave after a failure, once rank 0 is done; return the exit status. One alone has nothing to leave."""
        if self._communicator is None or self._lifeline is None:
            return status
        first_is_done = self._lifeline.leave(wait=True)
        verdict = self._lifeline.verdict
        if verdict is None or not verdict.whole:
            os._exit(status)  # what ends MPI would wait for those that are not there
        faulthandler.dump_traceback_later(_FINALIZING, exit=True)
        with contextlib.suppress(Exception), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)  # MPI tells of messages that are under way, as they are when somebody fails
            self._communicator.close()
        # A launcher takes a status that is not zero for a crash, and kills who is left: that of rank 0 is the last.
        if self.rank == 0:
            time.sleep(_OTHERS_LEAVE)
        return status if self.rank == 0 or not first_is_done else 0

    def _check(self) -> None:
        verdict = None if self._lifeline is None else self._lifeline.verdict
        if verdict is None:
            return
        if verdict.status > _SIGNAL:
            raise Interrupted(verdict.status - _SIGNAL)
        raise RankError(verdict.sentence)

    def _wait(self, exchange: Exchange[T]) -> T:
        return self.finish(Pending(exchange))


def _boot() -> str:
    """Return what the kernel drew when it started; nothing where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _attempt(make: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return make(), None
    except Exception as error:
        return None, error


ALONE = Ranks()
"""This process as the only one."""

_current = ALONE


def current_ranks() -> Ranks:
    """Return the ranks that this process is one of."""
    return _current


def use_ranks(ranks: Ranks) -> None:
    """Make this process one of those."""
    global _current
    _current = ranks
