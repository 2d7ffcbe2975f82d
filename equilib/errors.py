"""The two ways in which a command ends badly, from which all errors meant for users derive; missing derivatives."""

from __future__ import annotations


class UserError(Exception):
    """What was asked for cannot be done as asked: an unknown name, a wrong option, a missing file.

    The text is one or two sentences that say what is wrong and what to do. `equilib` prints it and exits with 2.
    """


class NoDerivativeError(NotImplementedError):
    """A derivative is needed that a function does not have, or that nobody has told."""


class RunError(Exception):
    """Something failed while running. `equilib` prints the text and exits with 1."""
