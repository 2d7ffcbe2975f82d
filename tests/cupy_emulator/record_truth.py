"""What the real CuPy makes of the expressions: `python -m tests.cupy_emulator.record_truth` on a GPU writes truth.json.

The costs in it were counted by a CUDA that lived on the host; they stay as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.cupy_emulator.expressions import EXPRESSIONS, outcome

TRUTH = Path(__file__).with_name("truth.json")


def main() -> None:
    """Write the file anew."""
    import cupy

    before = json.loads(TRUTH.read_text())["expressions"]
    lines = []
    for text in EXPRESSIONS:
        costs = {key: value for key, value in before.get(text, {}).items() if key == "costs"}
        lines.append(f"{json.dumps(text)}: {json.dumps(outcome(cupy, text) | costs)}")
    device = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    begin = f'{{"cupy": "{cupy.__version__}", "device": "{device}", "expressions": {{'
    TRUTH.write_text("\n".join((begin, ",\n".join(lines), "}}", "")))


if __name__ == "__main__":
    main()
