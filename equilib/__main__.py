"""The command `equilib`, as `python -m equilib`."""

import sys

from equilib.cli import main

if __name__ == "__main__":
    sys.exit(main())
