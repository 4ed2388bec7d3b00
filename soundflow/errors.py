"""The exception for mistakes of the user, and its exit code.

Any other exception is a bug: it keeps its traceback and exits with 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from functools import partial

EXIT_OK = 0
EXIT_OURS = 1
EXIT_USER = 2
EXIT_SIGNALLED = 128  # and the number of the signal


class UserError(Exception):
    """A mistake in what the user gave: a recipe, a file, a checkpoint.

    Args:
        message: one line that names the file or key and the value.
        hint: one line that says what to do about it.

    Attributes:
        together: every process of the work raises it, so one of them may speak for all.
    """

    together: bool = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str]]:
        # Crosses process boundaries in the build pool with both parts intact.
        return type(self), (self.message, self.hint)


def not_installed(what: str, extra: str) -> UserError:
    """The error for a missing optional package; ``extra`` is the extra that installs it."""
    return UserError(
        f"{what} is not installed here",
        f"in the clone of SoundFlow: pip install --constraint constraints.txt '.[{extra}]'",
    )


class Stopped(BaseException):
    """A signal ended the work cleanly. Like KeyboardInterrupt, no ``except Exception`` catches it.

    Args:
        number: of the signal; the exit code is 128 more.
        message: one line that says what is saved and how to go on.
        together: every process of the work is leaving at this point.
    """

    def __init__(self, number: int, message: str = "stopped", *, together: bool = False) -> None:
        super().__init__(message)
        self.number = number
        self.message = message
        self.together = together

    def __reduce__(self) -> tuple[partial[Stopped], tuple[int, str]]:
        return partial(Stopped, together=self.together), (self.number, self.message)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to a misspelt one, or None when nothing is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def did_you_mean(name: str, known: Collection[str]) -> str:
    """The nearest of the known names, as a question; all of them where nothing is close."""
    close = nearest(name, known)
    return f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
