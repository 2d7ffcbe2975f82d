"""MNIST is found, checked, downloaded or replaced, and never half trusted."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import http.server
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage

from equilib.errors import UserError
from equilib.training.data import LabelledImages
from equilib_experiments.data.digits import SmallDigits, resize_bilinear
from equilib_experiments.data.download import Distribution, DownloadError, fetch, probe
from equilib_experiments.data.mnist import OFFICIAL, TEST, TRAIN, Mnist

REAL = os.environ.get("EQUILIB_DATA_DIR")
needs_real = pytest.mark.skipif(not REAL, reason="EQUILIB_DATA_DIR is not set: no real MNIST to read")
CLOSED = "http://127.0.0.1:9/"


def load_mnist(*, data_dir: Path | None = None, report: Callable[[str], None], **settings: Any) -> LabelledImages:
    """Load the images as a run does."""
    return Mnist(**settings).load(data_dir, report)


def ignore(message: str) -> None:
    """Take a report that the test has nothing to say about."""


def write_idx(path: Path, array: np.ndarray, *, code: int = 0x08) -> None:
    """Write an array of single bytes as IDX, gzip where the name says so."""
    content = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_mnist(folder: Path, *, train: int = 6, test: int = 4, suffix: str = ".gz") -> dict[str, np.ndarray]:
    """Write four files of random images and labels; return their arrays by official name."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for (images, labels), count in ((TRAIN, train), (TEST, test)):
        arrays[images] = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[labels] = rng.integers(0, 10, count).astype(np.uint8)
    for name, array in arrays.items():
        write_idx(folder / (name.removesuffix(".gz") + suffix), array)
    return arrays


def md5(path: Path) -> str:
    """Return the checksum that a distribution publishes."""
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def _no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


