"""Picture of a comparison: what each solver's residual cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from equilib.commands.histories import Curve
from equilib.report.charts import DASHED, DOTTED, SOLID, Chart, Series
from equilib.report.drawing import save_charts

_LINEAR = 60  # evaluations that an axis without logarithm still shows one by one


def save_comparison(curves: Sequence[Curve], path: Path) -> None:
    """Write the residuals of several solvers as a PNG file."""
    chart = Chart(
        name=path.stem,
        title="Residual of a test batch",
        x_label="evaluations of f and products with its Jacobian",
        y_label="median ‖f(z) − z‖ of the best iterate (rms)",
        series=tuple(
            Series(
                run=place,
                label=curve.solver,
                style=(SOLID, DASHED, DOTTED)[place // 6 % 3],  # colours repeat after six
                points=list(zip(curve.cost, curve.residual, strict=True)),
            )
            for place, curve in enumerate(curves)
        ),
        logarithmic=True,
        logarithmic_x=any(curve.cost[-1] > _LINEAR for curve in curves if curve.cost),
        stepped=True,
    )
    save_charts([chart], path.parent, single=False)
