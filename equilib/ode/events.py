"""Events of an integration: where functions of the solution pass through zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from equilib.arrays import Array, Tree, array_namespace, to_host, tree_map
from equilib.fixed_points.arguments import check_kind, check_type
from equilib.fixed_points.boundary import read_only


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Event:
    """What happens to a sample where g(t, y, *inputs) passes through zero.

    Parameters
    ----------
    g : callable
        Maps the time, shape (batch, 1, ..., 1), the state, shape (batch, ...), and the inputs to one number for each
        sample, shape (batch,).
    inputs : trees of arrays
        What g depends on besides t and y; `equilib.models.evolve` differentiates by them.
    direction : int
        1 if only a g that rises counts, −1 if only one that falls, as the integration goes on; 0 for both.
    terminal : bool
        Whether the sample's integration ends there.

    Raises
    ------
    TypeError, ValueError
        If g is no function, the direction is another, or `terminal` no bool.
    """

    g: Callable[..., Array]
    inputs: tuple[Tree, ...]
    direction: int
    terminal: bool

    def __init__(self, g: Callable[..., Array], *inputs: Tree, direction: int = 0, terminal: bool = True) -> None:
        check_kind(g, "g", "function")
        if direction not in (-1, 0, 1):
            raise ValueError(f"direction must be 1 for rising, -1 for falling or 0 for both, got {direction!r}")
        check_type(terminal, "terminal", bool)
        self.__dict__.update(g=g, inputs=read_only(inputs), direction=direction, terminal=terminal)

    def of(self, g: Callable[..., Array], *inputs: Tree) -> Event:
        """Return the event of another g, to shape (batch,), with the same inputs unless there are others."""
        return Event(g, *(inputs or self.inputs), direction=self.direction, terminal=self.terminal)

    def __call__(self, t: Array, y: Array) -> Array:
        """Return g, shape (batch,); raises ValueError if it has another shape."""
        value = self.g(t, read_only(y), *self.inputs)
        shape = getattr(value, "shape", None)
        if shape != (y.shape[0],):
            raise ValueError(
                f"an event must have a number for each sample, shape ({y.shape[0]},), g returned {shape or value!r}"
            )
        return value


@dataclass(frozen=True)
class EventRecord:
    """Where an event occurred: all its occurrences, of each sample in their order.

    `t`, shape (occurrences, batch), and `y`, shape (occurrences, batch, ...), are times and states; nan where a sample
    has fewer of them than another. `count`, shape (batch,), is how many each has, at most one if it is `terminal`.
    """

    t: Array
    y: Tree = field(repr=False)
    count: np.ndarray
    terminal: bool

    def of(self, sample: int) -> tuple[Array, Tree]:
        """Return the times, shape (count,), and the states, shape (count, ...), of a sample."""
        count = int(self.count[sample])
        return self.t[:count, sample], tree_map(lambda leaf: leaf[:count, sample, ...], self.y)


def checked_events(events: Sequence[Event], *, samples_alone: bool = True) -> tuple[Event, ...]:
    """Return the events.

    Raises
    ------
    TypeError, ValueError
        If they are no sequence of events, or the samples do not step by themselves.
    """
    if not isinstance(events, Sequence):
        raise TypeError(f"events must be a sequence, such as [Event(g)], got {events!r}")
    for event in events:
        check_type(event, "an event", Event, "; write Event(g)")
    if len(events) and not samples_alone:
        raise ValueError("each sample comes to an event in its own time, but they step as one: pass per_sample=True")
    return tuple(events)


def event_values(events: Sequence[Event], t: Array, y: Array) -> np.ndarray:
    """Return g of each event at the times t, shape (batch, 1, ..., 1), on the host, shape (events, batch)."""
    values = [to_host(event(t, y)) for event in events]
    return np.asarray(values, dtype=np.float64).reshape(len(events), y.shape[0])


class EventLog:
    """What occurred so far, of each event and sample; `like` is an array like y."""

    def __init__(self, events: Sequence[Event], like: Array) -> None:
        self._events, self.like = events, like
        self._found: list[list[list[tuple[float, Array]]]] = [[[] for _ in range(like.shape[0])] for _ in events]

    def note(self, event: int, sample: int, t: float, y: Array) -> None:
        """Add that a sample came to an event at a time, with the state y, shape (...)."""
        self._found[event][sample].append((t, y))

    def records(self) -> tuple[EventRecord, ...]:
        """Return the record of each event."""
        return tuple(self._record(*each) for each in zip(self._events, self._found, strict=True))

    def _record(self, event: Event, found: list[list[tuple[float, Array]]]) -> EventRecord:
        xp, count = array_namespace(self.like), np.asarray([len(each) for each in found])
        blank = xp.full_like(self.like[0, ...], np.nan)
        rows = range(int(count.max(initial=0)))
        padded = [[each[row] if row < len(each) else (np.nan, blank) for each in found] for row in rows]
        times = np.asarray([[t for t, _ in row] for row in padded], dtype=np.float64).reshape(len(rows), len(found))
        states = [xp.stack([y for _, y in row]) for row in padded]
        y = xp.stack(states) if states else xp.stack([self.like])[:0, ...]
        return EventRecord(times, y, count, event.terminal)
