"""Options: the fields of a frozen dataclass, described, parsed from text and validated.

A solver, an adjoint and an experiment are frozen dataclasses whose fields are their options. What the command
line lists, parses and refuses is read from the fields:

    @dataclass(frozen=True)
    class Relaxation(Checked):
        step_size: float = option(1.0, help="add this share of the residual", exclusive_minimum=0)

The value of an option may itself have options, as a linear solver has: then it is a part, which `part` declares, and
text names it, as in `linear_solver=bicgstab,linear_solver.products=60`.
"""

from equilib.options.declaration import Option, OptionError, PartOption, describe, option, part
from equilib.options.parsing import Checked, build, split
from equilib.options.parts import Blueprint, Parts, plain_options, unfold
from equilib.options.spelling import parse_assignments, parse_spec
from equilib.options.values import Bounds

__all__ = [
    "Blueprint",
    "Bounds",
    "Checked",
    "Option",
    "OptionError",
    "PartOption",
    "Parts",
    "build",
    "describe",
    "option",
    "parse_assignments",
    "parse_spec",
    "part",
    "plain_options",
    "split",
    "unfold",
]
