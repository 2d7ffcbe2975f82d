"""Faults of a plugin's code as errors that name what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from equilib.errors import named
from equilib.machine.signals import is_from_user


@contextmanager
def faults_as(error_of: Callable[[str], Exception], *but: type[BaseException]) -> Iterator[None]:
    """Raise `error_of` the kind and text of what a plugin's code raises, which may call sys.exit.

    The end that a user asks for, and the kinds `but`, pass as they are.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, but) or is_from_user(error):
            raise
        raise error_of(named(error)) from error
