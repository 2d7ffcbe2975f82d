"""Probe of the network, which answers by a deadline, whatever hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from equilib.errors import require

PURPOSE = "downloading data"


def probe(urls: Sequence[str], *, seconds: float) -> dict[str, str | None]:
    """Ask for the head of every URL at once; return for each None, or why it is out of reach.

    Takes at most `seconds`: name resolution knows no timeout, so it is left behind in a daemon thread.

    Raises
    ------
    UserError
        When requests is not installed.
    """
    # The library, hence the proxies and the certificates, that the download itself will use.
    requests = require("requests", purpose=PURPOSE)
    answers: SimpleQueue[tuple[str, str | None]] = SimpleQueue()

    def ask(url: str) -> None:
        try:
            with requests.head(url, timeout=seconds, allow_redirects=True) as response:
                response.raise_for_status()
            answers.put((url, None))
        except requests.RequestException as error:
            answers.put((url, reason(error)))

    end = time.monotonic() + seconds
    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    outcome: dict[str, str | None] = dict.fromkeys(urls, f"no answer in {seconds:g} s")
    for _ in urls:
        try:
            url, why = answers.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            break
        outcome[url] = why
    return outcome


def reason(error: Exception) -> str:
    """Say in a few words why a request failed."""
    requests = require("requests", purpose=PURPOSE)
    if isinstance(error, requests.HTTPError):
        return f"answered {error.response.status_code} {error.response.reason}"
    kinds = (
        (requests.Timeout, "no answer"),
        (requests.exceptions.ProxyError, "the proxy refused"),
        (requests.exceptions.SSLError, "its certificate was not accepted"),
        (requests.exceptions.ChunkedEncodingError, "the connection broke"),
        (requests.ConnectionError, "no connection"),
    )
    return next((words for kind, words in kinds if isinstance(error, kind)), str(error))
