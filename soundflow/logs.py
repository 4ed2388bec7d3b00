"""Consoles and logging: progress on stderr, results on stdout."""

from __future__ import annotations

import io
import logging
import sys
import warnings

from rich.console import Console
from rich.text import Text

from soundflow.errors import UserError


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would exit with 1; a reader that went away is no defect


# Texts hold names of files and reasons: what looks like markup or an emoji there is neither.
ERR = _Console(stderr=True, highlight=False, markup=False, emoji=False)
OUT = _Console(highlight=False, markup=False, emoji=False)

_STYLES = {logging.DEBUG: "dim", logging.WARNING: "yellow", logging.ERROR: "bold red"}


class _Lines(logging.Handler):
    """Log records as lines like those that commands print, behind their level unless it is INFO."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        named = "" if record.levelno == logging.INFO else f"{level}: "
        try:
            style = _STYLES.get(record.levelno, "")
            ERR.print(Text.assemble((named, style), self.format(record)), soft_wrap=True)
        except Exception:
            self.handleError(record)


# Said by libraries about their own affairs; a person can do nothing with them.
_NOT_FOR_PEOPLE = (
    ".*LeafSpec.*",
    ".*`srun` command is available.*",
    ".*does not have many workers.*",
    ".*`broadcast_buffers` is deprecated.*",  # the newer name is unknown to older releases of torch
)


def configure(verbose: bool = False) -> None:
    """Log lines to stderr; ``verbose`` shows debug lines of our own packages."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, handlers=[_Lines()], format="%(message)s")
    for message in _NOT_FOR_PEOPLE:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("huggingface_hub").propagate = False  # it prints its own lines
    for package in ("soundflow", "data_build", "inference"):
        logging.getLogger(package).setLevel(logging.DEBUG if verbose else logging.INFO)


def tell(error: UserError) -> None:
    """Shows a mistake of the user, and what to do about it."""
    for line in error.message.splitlines():
        detail = line.startswith(" ")  # of the line above
        shown = Text(line) if detail else Text.assemble(("error", "bold red"), f": {line}")
        ERR.print(shown, soft_wrap=True)
    if error.hint:
        ERR.print(f"hint: {error.hint}", style="dim", soft_wrap=True)
