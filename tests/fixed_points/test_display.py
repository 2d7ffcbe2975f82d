"""Results as a line, a table and a chart."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from equilib import ImplicitAdjoint, Picard, SolveOptions, equilibrium, evolve, integrate, ops, solve
from equilib.autodiff import value_and_grad
from equilib.errors import UserError
from equilib.models import DeepEquilibrium
from tests.models.small import CELL, batch, drawn

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

SLOPES = np.array([[0.5], [0.7], [3.0]])
X = np.ones((3, 1))


def f(z: Any, x: Any) -> Any:
    """Return a map whose last sample runs away."""
    return ops.multiply(SLOPES, z) + x


@cache
def results() -> dict[str, Any]:
    """Return a result of each kind."""
    how: dict[str, Any] = {"on_failure": "record", "max_steps": 60}
    records: list[Any] = []

    def loss(x: Any) -> Any:
        records.append(equilibrium(f, np.zeros((3, 1)), x, solver="picard", **how))
        return ops.sum(records[-1].z)

    value_and_grad(loss)(X)
    deq = DeepEquilibrium(CELL, Picard(), sensitivity=ImplicitAdjoint(), options=SolveOptions(rtol=1e-4))
    check = deq.check_gradient(drawn(deq), batch(np.random.default_rng(0)), rng=np.random.default_rng(1))
    decay = lambda t, y: {"a": -y["a"]}  # noqa: E731
    return {
        "Solution": solve(lambda z: f(z, X), "picard", np.zeros((3, 1)), **how),
        "Equilibrium": records[-1],
        "OdeSolution": integrate(decay, {"a": np.ones((2, 2))}, [0, 1, 2], "tsit5"),
        "Evolution": evolve(lambda t, y: -y, np.ones((2, 2)), [0, 1]),
        "GradientCheck": check,
    }


@pytest.mark.parametrize("kind", ["Solution", "Equilibrium", "OdeSolution", "Evolution", "GradientCheck"])
def test_a_result_is_a_line_and_a_table(kind: str):
    """`repr` is `str`, one short line that names the class; a notebook shows the same facts, escaped."""
    found = results()[kind]
    assert repr(found) == str(found)
    assert repr(found).startswith(f"{kind}(")
    assert "\n" not in repr(found)
    assert len(repr(found)) < 300
    html = found._repr_html_()
    assert html.startswith(f"<table><caption>{kind}</caption>")
    assert all(str(fact) in html or "&" in html for fact in found.facts().values())


def test_the_table_of_a_solve_counts_statuses():
    """Samples are counted by their status."""
    assert results()["Solution"].facts()["samples"] == "2 converged, 1 diverged"
    assert results()["OdeSolution"].facts()["y"] == "a: (3, 2, 2) float64"


@pytest.mark.parametrize("kind", ["Solution", "Equilibrium", "OdeSolution", "GradientCheck"])
def test_a_result_can_be_drawn(kind: str):
    """`plot` returns axes with a line for each sample, or draws into axes that it is given."""
    ax = results()[kind].plot()
    lines = {"Solution": 3, "Equilibrium": 6, "OdeSolution": 4, "GradientCheck": 1}
    assert len(ax.get_lines()) == lines[kind]
    assert ax.get_xlabel()
    own = matplotlib.pyplot.subplots()[1]
    assert results()[kind].plot(own) is own
    matplotlib.pyplot.close("all")


def test_without_matplotlib_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """The error names the package and the command."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(UserError, match=r"plot\(\) needs an optional package .*pip install"):
        results()["Solution"].plot()
