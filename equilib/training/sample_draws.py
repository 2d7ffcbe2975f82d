"""Random numbers of a rank's samples: those that a process with the whole batch would draw for them."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from equilib.errors import UserError

_SIZE_AT = {
    **dict.fromkeys(("random", "standard_normal", "standard_exponential", "standard_cauchy"), 0),
    **dict.fromkeys(("standard_gamma", "standard_t", "exponential", "rayleigh", "poisson", "geometric"), 1),
    **dict.fromkeys(("normal", "uniform", "integers", "binomial", "gamma", "beta", "laplace", "lognormal"), 2),
}
"""Where the size stands among the arguments of a method that draws numbers one by one."""

_OTHERS = ("choice", "permutation", "permuted", "shuffle", "bytes", "dirichlet", "multinomial", "multivariate_normal")


class SampleDraws(np.random.Generator):
    """The generator `rng`, whose arrays with `own` samples along axis 0 are those rows of an array for all samples.

    `rows` are those rows of `samples`. All ranks draw the same numbers, each keeps its own, and `rng` goes on as if one
    process had drawn them. An array of another length is the same on all ranks.
    """

    def __init__(self, rng: np.random.Generator, samples: int, rows: slice) -> None:
        super().__init__(rng.bit_generator)
        self._samples, self._rows, self._own = samples, rows, rows.stop - rows.start


def _drawing(name: str, place: int) -> Any:
    draw = getattr(np.random.Generator, name)

    def method(self: SampleDraws, *args: Any, **settings: Any) -> Any:
        size = args[place] if len(args) > place else settings.get("size")
        shape = (size,) if isinstance(size, int | np.integer) else size
        if not shape or shape[0] != self._own:
            return draw(self, *args, **settings)
        whole = (self._samples, *shape[1:])
        if len(args) > place:
            args = (*args[:place], whole, *args[place + 1 :])
        else:
            settings["size"] = whole
        return draw(self, *args, **settings)[self._rows]

    return method


def _refusing(name: str) -> Any:
    def method(self: SampleDraws, *args: Any, **settings: Any) -> NoReturn:
        raise UserError(
            f"rng.{name} in a layer or a transform cannot be divided among ranks: draw with {', '.join(_SIZE_AT)}, an "
            "array whose axis 0 counts the samples; or run in one process"
        )

    return method


for _name, _place in _SIZE_AT.items():
    setattr(SampleDraws, _name, _drawing(_name, _place))
for _name in _OTHERS:
    setattr(SampleDraws, _name, _refusing(_name))
