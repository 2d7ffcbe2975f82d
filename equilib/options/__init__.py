"""Options: the fields of a frozen dataclass, described, parsed from text and validated.

A solver, an adjoint and an experiment are frozen dataclasses whose fields are their options. What the command
line lists, parses and refuses is read from the fields:

    @dataclass(frozen=True)
    class Relaxation:
        step_size: float = option(1.0, help="share of the residual that is added", exclusive_minimum=0)
"""

from equilib.options.declaration import Option, OptionError, describe, option
from equilib.options.parsing import build, check_options, parse_values, split
from equilib.options.spelling import parse_assignments, parse_spec
from equilib.options.values import Bounds

__all__ = [
    "Bounds",
    "Option",
    "OptionError",
    "build",
    "check_options",
    "describe",
    "option",
    "parse_assignments",
    "parse_spec",
    "parse_values",
    "split",
]
