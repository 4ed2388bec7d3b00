"""Where people and machines read what happens: progress on stderr, results on stdout."""

from __future__ import annotations

import logging
import warnings

from rich.console import Console
from rich.logging import RichHandler

ERR = Console(stderr=True, highlight=False)
OUT = Console(highlight=False)

# Said by libraries about their own affairs; a person can do nothing with them.
_NOT_FOR_PEOPLE = (
    ".*LeafSpec.*",
    ".*`srun` command is available.*",
    ".*does not have many workers.*",
)


def configure(verbose: bool = False) -> None:
    """Log lines to stderr; ``verbose`` shows debug lines of our own packages."""
    handler = RichHandler(console=ERR, show_path=False, rich_tracebacks=False)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(message)s")
    for message in _NOT_FOR_PEOPLE:
        warnings.filterwarnings("ignore", message)
    for package in ("soundflow", "data_build", "inference"):
        logging.getLogger(package).setLevel(logging.DEBUG if verbose else logging.INFO)
