"""What a person sees of a run: lines, or a bar that leaves none of itself behind."""

from __future__ import annotations

import io
import json
import re
import time
from datetime import datetime

import pytest

from equilib.runs.reporters import BarReporter, JsonReporter, LineReporter, QuietReporter, open_reporter
from equilib.training.reporter import Reporter
from tests.terminal import Screen

STAMP = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\]"
CLOCK = r"\[\d\d:\d\d:\d\d\]"


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def bar(stream: io.StringIO) -> BarReporter:
    """Return a bar on a terminal of 100 columns."""
    return BarReporter(stream, force_terminal=True, width=100, _environ={"TERM": "xterm-256color"})


def epochs(reporter: Reporter, *, batches: int = 25) -> None:
    """Report two epochs."""
    reporter.line("Data: digits")
    for epoch in (1, 2):
        for index in range(1, batches + 1):
            reporter.batch(f"Epoch: [{epoch}/2]", index, batches, 1 / index)
        reporter.line(f"Epoch: [{epoch}/2] Loss: 0.5")
    reporter.line("Test accuracy: 90%")


def test_lines_are_like_the_tutorials() -> None:
    """A timestamp in brackets, the epoch, the batch in four columns, the loss with five digits; every tenth batch."""
    stream = io.StringIO()
    epochs(LineReporter(stream), batches=63)
    lines = stream.getvalue().splitlines()
    assert all(re.match(f"{STAMP} ", line) for line in lines)
    texts = [re.sub(f"^{STAMP} ", "", line) for line in lines]
    assert texts[:3] == [
        "Data: digits",
        "Epoch: [1/2] Batch: [   1/  63] Loss: 1.00000",
        "Epoch: [1/2] Batch: [  11/  63] Loss: 0.09091",
    ]
    batches = [match[1] for text in texts if (match := re.match(r"Epoch: \[2/2\] Batch: \[ *(\d+)/", text))]
    assert batches == ["1", "11", "21", "31", "41", "51", "61"]
    assert texts[-1] == "Test accuracy: 90%"


def test_each_line_is_out_at_once() -> None:
    """Nothing waits in a buffer: who follows a log sees the line when it is said."""
    raw = io.BytesIO()
    reporter = LineReporter(io.TextIOWrapper(raw, encoding="utf-8", write_through=False))
    reporter.line("first")
    assert raw.getvalue().endswith(b"first\n")


def test_a_bar_breaks_its_lines_between_words_only() -> None:
    """What fits the terminal is wrapped to it, and the name of a folder that does not is whole, to be copied."""
    stream = io.StringIO()
    reporter, folder = bar(stream), "runs/a-folder-" + "with-a-long-name-" * 8
    reporter.line(f"{'word ' * 30}end")
    reporter.line(f"Run recorded in {folder}")
    shown = stream.getvalue().splitlines()
    assert max(len(each) for each in shown if folder not in each) <= 100
    assert any(each.strip() == folder for each in shown)


def test_a_bar_leaves_only_the_lines() -> None:
    """After the run the terminal shows the lines, in order, and the cursor again."""
    stream = io.StringIO()
    reporter = bar(stream)
    epochs(reporter)
    reporter.close()
    screen = Screen(stream.getvalue())
    assert [re.sub(f"^{CLOCK} ", "", line) for line in screen.lines] == [
        "Data: digits",
        "Epoch: [1/2] Loss: 0.5",
        "Epoch: [2/2] Loss: 0.5",
        "Test accuracy: 90%",
    ]
    assert screen.cursor_visible


def test_a_bar_shows_the_epoch_at_work() -> None:
    """During an epoch the last line of the terminal is its bar, with batches and loss, below the lines that stay."""
    stream = io.StringIO()
    reporter = bar(stream)
    reporter.line("Data: digits")
    reporter.batch("Epoch: [1/2]", 1, 4, 0.75)
    reporter.batch("Epoch: [1/2]", 3, 4, 0.25)
    reporter.line("Warning: by the way")
    screen = Screen(stream.getvalue())
    assert screen.lines[-2].endswith("] Warning: by the way")
    assert re.match(r"Epoch: \[1/2\] ━.* 3/4 loss 0\.2500", screen.lines[-1])
    assert not screen.cursor_visible
    reporter.close()
    assert len(Screen(stream.getvalue()).lines) == 2


def test_an_interrupted_bar_is_cleared() -> None:
    """Closed in the middle of an epoch, the bar is gone and the cursor back; closing again does nothing."""
    stream = io.StringIO()
    reporter = bar(stream)
    reporter.batch("Epoch: [1/2]", 2, 4, 0.75)
    reporter.close()
    reporter.close()
    screen = Screen(stream.getvalue())
    assert screen.lines == []
    assert screen.cursor_visible


