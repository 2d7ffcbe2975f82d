"""What the page of results has: experiments, models and solvers."""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One command, to be run with several seeds.

    Parameters
    ----------
    name : str
        For --only, and for the folder of its runs.
    section : str
        The heading of its table.
    arguments : str
        What follows `equilib run`.
    """

    name: str
    section: str
    arguments: str

    @property
    def command(self) -> str:
        """What a reader types."""
        return f"equilib run {self.arguments}"

    @property
    def words(self) -> list[str]:
        """The arguments of `equilib`."""
        return shlex.split(self.command)[1:]

    @property
    def solver(self) -> str | None:
        """The solver that the command names; None for the experiment's own."""
        return self.words[self.words.index("--solver") + 1] if "--solver" in self.words else None


DIGITS = "Digits: 2,000 images to train, 500 to test"
TUTORIAL = "Digits, the tutorial's recipe: 2,000 images to train, 500 to test"
ALL = "Digits, all images there are, the official test set"
NEURAL_ODE = "Digits by a neural ODE: 1,350 images to train, 150 to test"
CURVES = "Curves"
LABELS = "Graphs and tables: three quarters of the rows to train, or 50 labels of 1,797"
TEXT = "Text: 4,687 pieces of 32 characters, a tenth to test"
PENALTIES = "Optimization and physics: a penalty, and a rate, that are learned"
PHOTOGRAPHS = "Photographs: CIFAR-10, 3,200 images to train, 800 to test"

ROWS = (
    # newton-gmres is the experiment's own choice; `broyden` would keep a dense matrix of 85 MB for each image.
    Row("mnist-newton-gmres", DIGITS, "mnist --solver newton-gmres"),
    Row("mnist-anderson", DIGITS, "mnist --solver anderson"),
    Row("mnist-lbroyden", DIGITS, "mnist --solver lbroyden"),
    Row("mnist-auto", DIGITS, "mnist --solver auto"),
    Row("mnist-tsit5", DIGITS, "mnist --solver tsit5"),
    Row("mnist-deq", DIGITS, "mnist --model deq"),
    Row("mnist-skipdeq", DIGITS, "mnist --model skipdeq"),
    Row("mnist-mdeq", DIGITS, "mnist --model mdeq"),
    Row("mnist-mdeq-anderson", DIGITS, "mnist --model mdeq --solver anderson"),
    Row("mnist-skip-mdeq", DIGITS, "mnist --model skip-mdeq"),
    Row("mnist-dense-deq", DIGITS, "mnist --model dense-deq"),
    Row("mnist-dense-deq-broyden", DIGITS, "mnist --model dense-deq --solver broyden"),
    Row("mnist-reduced", DIGITS, "mnist --model reduced"),
    Row("mnist-reduced-broyden", DIGITS, "mnist --model reduced --solver broyden"),
    Row("tutorial-newton-gmres", TUTORIAL, "mnist --recipe tutorial"),
    Row("tutorial-vcab3", TUTORIAL, "mnist --recipe tutorial --model deq --solver vcab3"),
    Row("tutorial-reduced", TUTORIAL, "mnist --recipe tutorial --model reduced"),
    Row("mnist-full", ALL, "mnist --full"),
    Row("mnist-steady-state", ALL, "mnist-steady-state"),
    Row("neural-ode-tsit5", NEURAL_ODE, "mnist-neural-ode --solver tsit5"),
    Row("neural-ode-dopri5", NEURAL_ODE, "mnist-neural-ode --solver dopri5"),
    Row("linear", CURVES, "linear"),
    Row("polynomial-deq", CURVES, "polynomial --model deq"),
    Row("polynomial-regdeq", CURVES, "polynomial --model regdeq"),
    Row("polynomial-skipdeq", CURVES, "polynomial --model skipdeq"),
    Row("digits-graph", LABELS, "digits-graph"),
    Row("table-breast-cancer", LABELS, "table"),
    Row("table-wine", LABELS, "table --table wine"),
    Row("characters", TEXT, "characters"),
    Row("lasso", PENALTIES, "lasso"),
    Row("bratu", PENALTIES, "bratu"),
    Row("cifar10-mdeq", PHOTOGRAPHS, "cifar10"),
    Row("cifar10-skip-mdeq", PHOTOGRAPHS, "cifar10 --model skip-mdeq"),
)