class Mirror(http.server.ThreadingHTTPServer):
    """A local server of a folder that notes what it was asked for and can break a file off midway."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.break_off: str | None = None
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder)))

    @property
    def url(self) -> str:
        """Return the address of the folder."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        self.server.asked.append(self.path.lstrip("/"))
        super().do_GET()

    def copyfile(self, source, outputfile) -> None:
        content = source.read()
        cut = len(content) // 2 if self.path.lstrip("/") == self.server.break_off else len(content)
        outputfile.write(content[:cut])

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """Serve the folder `mirror`, which holds a small MNIST."""
    folder = tmp_path / "mirror"
    write_mnist(folder)
    with Mirror(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def distribution(tmp_path: Path, mirror: Mirror) -> Distribution:
    """Describe the small MNIST as published on the local mirror."""
    checksums = {name: md5(tmp_path / "mirror" / name) for name in (*TRAIN, *TEST)}
    return dataclasses.replace(OFFICIAL, md5=checksums, mirrors=(mirror.url,))


@pytest.fixture
def hanging() -> Iterator[str]:
    """Run a server that accepts connections and never says a word; give its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


# A folder that the user names


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("subfolder", [".", "mnist"])
def test_a_folder_holds_the_files_packed_or_not_itself_or_in_mnist(tmp_path: Path, suffix: str, subfolder: str) -> None:
    """All four layouts of a data folder give the same arrays, as many as the headers say."""
    written = write_mnist(tmp_path / subfolder, train=6, test=4, suffix=suffix)
    data = load_mnist(data_dir=tmp_path, report=pytest.fail)
    for (images, labels), read in ((TRAIN, "train"), (TEST, "test")):
        np.testing.assert_array_equal(getattr(data, f"{read}_images"), written[images])
        np.testing.assert_array_equal(getattr(data, f"{read}_labels"), written[labels])
    assert not data.fallback
    assert data.source == f"MNIST from {tmp_path / subfolder}: 6 training and 4 test images"


def test_the_option_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--data-dir is used before EQUILIB_DATA_DIR, which is used before everything else."""
    write_mnist(tmp_path / "option", train=5)
    write_mnist(tmp_path / "environment", train=7)
    monkeypatch.setenv("EQUILIB_DATA_DIR", str(tmp_path / "environment"))
    assert len(load_mnist(data_dir=tmp_path / "option", report=pytest.fail).train_images) == 5
    assert len(load_mnist(report=pytest.fail).train_images) == 7


@pytest.mark.parametrize("by", ["--data-dir ", "EQUILIB_DATA_DIR="])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", r"absent cannot be listed: No such file or directory; give an existing folder"),
        ("file", r"file cannot be listed: Not a directory; give an existing folder"),
        ("empty", r"holds neither train-images-idx3-ubyte.gz nor mnist/train-images\S+ but nothing; give"),
        ("other", r"but a, b, c, d and 2 more; give a folder with the 4 files"),
    ],
)
def test_a_named_folder_without_mnist_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, name: str, message: str
) -> None:
    """A folder named by option or environment is never passed over: the error says how it was named."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    for letter in "abcdef":
        (tmp_path / "other" / letter).touch()
    folder = tmp_path / name
    if by == "EQUILIB_DATA_DIR=":
        monkeypatch.setenv("EQUILIB_DATA_DIR", str(folder))
    with pytest.raises(UserError, match=message) as caught:
        load_mnist(data_dir=folder if by == "--data-dir " else None, report=pytest.fail)
    assert str(caught.value).startswith(f"{by}{folder}")


@pytest.mark.parametrize("missing", [*TRAIN, *TEST])
def test_one_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    """Three of four files are an error that names the fourth."""
    write_mnist(tmp_path / "mnist")
    (tmp_path / "mnist" / missing).unlink()
    message = rf"mnist holds \S+, but neither {missing} nor {missing.removesuffix('.gz')}; add that file"
    with pytest.raises(UserError, match=message):
        load_mnist(data_dir=tmp_path, report=pytest.fail)


# Files that are not what their names say


@pytest.mark.parametrize("names", [TRAIN, TEST])
def test_swapped_files_are_recognized(tmp_path: Path, names: tuple[str, str]) -> None:
    """Labels under the images' name, and images under the labels', are called swapped."""
    arrays = write_mnist(tmp_path)
    images, labels = names
    write_idx(tmp_path / images, arrays[labels])
    with pytest.raises(UserError, match=rf"{images} holds \d labels where images were expected: .* swapped"):
        load_mnist(data_dir=tmp_path, report=pytest.fail)
    write_idx(tmp_path / images, arrays[images])
    write_idx(tmp_path / labels, arrays[images])
    with pytest.raises(UserError, match=rf"{labels} holds \d images where labels were expected: .* swapped"):
        load_mnist(data_dir=tmp_path, report=pytest.fail)


@pytest.mark.parametrize(
    ("name", "array", "code", "message"),
    [
        (TRAIN[1], np.zeros(5, np.uint8), 0x08, r"holds 6 images and \S+ 5 labels; give two files of the same"),
        (TRAIN[1], np.array([1, 2, 10, 4, 5, 6], np.uint8), 0x08, r"holds the label 10 at position 2, where 0"),
        (TRAIN[1], np.zeros(6, np.int8), 0x09, r"shape \(6,\) and type int8, where one uint8 label per image"),
        (TRAIN[1], np.zeros((6, 1), np.uint8), 0x08, r"shape \(6, 1\) and type uint8, where one uint8 label"),
        (TRAIN[0], np.zeros((6, 32, 32), np.uint8), 0x08, r"shape \(6, 32, 32\) and type uint8, where uint8 im"),
        (TRAIN[0], np.zeros((6, 28, 28), np.int8), 0x09, r"shape \(6, 28, 28\) and type int8, where uint8 imag"),
        (TEST[0], np.zeros((0, 28, 28), np.uint8), 0x08, r"t10k-images-idx3-ubyte.gz holds no images"),
    ],
)
def test_wrong_contents_are_refused(tmp_path: Path, name: str, array: np.ndarray, code: int, message: str) -> None:
    """Counts that differ, labels past 9, other sizes, other types and empty sets each have their sentence."""
    write_mnist(tmp_path)
    write_idx(tmp_path / name, array, code=code)
    with pytest.raises(UserError, match=message) as caught:
        load_mnist(data_dir=tmp_path, report=pytest.fail)
    assert str(tmp_path / name) in str(caught.value)


def test_a_damaged_file_of_a_named_folder_is_an_error(tmp_path: Path) -> None:
    """A truncated file does not make the loader look elsewhere."""
    write_mnist(tmp_path)
    path = tmp_path / TEST[0]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=f"{TEST[0]} is cut off"):
        load_mnist(data_dir=tmp_path, report=pytest.fail)


# Cache and download


def test_a_download_is_kept_and_used_again(tmp_path: Path, distribution: Distribution, mirror: Mirror) -> None:
    """The first load downloads each file once, the second finds them in the cache and asks nobody."""
    reports: list[str] = []
    data = load_mnist(distribution=distribution, cache=tmp_path / "cache", report=reports.append)
    assert sorted(mirror.asked) == sorted(distribution.md5)
    assert reports == [f"downloading MNIST (4 files) from {mirror.url} to {tmp_path / 'cache' / 'mnist'}"]
    offline = dataclasses.replace(distribution, mirrors=(CLOSED,))
    again = load_mnist(distribution=offline, cache=tmp_path / "cache", report=pytest.fail)
    assert data.source == again.source == f"MNIST from {tmp_path}/cache/mnist: 6 training and 4 test images"
    np.testing.assert_array_equal(data.train_images, again.train_images)
    assert {path.name for path in (tmp_path / "cache" / "mnist").iterdir()} == set(distribution.md5)


def test_a_spoiled_file_of_the_cache_is_replaced(tmp_path: Path, distribution: Distribution, mirror: Mirror) -> None:
    """A cached file with another checksum is not used but downloaded anew, it alone."""
    fetch(distribution, cache=tmp_path / "cache", report=ignore)
    mirror.asked.clear()
    spoiled = tmp_path / "cache" / "mnist" / TEST[1]
    write_idx(spoiled, np.zeros(4, np.uint8))
    reports: list[str] = []
    fetch(distribution, cache=tmp_path / "cache", report=reports.append)
    assert mirror.asked == [TEST[1]]
    assert md5(spoiled) == distribution.md5[TEST[1]]
    assert f"{spoiled} does not have the published checksum" in reports[0]


@pytest.mark.parametrize("fault", ["checksum", "broken off", "absent"])
def test_a_failed_download_leaves_no_half_file(
    tmp_path: Path, distribution: Distribution, mirror: Mirror, fault: str
) -> None:
    """A file that arrives wrong, arrives in part or is not there leaves nothing under its name or any other."""
    bad = TRAIN[1]
    if fault == "checksum":
        write_idx(tmp_path / "mirror" / bad, np.zeros(6, np.uint8))
    elif fault == "absent":
        (tmp_path / "mirror" / bad).unlink()
    else:
        mirror.break_off = bad
    words = {"checksum": "wrong checksum", "broken off": "the connection broke", "absent": "answered 404"}[fault]
    with pytest.raises(DownloadError, match=rf"could not be downloaded \(127.0.0.1:\d+: {bad}.* {words}"):
        fetch(distribution, cache=tmp_path / "cache", report=ignore)
    assert [path.name for path in (tmp_path / "cache" / "mnist").iterdir()] == [TRAIN[0]]


def test_the_next_mirror_is_asked_for_what_is_missing(
    tmp_path: Path, distribution: Distribution, mirror: Mirror
) -> None:
    """A mirror that is down or sends a wrong file is followed by the next, and good files are kept."""
    write_mnist(tmp_path / "second", train=3)
    for name in (TRAIN[0], TEST[0]):
        (tmp_path / "second" / name).write_bytes((tmp_path / "mirror" / name).read_bytes())
    with Mirror(tmp_path / "second") as second:
        thread = threading.Thread(target=second.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        mirrors = (CLOSED, second.url, mirror.url)
        paths = fetch(dataclasses.replace(distribution, mirrors=mirrors), cache=tmp_path / "cache", report=ignore)
        second.shutdown()
        thread.join()
    assert {name: md5(path) for name, path in paths.items()} == distribution.md5
    assert mirror.asked == [TRAIN[1], *TEST]


def test_an_unusable_cache_is_named(tmp_path: Path, distribution: Distribution) -> None:
    """A cache that cannot be written is an error, not a reason to train on other data."""
    (tmp_path / "cache").touch()
    with pytest.raises(UserError, match=r"the cache \S+/cache/mnist cannot be used: .*; make it writable") as caught:
        load_mnist(distribution=distribution, cache=tmp_path / "cache", report=ignore)
    assert not isinstance(caught.value, DownloadError)


# Offline


def test_offline_the_small_digits_take_the_place_of_mnist(tmp_path: Path) -> None:
    """Where no mirror can be reached, the fallback is announced with the reason, recorded, and writes nothing."""
    reports: list[str] = []
    offline = dataclasses.replace(OFFICIAL, mirrors=(CLOSED, CLOSED + "other/"))
    start = time.monotonic()
    data = load_mnist(distribution=offline, cache=tmp_path / "cache", report=reports.append)
    assert time.monotonic() - start < 5
    assert data.fallback
    assert "scikit-learn's handwritten digits" in data.source
    assert "1,437 training and 360 test images" in data.source
    (notice,) = reports
    assert notice.startswith("MNIST could not be downloaded (127.0.0.1:9: no connection; 127.0.0.1:9: no conn")
    assert "scikit-learn's handwritten digits" in notice
    assert "--data-dir" in notice
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_that_never_answers_costs_less_than_five_seconds(tmp_path: Path, hanging: str) -> None:
    """Servers that take the connection and stay silent are given up in time, whatever their number."""
    silent = dataclasses.replace(OFFICIAL, mirrors=(hanging, hanging + "a/", hanging + "b/"))
    start = time.monotonic()
    with pytest.raises(DownloadError, match="no answer"):
        fetch(silent, cache=tmp_path, report=pytest.fail)
    assert time.monotonic() - start < 5


def test_name_resolution_that_hangs_does_not_hold_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver knows no timeout; the probe as a whole, late answers included, ends at its deadline."""
    over = threading.Event()

    def resolve(host: str, *_: object) -> list[object]:
        over.wait(0.8 if host == "late.invalid" else None)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    before = set(threading.enumerate())
    start = time.monotonic()
    outcome = probe(["http://late.invalid/", "http://never.invalid/"], seconds=1)
    assert 1 <= time.monotonic() - start < 1.5
    assert outcome == {"http://late.invalid/": "no connection", "http://never.invalid/": "no answer in 1 s"}
    left_behind = set(threading.enumerate()) - before
    assert left_behind
    assert all(thread.daemon for thread in left_behind)
    over.set()
    for thread in left_behind:
        thread.join()


