"""Events of an integration: where functions of the solution pass through zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real

import numpy as np

from equilib.arrays import Array, Tree, array_namespace, is_array, to_host, tree_map
from equilib.errors import brief
from equilib.fixed_points.arguments import check_call, check_inputs
from equilib.fixed_points.boundary import explain, lent, read_only
from equilib.ode.flow import finite_samples
from equilib.options.kinds import check_kind, check_type, described, is_number


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
        check_inputs(inputs)
        check_call(g, "g", "t", "y", inputs=len(inputs), where="Event(g, *inputs)")
        if not is_number(direction, Real) or direction not in (-1, 0, 1):
            must = "1 for rising, -1 for falling or 0 for both"
            raise ValueError(f"direction must be {must}, got {brief(direction)}")
        check_type(terminal, "terminal", bool)
        self.__dict__.update(g=g, inputs=read_only(inputs), direction=direction, terminal=terminal)

    def of(self, g: Callable[..., Array], *inputs: Tree) -> Event:
        """Return the event of another g, to shape (batch,), with the same inputs unless there are others."""
        return Event(g, *(inputs or self.inputs), direction=self.direction, terminal=self.terminal)

    def __call__(self, t: Array, y: Array) -> Array:
        """Return g, shape (batch,); raises TypeError or ValueError if it is no such array of floating-point numbers."""
        try:
            value = self.g(t, lent(y), *self.inputs)
        except Exception as error:
            explain(
                error, "g(t, y)", f"t of shape {tuple(t.shape)} and y of shape {tuple(y.shape)} and dtype {y.dtype}"
            )
            raise
        must = f"g must return a number for each sample, shape ({y.shape[0]},)"
        if not is_array(value):
            raise TypeError(f"{must}, it returned {described(value)}")
        if value.shape != (y.shape[0],):
            raise ValueError(f"{must}, it returned shape {tuple(value.shape)}")
        if not array_namespace(value).isdtype(value.dtype, "real floating"):
            raise TypeError(f"{must}, whose sign changes where it occurs, as in y[:, 0] - 1; it returned {value.dtype}")
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
        """Return the times, shape (count,), and the states, shape (count, ...), of a sample; raises IndexError."""
        last = len(self.count) - 1
        if not is_number(sample, Integral) or not -last <= sample + 1 <= last + 1:
            raise IndexError(f"sample must be an int from 0 to {last}, got {brief(sample)}")
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
        raise TypeError(f"events must be a sequence, such as [Event(g)], got {brief(events)}")
    for event in events:
        check_type(event, "an event", Event, "; write Event(g)")
    if len(events) and not samples_alone:
        raise ValueError("each sample comes to an event in its own time, but they step as one: pass per_sample=True")
    return tuple(events)


def event_values(events: Sequence[Event], t: Array, y: Array) -> np.ndarray:
    """Return g of each event at the times t, shape (batch, 1, ..., 1), on the host, shape (events, batch).

    Raises ValueError if it is nan where y is finite: no change of its sign would be seen.
    """
    rows = [to_host(event(t, y)) for event in events]
    values = np.asarray(rows, dtype=np.float64).reshape(len(events), y.shape[0])
    lost = np.isnan(values)
    if np.count_nonzero(lost) and np.any(lost & finite_samples(y)):
        number, sample = (int(each[0]) for each in np.nonzero(lost & finite_samples(y)))
        raise ValueError(
            f"g must be a number wherever y is finite, event {number} has nan in sample {sample} at "
            f"t = {to_host(t).ravel()[sample % t.shape[0]]}; continue it beyond where it ends the integration"
        )
    return values


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
        xp, count = array_namespace(self.like), np.asarray([len(each) for each in found], dtype=int)
        blank = xp.full_like(self.like[0, ...], np.nan) if found else self.like
        rows = range(int(count.max(initial=0)))
        padded = [[each[row] if row < len(each) else (np.nan, blank) for each in found] for row in rows]
        times = np.asarray([[t for t, _ in row] for row in padded], dtype=np.float64).reshape(len(rows), len(found))
        states = [xp.stack([y for _, y in row]) for row in padded]
        y = xp.stack(states) if states else xp.stack([self.like])[:0, ...]
        return EventRecord(times, y, count, event.terminal)
