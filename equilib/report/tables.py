"""The tables of a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from equilib.report import numbers
from equilib.report.facts import groups
from equilib.report.findings import Findings, confusion
from equilib.report.html import Html, element, joined
from equilib.report.run import ReportedRun
from equilib.report.svg import swatch

_DEEP = 0.75  # a share whose shade is dark enough for white numbers


def wide(table: Html, label: str) -> Html:
    """Return a table that is scrolled by itself where the window is narrow."""
    return element("div", table, class_="wide", tabindex="0", role="region", aria_label=label)


def facts_table(runs: Sequence[ReportedRun]) -> Html:
    """Return the facts of the runs side by side; what differs is marked."""
    head = element("tr", element("td", ""), *(element("th", _named(run, runs), scope="col") for run in runs))
    bodies = [
        element(
            "tbody",
            element("tr", element("th", title, scope="rowgroup", colspan=len(runs) + 1), class_="group"),
            *(
                element(
                    "tr",
                    element("th", row.name, scope="row"),
                    *(element("td", cell) for cell in row.cells),
                    class_="differs" if row.differs else None,
                )
                for row in rows
            ),
        )
        for title, rows in groups(runs)
    ]
    return wide(element("table", element("thead", head), *bodies, class_="facts"), "Facts of the runs")


def _named(run: ReportedRun, runs: Sequence[ReportedRun]) -> Html:
    return joined([swatch(run.index) if len(runs) > 1 else None, " ", run.label])


def epochs_table(run: ReportedRun) -> Html:
    """Return the numbers of each epoch."""
    score = run.score_name
    columns: list[tuple[str, str, Callable[[Any], str]]] = [("loss", "loss", numbers.plain)]
    if score:
        words = score.replace("_", " ")
        shown = lambda value: numbers.score(score, value)  # noqa: E731
        columns += [(f"training {words}", f"train_{score}", shown), (f"test {words}", f"test_{score}", shown)]
    columns += [
        ("nfe", "forward_nfe", numbers.count),
        ("J·v", "forward_njvp", numbers.count),
        ("Jᵀ·w", "adjoint_nfe", numbers.count),
        ("residual", "residual", numbers.small),
        ("unconverged", "unconverged", numbers.share),
        ("time", "seconds", numbers.seconds),
    ]
    head = element("tr", *(element("th", title, scope="col") for title in ("epoch", "phase", *(c[0] for c in columns))))
    rows = [
        element(
            "tr",
            element("th", place, scope="row"),
            element("td", epoch.get("phase", numbers.MISSING)),
            *(element("td", numbers.number(epoch.get(key), show)) for _, key, show in columns),
        )
        for place, epoch in enumerate(run.epochs, start=1)
    ]
    table = element("table", element("thead", head), element("tbody", *rows), class_="epochs")
    return wide(table, f"Epochs of {run.label}")


def confusion_table(tested: Findings, classes: tuple[str, ...]) -> Html:
    """Return how often each class was taken for each, with a shade by its share of the row."""
    counts = confusion(tested)
    lost = counts[:, -1].any()
    columns = (*classes, "not finite") if lost else classes
    head = (
        element(
            "tr",
            element("td", "", colspan=2),
            element("th", "predicted", scope="colgroup", colspan=len(columns) + 1),
        ),
        element("tr", element("td", "", colspan=2), *(element("th", name, scope="col") for name in columns)),
    )
    rows = [
        element(
            "tr",
            element("th", element("span", "true"), scope="rowgroup", rowspan=len(classes), class_="side")
            if index == 0
            else None,
            element("th", name, scope="row"),
            *(
                _confusion_cell(int(n), int(row.sum()), right=index == column)
                for column, n in enumerate(row[: len(columns)])
            ),
        )
        for index, (name, row) in enumerate(zip(classes, counts, strict=True))
    ]
    table = element("table", element("thead", *head), element("tbody", *rows), class_="confusion")
    return wide(table, "Confusion matrix")


def _confusion_cell(n: int, of: int, *, right: bool) -> Html:
    kind = "none" if n == 0 else "right" if right else "wrong"
    shade = None if n == 0 else f"--share: {100 * n / of:.0f}%"
    dark = " deep" if n > _DEEP * of else ""
    return element("td", n, class_=kind + dark, style=shade)
