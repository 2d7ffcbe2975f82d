"""What a person sees: a terminal, as far as progress bars use one."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable
from pathlib import Path

_TOKEN = re.compile(r"\x1b\[(?P<parameters>[0-9;?]*)(?P<command>[A-Za-z])|(?P<control>[\r\n])|(?P<text>[^\x1b\r\n]+)")


class Screen:
    """The lines that stand on a terminal, and whether its cursor is seen, after some output."""

    def __init__(self, output: str) -> None:
        self.rows = [""]
        self.cursor_visible = True
        self._row = self._column = 0
        position = 0
        while position < len(output):
            token = _TOKEN.match(output, position)
            if token is None:
                raise ValueError(f"a terminal would not understand {output[position : position + 12]!r}")
            self._apply(token)
            position = token.end()

    @property
    def lines(self) -> list[str]:
        """The lines down to the last that holds something, without trailing blanks."""
        lines = [row.rstrip() for row in self.rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _apply(self, token: re.Match[str]) -> None:
        if token["text"]:
            row = self.rows[self._row].ljust(self._column)
            end = self._column + len(token["text"])
            self.rows[self._row] = row[: self._column] + token["text"] + row[end:]
            self._column = end
        elif token["control"] == "\r":
            self._column = 0
        elif token["control"] == "\n":
            self._column = 0  # a terminal's driver adds the carriage return
            self._row += 1
            if self._row == len(self.rows):
                self.rows.append("")
        else:
            self._command(token["command"], token["parameters"])

    def _command(self, command: str, parameters: str) -> None:
        if command == "A":
            self._row = max(self._row - int(parameters or 1), 0)
        elif (command, parameters) == ("K", "2"):
            self.rows[self._row] = ""
        elif command in "hl" and parameters == "?25":
            self.cursor_visible = command == "h"
        elif command != "m":  # colours leave no trace
            raise ValueError(f"the screen does not know ESC[{parameters}{command}")


def on_a_terminal(
    argv: list[str], *, cwd: Path, press_when: Callable[[str], bool] | None = None, seconds: float = 300
) -> tuple[int, str]:
    """Run a program on a pseudo-terminal; press Ctrl-C once `press_when` finds its output far enough.

    Returns
    -------
    status : int
        The exit status, negative for a signal.
    output : str
        All that the terminal was sent, the ^C that it echoes included.
    """
    import pty  # not on Windows

    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.chdir(cwd)
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "100"}
        os.execv(argv[0], argv)
    output, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if not ready:
            continue
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # how Linux says that the program closed it
            break
        if not piece:
            break
        output += piece
        if press_when is not None and press_when(output.decode(errors="replace")):
            os.write(terminal, b"\x03")
            press_when = None
    else:
        os.kill(child, 9)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), output.decode()
