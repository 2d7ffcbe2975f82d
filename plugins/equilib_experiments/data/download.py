"""Published files: kept in the user's cache, checked by checksum, downloaded when they are not there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from equilib.errors import UserError, file_errors, require

PURPOSE = "using downloaded data"
PROBE_SECONDS = 3.5
TIMEOUTS = (5.0, 15.0)  # seconds: to connect, and between two pieces of a file
CHUNK = 1 << 16


class DownloadError(UserError):
    """No mirror delivered the files: the message says for each what it did."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A data set as published: the files with the checksums `md5`, in a `folder` within a data folder or the cache.

    They lie below the `mirrors`, URLs that end in a slash; the first that works is used.
    """

    name: str
    folder: str
    md5: Mapping[str, str]
    mirrors: tuple[str, ...]


def fetch(distribution: Distribution, *, cache: Path | None = None, report: Callable[[str], None]) -> dict[str, Path]:
    """Return the path of every file in the cache, its checksum verified; download those that are not there.

    A file takes its name only once its checksum is right. Without a network this ends within 5 seconds.
    `report` is told what happens; `cache` defaults to the user's cache folder.

    Raises DownloadError when no mirror delivers; UserError when pooch is not installed or the cache cannot be used.
    """
    pooch = require("pooch", purpose=PURPOSE)
    folder = (Path(pooch.os_cache("equilib")) if cache is None else cache) / distribution.folder
    wanted = {}
    for name, md5 in distribution.md5.items():
        with _cache_errors(folder):
            present = (folder / name).exists()
            intact = present and pooch.file_hash(str(folder / name), alg="md5") == md5
        if present and not intact:
            report(f"{folder / name} does not have the published checksum and will be downloaded again")
        if not intact:
            wanted[name] = md5
    if wanted:
        _download(distribution, wanted, folder, report)
    return {name: folder / name for name in distribution.md5}


def _download(
    distribution: Distribution, wanted: Mapping[str, str], folder: Path, report: Callable[[str], None]
) -> None:
    first = next(iter(wanted))
    outcomes = probe([mirror + first for mirror in distribution.mirrors], seconds=PROBE_SECONDS)
    failures = []
    for mirror in distribution.mirrors:
        failure = outcomes[mirror + first]
        if failure is None:
            report(f"downloading {distribution.name} ({len(wanted)} files) from {mirror} to {folder}")
            failure = _download_from(mirror, wanted, folder)
        if failure is None:
            return
        failures.append(f"{urlsplit(mirror).netloc}: {failure}")
    raise DownloadError(f"{distribution.name} could not be downloaded ({'; '.join(failures)})")


def _download_from(mirror: str, wanted: Mapping[str, str], folder: Path) -> str | None:
    """Download the files; return None, or why the mirror failed."""
    pooch, requests = require("pooch", purpose=PURPOSE), require("requests", purpose=PURPOSE)
    rates = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), *rates)
    console = Console(stderr=True)

    # pooch's own downloader would need tqdm for its bar, and leaves the connection of a failed request open.
    def download(url: str, target: str, _: object) -> None:
        with requests.get(url, stream=True, timeout=TIMEOUTS) as response, open(target, "wb") as file:
            response.raise_for_status()
            bar = bars.add_task(Path(url).name, total=int(response.headers.get("content-length", 0)) or None)
            for piece in response.iter_content(CHUNK):
                file.write(piece)
                bars.advance(bar, len(piece))

    with (
        _cache_errors(folder),
        _quiet(pooch.get_logger()),
        Progress(*columns, console=console, disable=not console.is_terminal) as bars,
    ):
        for name, md5 in wanted.items():
            try:
                pooch.retrieve(mirror + name, f"md5:{md5}", fname=name, path=folder, downloader=download)
            except requests.RequestException as error:
                return f"{name}: {reason(error)}"
            except ValueError:
                return f"{name} arrived with a wrong checksum"
    return None


def probe(urls: Sequence[str], *, seconds: float) -> dict[str, str | None]:
    """Ask for the head of every URL at once; return for each None, or why it is out of reach.

    Takes at most `seconds`: name resolution knows no timeout, so it is left behind in a daemon thread.

    Raises UserError when requests is not installed.
    """
    # The library, hence the proxies and the certificates, that the download itself will use.
    requests = require("requests", purpose="downloading data")
    outcomes: dict[str, str | None] = dict.fromkeys(urls, f"no answer in {seconds:g} s")

    def ask(url: str) -> None:
        try:
            with requests.head(url, timeout=seconds, allow_redirects=True) as response:
                response.raise_for_status()
            outcomes[url] = None
        except requests.RequestException as error:
            outcomes[url] = reason(error)

    end = time.monotonic() + seconds
    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(outcomes)  # threads that are left behind may still write


def reason(error: Exception) -> str:
    """Say in a few words why a request failed."""
    requests = require("requests", purpose="downloading data")
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


def _cache_errors(folder: Path) -> AbstractContextManager[None]:
    remedy = "; make it writable, or give a folder that has the files with --data-dir"
    return file_errors(f"the cache {folder} cannot be used", remedy)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    # pooch announces each file on stderr, in the middle of the bars and of what `report` says.
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
