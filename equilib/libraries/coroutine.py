"""Coroutines: functions that can be stopped inside any call they make, one by itself or several in lockstep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import numpy as np

K = TypeVar("K")
R = TypeVar("R")

BREAKDOWNS = (ValueError, ArithmeticError)
"""What libraries raise where they cannot go on, LinAlgError among them: it ends the sample, not the batch."""


class Coroutine(Generic[R]):
    """Run a function until it asks for something; answer, and it runs on.

    Python's generators cannot be suspended from below a library's loop, a thread can. Either the function or its owner
    runs, never both, so that nothing depends on how threads are scheduled. The function may call `ask`, also through
    other calls; it is `running` until it has returned, and `result` is what it returned.
    """

    def __init__(self, function: Callable[[], R]) -> None:
        self._function = function
        self._questions: SimpleQueue[Any] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._error: BaseException | None = None
        self.running = True
        self.result: R | None = None

    def start(self) -> Any:
        """Begin, and return the first question; raises what the function raises."""
        self._thread.start()
        return self._next()

    def resume(self, answer: Any) -> Any:
        """Answer the last question, and return the next one; raises what the function raises."""
        self._answers.put(answer)
        return self._next()

    def ask(self, question: Any) -> Any:
        """Hand a question to the owner and wait for the answer; to be called by the function."""
        self._questions.put(question)
        return self._answers.get()

    def _next(self) -> Any:
        question = self._questions.get()
        if not self.running:
            self._thread.join()
            if self._error is not None:
                raise self._error
        return question

    def _main(self) -> None:
        try:
            # A thread begins with NumPy's default; overflow and nan are what the caller looks for.
            with np.errstate(all="ignore"):
                self.result = self._function()
        except BaseException as error:  # handed to the owner, who raises it
            self._error = error
        finally:
            self.running = False
            del self._function  # which holds what asks, and that this: only the collector would free them
            self._questions.put(None)


def run_in_lockstep(calls: Mapping[K, Coroutine[R]], answers: Callable[[dict[K, Any]], Mapping[K, Any]]) -> None:
    """Run coroutines that have not been started to their ends, so that one piece of work can answer many questions.

    `answers` maps the questions of all that wait to the answers for some of them, at least one. What it or a coroutine
    raises is raised here; those that still wait are then given None for an answer until they return.
    """
    waiting: dict[K, Any] = {}
    begun: list[Coroutine[R]] = []
    try:
        for key, call in calls.items():
            begun.append(call)
            waiting[key] = call.start()
        while waiting := {key: question for key, question in waiting.items() if calls[key].running}:
            for key, answer in answers(waiting).items():
                waiting[key] = calls[key].resume(answer)
    finally:
        for call in begun:
            while call.running:
                with suppress(Exception):  # of a function that is no longer wanted
                    call.resume(None)
