"""The command line: the composition root, known by nobody.

Only the command that runs is imported, so that ``--help`` never waits for torch.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from soundflow.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_OURS,
    EXIT_SIGNALLED,
    EXIT_USER,
    Stopped,
    UserError,
)

DESCRIPTION = """\
SoundFlow makes audio models that listen without end and decide, after every 0.4 s, whether to
stay silent or to speak. Three commands are the whole road:

  soundflow build-data recipes/quickstart/build.yaml    corpora -> streams with decisions
  soundflow train      recipes/quickstart/train.yaml    streams -> checkpoint
  soundflow infer      runs/quickstart/model talk.wav   checkpoint + audio -> live transcript
"""

EPILOG = """\
Any value of a recipe can be set from the command line: key.sub=value.
Exit codes: 0 done, 1 a defect of SoundFlow, 2 a mistake in what was given, 130 interrupted,
143 terminated.
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="soundflow",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--verbose", action="store_true", help="show debug lines")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    build = _command(
        commands, "build-data", "build streams from corpora",
        "Builds the shards a recipe describes. Run the same command again after an interruption: "
        "finished shards are kept, the rest is made, the bytes are the same.",
    )  # fmt: skip
    _recipe(build)
    alone = build.add_mutually_exclusive_group()
    alone.add_argument("--only", metavar="ID", help="rebuild this one stream and write it alone")
    alone.add_argument(
        "--part", metavar="I/N",
        help="build the I-th of N parts (I from 0), as one task of a job array; the task that "
        "finds every shard there writes the index",
    )  # fmt: skip
    build.add_argument("--json", action="store_true", help="print the summary as JSON")

    train = _command(
        commands, "train", "train a model on streams",
        "Trains what a recipe describes and writes a checkpoint folder. Run the same command "
        "again to resume from the newest valid state.",
    )  # fmt: skip
    _recipe(train)
    train.add_argument("--json", action="store_true", help="print the summary as JSON")

    infer = _command(
        commands, "infer", "listen to audio and show every decision",
        "Runs the live engine over recordings, in one session, chunk by chunk. '-' reads raw "
        "16 kHz mono PCM16 from standard input.",
    )  # fmt: skip
    infer.add_argument("source", metavar="RECIPE_OR_CHECKPOINT")
    infer.add_argument(
        "rest", nargs="*", metavar="AUDIO | KEY.SUB=VALUE", help="recordings and overrides"
    )
    infer.add_argument("--json", action="store_true", help="print one JSON event a line")

    evaluate = _command(
        commands, "evaluate", "measure when a checkpoint speaks",
        "Decodes a held-out split through the live engine, measures timing and replies beside "
        "never / always / random / a silence timer, and writes results.json and report.html.",
    )  # fmt: skip
    _recipe(evaluate)
    evaluate.add_argument("--json", action="store_true", help="print the results as JSON")

    convert = _command(
        commands, "convert", "convert checkpoints from and to other layouts",
        "Recognises SOURCE (published release, Hugging Face Qwen2.5-Omni, SoundFlow) and writes "
        "DEST, tensor by tensor, then compares the logits of both.",
    )  # fmt: skip
    convert.add_argument("source", metavar="SOURCE")
    convert.add_argument("dest", metavar="DEST")
    convert.add_argument("options", nargs="*", metavar="KEY=VALUE", help="to=..., dtype=...")

    export = _command(
        commands, "export", "write built data in a form that others read",
        "Writes every split of a finished build as StreamAudio-2M (JSON lines and WAV) or as a "
        "Hugging Face dataset (Parquet) or as published training rows (token ids and encoder "
        "outputs), with its card, counts and credits.",
    )  # fmt: skip
    export.add_argument("data", metavar="DATA", help="the output folder of a build")
    export.add_argument("dest", metavar="DEST", help="a new folder")
    export.add_argument(
        "--to", choices=("streamaudio", "huggingface", "rows"), default="streamaudio",
        metavar="FORM", help="streamaudio (the default), huggingface, or rows",
    )  # fmt: skip
    export.add_argument(
        "--model", metavar="CHECKPOINT", help="whose encoder makes the features of --to rows"
    )
    export.add_argument("--json", action="store_true", help="print the counts as JSON")

    check = _command(
        commands, "check", "resolve a recipe and print the plan; start nothing",
        "Reads a recipe, every folder and checkpoint it names, and prints what its command would "
        "do and how large it would be.",
    )  # fmt: skip
    _recipe(check)
    check.add_argument("--json", action="store_true", help="print the resolved recipe as JSON")

    doctor = _command(
        commands, "doctor", "show versions, decoders and devices",
        "Checks this machine: package versions, audio formats (each is decoded inside a worker "
        "process), speech engines, devices, disk.",
    )  # fmt: skip
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    args = parser().parse_args(argv)
    # Read by the thread pool when torch is imported: waiting threads sleep instead of spinning,
    # which on a machine that others use is several times faster.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from soundflow.logs import ERR, configure

    configure(args.verbose)
    module = importlib.import_module(f"soundflow.commands.{args.command.replace('-', '_')}")
    try:
        module.run(args)
    except UserError as error:
        for line in error.message.splitlines():
            ERR.print(f"[bold red]error[/]: {_plain(line)}", soft_wrap=True)
        if error.hint:
            ERR.print(f"[dim]hint: {_plain(error.hint)}[/]", soft_wrap=True)
        return EXIT_USER
    except Stopped as stop:
        ERR.print(_plain(stop.message), soft_wrap=True)
        return EXIT_SIGNALLED + stop.number
    except KeyboardInterrupt:
        ERR.print("interrupted; run the same command again to go on")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`| head`). Nothing more can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except Exception:
        traceback.print_exc()
        ERR.print("[bold red]this is a defect of SoundFlow[/]; please report the lines above")
        return EXIT_OURS
    return EXIT_OK


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, short: str, long: str
) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=short, description=long, epilog=EPILOG)


def _recipe(command: argparse.ArgumentParser) -> None:
    command.add_argument("recipe", metavar="RECIPE", help="a YAML file, see recipes/")
    command.add_argument("overrides", nargs="*", metavar="KEY.SUB=VALUE")


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    sys.exit(main())
