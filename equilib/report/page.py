"""Page about runs: one file, without scripts, that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from equilib.report import numbers, samples
from equilib.report.charts import Chart
from equilib.report.drawing import svg
from equilib.report.facts import groups
from equilib.report.findings import Findings
from equilib.report.palette import COLOURS, colour_of, sign_of
from equilib.report.run import ReportedRun
from equilib.training.metric import CARD, EPOCHS
from equilib.training.metrics import SCORE, metrics_of


def render(
    runs: Sequence[ReportedRun],
    tested: Sequence[tuple[Findings | None, str | None]],
    *,
    training: Sequence[Chart],
    solver: Sequence[Chart],
) -> str:
    """Return the page; `tested` says for each run what its model does on test data, or why that is unknown."""
    pages = Environment(
        loader=PackageLoader("equilib.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    pages.globals |= {"colour_of": colour_of, "sign_of": sign_of, "number": numbers.number, "svg": svg}
    pages.globals |= {"samples": samples, "metrics_of": metrics_of, "CARD": CARD, "EPOCHS": EPOCHS, "SCORE": SCORE}
    return pages.get_template("page.html.j2").render(
        runs=runs,
        experiments=list(dict.fromkeys(run.experiment for run in runs)),
        single=len(runs) == 1,
        tests=list(zip(runs, tested, strict=True)),
        training=training,
        solver=solver,
        facts=groups(runs),
        colours=COLOURS,
    )
