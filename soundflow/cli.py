"""Entry point of ``soundflow``.

``--help`` must answer in well under a second: a command imports numerical libraries when it runs.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from soundflow.errors import (
    EXIT_OK,
    EXIT_OURS,
    EXIT_SIGNALLED,
    EXIT_USER,
    Stopped,
    UserError,
    did_you_mean,
)
from soundflow.signals import Interrupted, raised_signals

# What a person can put right: a file that is missing or not theirs, a full disk, a long name.
_OF_THE_MACHINE = frozenset(
    (
        errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.EIO, errno.EISDIR,
        errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE, errno.ENOENT, errno.ENOSPC,
        errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM, errno.EROFS, errno.ESTALE,
    )
)  # fmt: skip

_WHAT_IS_KEPT = {
    "build-data": "finished shards are kept; the same command goes on from there",
    "train": "saved states are kept; the same command goes on from the newest",
    "evaluate": "nothing was written; the same command starts again",
    "convert": "the result is not finished; the same command starts again",
    "export": "the result is not finished; the same command starts again",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    words = sys.argv[1:] if argv is None else argv
    try:
        with raised_signals():
            return _run(words)
    except Stopped as stop:
        number, line = stop.number, stop.message
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Interrupted) else signal.SIGINT
        kept = _WHAT_IS_KEPT.get(_command_of(words) or "")
        line = f"stopped by {signal.Signals(number).name}" + (f": {kept}" if kept else "")
    from soundflow.logs import ERR

    ERR.print(line, soft_wrap=True)
    return EXIT_SIGNALLED + number


def _command_of(words: Sequence[str]) -> str | None:
    return next((word for word in words if not word.startswith("-")), None)


def _run(words: Sequence[str]) -> int:
    from soundflow.arguments import COMMANDS, parser

    name = _command_of(words)
    if name is not None and name not in COMMANDS:
        from soundflow.logs import tell

        fault = f"{name!r} is no command; {did_you_mean(name, COMMANDS)}"
        tell(UserError(fault, "`soundflow --help` explains them"))
        return EXIT_USER
    args = parser().parse_args(words)
    # Read by the thread pool when torch is imported: waiting threads sleep instead of spinning,
    # which on a machine that others use is several times faster.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from soundflow.logs import configure, tell

    configure(args.verbose)
    try:
        module = importlib.import_module(f"soundflow.commands.{args.command.replace('-', '_')}")
        code = module.run(args)
        sys.stdout.flush()
    except UserError as error:
        tell(error)
        return EXIT_USER
    except BrokenPipeError:
        # The reader of our output went away (`| head`). Nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            return _defect()
        file = os.fsdecode(error.filename2 or error.filename or args.command)
        tell(UserError(f"{file}: {error.strerror}", "check the path, its permissions, the disk"))
        return EXIT_USER
    except Exception:
        return _defect()
    return code or EXIT_OK


def _defect() -> int:
    import traceback

    from soundflow.logs import ERR

    traceback.print_exc()
    ERR.print("this is a bug in SoundFlow; please report the lines above", style="bold red")
    return EXIT_OURS


if __name__ == "__main__":
    sys.exit(main())