def test_a_bar_that_never_began_leaves_nothing() -> None:
    """Without a batch the terminal is not touched."""
    stream = io.StringIO()
    bar(stream).close()
    assert stream.getvalue() == ""


def test_text_is_shown_as_it_is() -> None:
    """Brackets, colons and backslashes of paths and options are not taken for markup or emoji."""
    stream = io.StringIO()
    text = r"in [bold]C:\new[/bold] :smile: [1/3]"
    bar(stream).line(text)
    assert Screen(stream.getvalue()).lines[0].endswith(f"] {text}")


@pytest.mark.parametrize(
    ("stream", "term", "kind"),
    [
        (Terminal(), "xterm", BarReporter),
        (Terminal(), "dumb", LineReporter),
        (io.StringIO(), "xterm", LineReporter),
    ],
    ids=["terminal", "dumb", "pipe"],
)
def test_the_reporter_suits_the_output(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, term: str, kind: type[Reporter]
) -> None:
    """A bar is for terminals that can redraw a line; pipes, files and dumb terminals get lines."""
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("TERM", term)
    with open_reporter() as reporter:
        assert isinstance(reporter, kind)
    for log, other in (("quiet", QuietReporter), ("json", JsonReporter)):
        with open_reporter(log) as reporter:
            assert isinstance(reporter, other)


def whole_run(reporter: Reporter) -> None:
    """Report two epochs and the end."""
    epochs(reporter)
    reporter.batch("Test", 1, 2)
    reporter.event("epoch", "Epoch: [1/2] ...", {"epoch": 1, "loss": float("nan"), "status": {"converged": 3}})
    reporter.event("result", "Test accuracy: 90%", {"test_accuracy": 0.9})
    reporter.event("finished", "Run recorded in x", {"path": "x", "result": "Test accuracy: 90%"})


def test_quiet_is_the_last_line_only(capsys: pytest.CaptureFixture[str]) -> None:
    """It has the result and the place; a run that ends early says so too."""
    whole_run(QuietReporter())
    assert capsys.readouterr().out == "Test accuracy: 90%. Run recorded in x\n"
    QuietReporter().event("interrupted", "Interrupted", {"path": "x"})
    assert capsys.readouterr().out == "Interrupted\n"


def test_json_logs_are_objects(capsys: pytest.CaptureFixture[str]) -> None:
    """Every line is a JSON object with its event, its time and the event's fields, in order; nan is null."""
    whole_run(JsonReporter())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(datetime.fromisoformat(line["time"]).tzinfo is not None for line in lines)
    assert [line["event"] for line in lines[-5:]] == ["message", "test_batch", "epoch", "result", "finished"]
    batches = [line for line in lines if line["event"] == "batch"]
    assert len(batches) == 50
    assert batches[1].items() >= {"title": "Epoch: [1/2]", "index": 2, "count": 25, "loss": 0.5}.items()
    assert lines[-3].items() >= {"epoch": 1, "loss": None, "status": {"converged": 3}}.items()
    assert lines[-1].items() >= {"path": "x", "result": "Test accuracy: 90%"}.items()


def test_a_test_has_a_bar_and_no_lines() -> None:
    """On a terminal a pass over the test data moves a bar without a loss; in a log it says nothing."""
    stream = io.StringIO()
    reporter = bar(stream)
    for index in range(1, 4):
        reporter.batch("Test", index, 5)
    reporter.line("")
    assert re.match(r"Test ━.* 3/5 ", Screen(stream.getvalue()).lines[-1])
    assert "loss" not in stream.getvalue()
    reporter.close()
    log = io.StringIO()
    LineReporter(log).batch("Test", 1, 5)
    assert log.getvalue() == ""


def test_a_bar_has_a_rate() -> None:
    """Once two batches have been seen, their number per second stands beside the time that is left."""
    stream = io.StringIO()
    reporter = bar(stream)
    for index in range(1, 4):
        time.sleep(0.02)
        reporter.batch("Epoch: [1/2]", index, 400, 0.5)
    reporter.line("")
    assert re.search(r"3/400 loss 0\.5000 +\d+\.\d/s +\d+:\d\d:\d\d", Screen(stream.getvalue()).lines[-1])
    reporter.close()


def test_the_reporter_is_closed_however_the_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in an epoch removes the bar before it goes on."""
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("TERM", "xterm-256color")

    def fail() -> None:
        with open_reporter() as reporter:
            reporter.batch("Epoch: [1/1]", 1, 4, 0.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    screen = Screen(stream.getvalue())
    assert screen.lines == []
    assert screen.cursor_visible
