"""Errors of data files."""

from __future__ import annotations

from equilib.errors import UserError


class DataError(UserError):
    """Data that is missing, damaged, or not what was asked for."""


class DownloadError(DataError):
    """No mirror delivered the files: the message says for each what it did."""
