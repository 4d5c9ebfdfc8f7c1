"""`python -m outlast`: the command line."""

from __future__ import annotations

from outlast.cli.entry import main

if __name__ == "__main__":
    main()
