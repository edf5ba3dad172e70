"""``python -m scoopsci`` is the command ``scoopsci``."""

import sys

from scoopsci.cli import main

if __name__ == "__main__":
    sys.exit(main())