def test_the_probe_tells_the_mirrors_apart(mirror: Mirror, hanging: str) -> None:
    """Each mirror gets its own outcome: None, or the reason in a few words."""
    outcome = probe([mirror.url + TEST[0], mirror.url + "absent", CLOSED, hanging], seconds=0.5)
    assert list(outcome.values())[:3] == [None, "answered 404 File not found", "no connection"]
    assert "no answer" in str(outcome[hanging])


@pytest.mark.parametrize("module", ["pooch", "sklearn.datasets"])
def test_a_missing_package_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """Without pooch or scikit-learn the error is one sentence with the command that installs them."""
    monkeypatch.setitem(sys.modules, module, None)
    offline = dataclasses.replace(OFFICIAL, mirrors=(CLOSED,))
    with pytest.raises(UserError, match=rf'{module}.* run: pip install "equilib\[experiments\]"$'):
        load_mnist(distribution=offline, cache=tmp_path, report=ignore)


def test_named_folders_need_no_optional_package(tmp_path: Path) -> None:
    """Reading one's own files loads neither pooch, requests nor scikit-learn."""
    write_mnist(tmp_path)
    code = (
        "import sys; from pathlib import Path; from equilib_experiments.data.mnist import Mnist; "
        f"Mnist().load(Path({str(tmp_path)!r}), print); "
        "print(sorted({'pooch', 'requests', 'sklearn', 'autograd'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout == "[]\n"


# The small digits


def test_small_digits_are_digits_in_the_format_of_mnist() -> None:
    """They have MNIST's shapes, type, range and border, and nearest neighbours still read them."""
    digits = SmallDigits().load(None, ignore)
    train_images, train_labels = digits.train_images, digits.train_labels
    test_images, test_labels = digits.test_images, digits.test_labels
    assert train_images.shape == (1437, 28, 28)
    assert test_images.shape == (360, 28, 28)
    assert {a.dtype.name for a in (train_images, train_labels, test_images, test_labels)} == {"uint8"}
    assert (train_images.min(), train_images.max()) == (0, 255)
    assert set(train_labels) == set(test_labels) == set(range(10))
    centre = np.zeros((28, 28), bool)
    centre[4:24, 4:24] = True
    assert not train_images[:, ~centre].any()
    train, test = (images.reshape(len(images), -1).astype(float) for images in (train_images, test_images))
    nearest = ((train**2).sum(1) - 2 * test @ train.T).argmin(1)
    assert (train_labels[nearest] == test_labels).mean() > 0.95


def test_resizing_is_bilinear_interpolation() -> None:
    """Resizing agrees with SciPy's order-one zoom of whole pixels with extended edges."""
    images = np.random.default_rng(0).uniform(size=(3, 8, 8))
    expected = scipy.ndimage.zoom(images, (1, 2.5, 2.5), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(resize_bilinear(images, 20), expected, atol=1e-12)


# The real files


@needs_real
def test_real_mnist_is_read() -> None:
    """The official files give the digits that everyone knows: 5, 0, 4, 1, 9 and, in the test set, 7, 2, 1, 0, 4."""
    data = load_mnist(data_dir=Path(str(REAL)), report=pytest.fail)
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.test_images.shape == (10_000, 28, 28)
    assert data.train_images.shape[1:] == (28, 28)
    assert data.train_images[0, 5, 12:16].tolist() == [3, 18, 18, 18]
    assert round(float(data.test_images.mean()) / 255, 4) == 0.1325
    assert not data.fallback


@needs_real
@pytest.mark.parametrize("name", TEST)
def test_the_checksums_are_those_of_the_official_files(name: str) -> None:
    """The checksum by which a download is judged is that of the official file."""
    path = next(p for p in (Path(str(REAL)) / name, Path(str(REAL)) / "mnist" / name) if p.exists())
    assert md5(path) == OFFICIAL.md5[name]
