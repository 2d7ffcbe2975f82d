"""Results as people see them: a line in a terminal, a table in a notebook, a chart of Matplotlib."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import numpy as np

from equilib.arrays import Tree, named_leaves
from equilib.errors import require
from equilib.options.kinds import described

_CELL = "text-align:left;padding:2px 12px 2px 0"


class Shown:
    """Base of results whose `repr` is a line, `str(self)`, and which a notebook shows as a table of `facts`."""

    def facts(self) -> Mapping[str, object]:
        """Return what a reader of a table wants to know, in order."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{escape(str(value))}</td></tr>'
            for name, value in self.facts().items()
        )
        return f"<table><caption>{escape(type(self).__name__)}</caption>{rows}</table>"


def tally(labels: Iterable[str]) -> str:
    """Return how often each label occurs, as in "3 converged, 1 max_steps"."""
    return ", ".join(f"{count} {label}" for label, count in Counter(labels).most_common())


def shape_of_tree(tree: Tree) -> str:
    """Return the shape and dtype of an array, or of each leaf of a tree by its path."""
    leaves = [(path, f"{tuple(leaf.shape)} {leaf.dtype}") for path, leaf in named_leaves(tree)]
    return "; ".join(f"{path}: {what}" if path else what for path, what in leaves)


def spread(values: np.ndarray, form: str = "d") -> str:
    """Return the range of numbers, as in "7 to 9", or the one that all are."""
    low, high = values.min(initial=values.max(initial=0)), values.max(initial=0)
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"


def axes_or_new(ax: Any) -> Any:
    """Return the Matplotlib axes given, or those of a new figure.

    Raises
    ------
    UserError
        If Matplotlib is not installed; the message says how to install it.
    """
    if ax is not None:
        if not hasattr(ax, "semilogy"):
            raise TypeError(f"ax must be axes of Matplotlib, got {described(ax)}")
        return ax
    return require("matplotlib.pyplot", purpose="plot()").subplots()[1]


def plot_traces(ax: Any, trace: np.ndarray, success: np.ndarray, **style: Any) -> None:
    """Draw residual norms, shape (steps + 1, batch), one line for each sample; those that failed are orange."""
    for residuals, solved in zip(np.transpose(trace), success, strict=True):
        ax.semilogy(np.where(residuals > 0, residuals, np.nan), **{"color": "C0" if solved else "C1", **style})
