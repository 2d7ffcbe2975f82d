"""Report about runs: a page with curves, the model on its test data, and the facts of the record."""

from equilib.errors import require


def require_libraries() -> None:
    """Check that pictures and pages can be made; raises UserError if Matplotlib or Jinja2 cannot be imported."""
    for library in ("matplotlib.figure", "jinja2"):
        require(library, purpose="drawing")
