"""Libraries that draw reports, which an installation may lack."""

from __future__ import annotations

from importlib import import_module

from equilib.errors import UserError

LIBRARIES = ("jinja2", "matplotlib.figure")


def require_libraries() -> None:
    """Check that reports can be drawn.

    Raises
    ------
    UserError
        If a library cannot be imported.
    """
    for library in LIBRARIES:
        try:
            import_module(library)
        except ImportError as error:
            raise UserError(
                f'pictures and pages need Matplotlib and Jinja2 ({error}); pip install "equilib[experiments]"'
            ) from error
