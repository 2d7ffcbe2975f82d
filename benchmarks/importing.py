"""How long `import equilib` takes, in processes of their own, beside NumPy alone."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.timing import alternate, machine, table


def main(rounds: int = 15) -> None:
    """Print the times of `import equilib`, `import numpy` and of doing nothing."""
    statements = {"import equilib": "import equilib", "import numpy": "import numpy", "nothing": "pass"}
    times = alternate(
        {
            name: lambda code=code: subprocess.run([sys.executable, "-c", code], check=True)
            for name, code in statements.items()
        },
        rounds,
    )
    print(f"{machine()}\n{__doc__}\n\n{table(times)}")
