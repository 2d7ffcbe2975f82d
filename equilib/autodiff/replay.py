"""Replay of a tape: the operations that matter between some arguments and the outputs, in order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from equilib.autodiff.rules import JointMap

if TYPE_CHECKING:
    from equilib.autodiff.tape import TapeNode

Step: TypeAlias = "tuple[TapeNode, Sequence[TapeNode], Sequence[int], JointMap]"
"""One operation of a replay: its node, the parents that matter, and their places among its arguments."""


class Program:
    """The operations between some arguments and the outputs, in order, and every node that an output depends on."""

    def __init__(self, nodes: Sequence[TapeNode], roots: Sequence[TapeNode], outputs: Sequence[TapeNode]) -> None:
        reached, steps = set(roots), []
        for node in nodes:
            parents, derivative = node.parents, node.derivative
            if derivative is None:
                continue
            positions: Sequence[int] = range(len(parents))
            if not reached.issuperset(parents):
                positions = [i for i in positions if parents[i] in reached]
                parents = [parents[i] for i in positions]
            if positions:
                reached.add(node)
                steps.append((node, parents, positions, derivative))
        self.used, self._outputs = set(outputs), outputs
        self.steps: list[Step] = []
        for step in reversed(steps):
            if step[0] in self.used:
                self.used.update(step[1])
                self.steps.append(step)
        self.steps.reverse()

    @cached_property
    def first_uses(self) -> list[list[TapeNode]]:
        """For each step the arguments that no earlier step has: once it has been pulled, their cotangents are whole."""
        met: set[TapeNode] = set()
        first = []
        for _, parents, _, _ in self.steps:
            first.append([each for each in dict.fromkeys(parents) if each.derivative is None and each not in met])
            met.update(parents)
        return first

    @cached_property
    def last_uses(self) -> list[list[TapeNode]]:
        """For each step the parents that no later step and no output needs."""
        needed, last = set(self._outputs), []
        for _, parents, _, _ in reversed(self.steps):
            last.append([parent for parent in dict.fromkeys(parents) if parent not in needed])
            needed.update(parents)
        return last[::-1]
