"""Packages that only the experiments need."""

from __future__ import annotations

import importlib
from typing import Any

from equilib_experiments.data.errors import DataError


def require(module: str, *, purpose: str) -> Any:
    """Import and return `module`.

    Raises
    ------
    DataError
        When it cannot be imported; the message says what it is needed for and how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(
            f'{purpose} needs an optional package ({error}); run: pip install "equilib[experiments]"'
        ) from error
