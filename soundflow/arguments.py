"""The arguments of the command line and their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

DESCRIPTION = """\
SoundFlow makes audio models that listen continuously and decide, after every chunk of 0.4 s,
whether to stay silent or to speak. Four commands cover the whole workflow:

  soundflow build-data recipes/quickstart/build.yaml     # corpora -> streams with decisions
  soundflow train      recipes/quickstart/train.yaml     # streams -> checkpoint
  soundflow infer      runs/quickstart/model talk.wav    # checkpoint + audio -> transcript
  soundflow evaluate   recipes/quickstart/evaluate.yaml  # checkpoint + held-out streams -> report
"""

SETTINGS = """\
Any value of a recipe can be set from the command line: key=value, key.sub=value in a block,
key.0.sub=value in the first entry of a list. A whole block, key={sub: value}, takes the place of
the one in the recipe. Options and values may be given in any order.
"""

EXIT_CODES = """\
Exit codes: 0 done; 1 a bug in SoundFlow, or a replay that differs; 2 invalid input, named in one
line; 130, 143, 129, 138 stopped by Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 (SLURM, before a time limit).
"""


class _AnyOrder(argparse.ArgumentParser):
    """A command whose options may come before, between and after its other arguments."""

    _inside = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._inside:  # the method below comes back here
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="soundflow",
        description=DESCRIPTION,
        epilog=f"{SETTINGS}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--verbose", action="store_true", help="show debug lines")
    commands = top.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_AnyOrder
    )
    for add in COMMANDS.values():
        add(commands)
    return top


_Commands = Any  # argparse keeps the type of its subparsers to itself


def _build_data(commands: _Commands) -> None:
    build = _command(
        commands, "build-data", "build streams from corpora",
        "Builds the shards a recipe describes. Run the same command again after an interruption: "
        "finished shards are kept, the rest are built, and the output is the same, byte for byte.",
        "soundflow build-data recipes/quickstart/build.yaml",
        "soundflow build-data recipes/quickstart/build.yaml splits.train.streams=500 output=data/s",
        "soundflow build-data recipes/quickstart/build.yaml --only test-000003",
    )  # fmt: skip
    _recipe(build)
    alone = build.add_mutually_exclusive_group()
    alone.add_argument("--only", metavar="ID", help="rebuild this one stream and write it alone")
    _part(alone, "build", "all shards finished writes the index")
    _replace(build, "build")
    _json(build, "print the summary as JSON")


def _audit(commands: _Commands) -> None:
    audit = _command(
        commands, "audit", "measure whether data is true",
        "Prints the scorecard of a finished build, or of conversations in the form of "
        "StreamAudio-2M: contradictory labels, alarms that are answered only sometimes, replies "
        "before their evidence, events without a sound, tokens that do not say what the record "
        "says, leaks between splits, variety, lengths, levels, emotions. It reads every record, "
        "and listens to audit.sampled streams of each split. Where speech.asr_models names a "
        "recogniser, audit.recognised utterances of each task give the word error rate in the mix, "
        "by task and SNR, and a second opinion on word times. Exits with 2 if a figure misses its "
        "limit; limits are in the recipe, under audit. A build writes the same, without a "
        "recogniser, to its report.",
        "soundflow audit runs/quickstart/data",
        "soundflow audit runs/quickstart/data audit.contradictions=0.001 --json",
        "soundflow audit runs/build/real_time_asr speech.asr_models.en=tiny.en",
        "soundflow audit downloads/StreamAudio-2M audit.leaks=0.01",
    )  # fmt: skip
    audit.add_argument(
        "data", metavar="DATA", help="the output folder of a build, or a folder with *.jsonl"
    )
    _settings(audit)
    _json(audit, "print the scorecard as JSON")


def _train(commands: _Commands) -> None:
    train = _command(
        commands, "train", "train a model on streams",
        "Trains the model that a recipe describes and writes a checkpoint folder. Run the same "
        "command "
        "again to resume from the newest valid state.",
        "soundflow train recipes/quickstart/train.yaml",
        "soundflow train recipes/quickstart/train.yaml optim.updates=50 output=runs/short",
    )  # fmt: skip
    _recipe(train)
    _json(train, "print the summary as JSON")


def _infer(commands: _Commands) -> None:
    infer = _command(
        commands, "infer", "decode audio live and show every decision",
        "Runs the live engine over audio, in one session, chunk by chunk. AUDIO is a file of any "
        "form, a folder of them, a sequence file (.txt: one name on each line; .jsonl: objects "
        "with audio and pause_s), '-' (standard input: a file, or raw 16 kHz mono PCM16), a pipe, "
        "or FOLDER#ID, a stream of built data, shown with its ground truth.",
        "soundflow infer runs/quickstart/model talk.wav recordings/ --json",
        "soundflow infer runs/quickstart/model talk.wav --realtime session.threshold=0.7",
        "soundflow infer runs/quickstart/model runs/quickstart/data/test#0",
        "soundflow infer runs/quickstart/model --microphone",
        "soundflow infer runs/quickstart/model street.wav --ask 'What is to be heard?'",
    )  # fmt: skip
    _source(infer)
    _settings(infer, "rest", "AUDIO | KEY.SUB=VALUE", "what is heard, and settings to change")
    infer.add_argument(
        "--microphone", nargs="?", const="", metavar="DEVICE",
        help="listen to an input device, by number or part of its name, until Ctrl-C",
    )  # fmt: skip
    infer.add_argument(
        "--ask", metavar="QUESTION",
        help="hear each recording to its end, then answer this about it (mode=offline); without "
        "AUDIO, answer in text alone",
    )  # fmt: skip
    infer.add_argument(
        "--realtime", action="store_true",
        help="feed audio at the speed of a microphone (real_time=true), not as fast as possible",
    )  # fmt: skip
    infer.add_argument(
        "--report", type=Path, metavar="PAGE.html",
        help="write a page of the session with its audio; over 10 min the audio is compressed, "
        "over 1 h left out",
    )  # fmt: skip
    infer.add_argument(
        "--record", type=Path, metavar="FOLDER", help="write the session into FOLDER as it goes on"
    )
    infer.add_argument(
        "--replay", type=Path, metavar="FOLDER",
        help="replay a recorded session; exit with 1 and the first difference if there is one",
    )  # fmt: skip
    infer.add_argument(
        "--compare", action="store_true",
        help="with --replay: allow another checkpoint or settings, and count what differs",
    )  # fmt: skip
    _json(infer, "print events as JSON, one on each line")


def _serve(commands: _Commands) -> None:
    serve = _command(
        commands, "serve", "serve a checkpoint to browsers and programs",
        "Serves live sessions: a page to talk to at /, the OpenAI Realtime protocol at "
        "/v1/realtime, a plain WebSocket at /v1/stream, /healthz and /metrics. Only this machine "
        "can connect unless host= is set, which needs a token in SOUNDFLOW_TOKEN or token_file=.",
        "soundflow serve runs/quickstart/model",
        "soundflow serve runs/quickstart/model port=9000 session.threshold=0.7",
        "soundflow serve recipes/serve/lan.yaml --tls-cert cert.pem --tls-key key.pem",
    )  # fmt: skip
    _source(serve)
    _settings(serve)
    serve.add_argument("--tls-cert", metavar="PEM", help="certificate chain; needs --tls-key")
    serve.add_argument("--tls-key", metavar="PEM", help="private key of the certificate")


def _evaluate(commands: _Commands) -> None:
    evaluate = _command(
        commands, "evaluate", "measure a checkpoint: when it speaks, and what it says",
        "Decodes held-out streams and benchmarks with the live engine, scores them beside "
        "baselines (never, always, random, a silence timer, a voice-activity detector), and writes "
        "outcomes, results.json and report.html. The same command resumes it: no item is decoded "
        "twice. Any checkpoint, on any device.",
        "soundflow evaluate recipes/quickstart/evaluate.yaml",
        "soundflow evaluate recipes/quickstart/evaluate.yaml timing.max_streams=20 output=runs/q",
        "soundflow evaluate --compare runs/before runs/after",
    )  # fmt: skip
    evaluate.add_argument("recipe", nargs="?", metavar="RECIPE", help="a YAML file")
    _settings(evaluate)
    _part(evaluate, "decode", "all items decoded writes the results")
    evaluate.add_argument(
        "--compare", nargs=2, metavar=("A", "B"),
        help="compare two finished evaluations item by item and write B/comparison.html",
    )  # fmt: skip
    _replace(evaluate, "evaluation")
    _json(evaluate, "print the results as JSON")


def _convert(commands: _Commands) -> None:
    convert = _command(
        commands, "convert", "convert checkpoints from and to other layouts",
        "Recognises SOURCE (published release, Hugging Face Qwen2.5-Omni, SoundFlow) and writes "
        "DEST, tensor by tensor, then compares the logits of both.",
        "soundflow convert checkpoints runs/converted",
        "soundflow convert runs/quickstart/model runs/released to=release dtype=bfloat16",
    )  # fmt: skip
    convert.add_argument("source", metavar="SOURCE", help="a folder, or a hub id")
    convert.add_argument("dest", metavar="DEST", help="a new folder")
    convert.add_argument(
        "options", nargs="*", default=[], metavar="KEY=VALUE",
        help="to=soundflow (the default), release, thinker or plain; "
        "dtype=keep (the default), float32, bfloat16 or float16; "
        "shard_gb=2.0, the maximum size of a file; "
        "base=CHECKPOINT, the source of the vision weights for to=thinker; "
        "verify=false skips the comparison",
    )  # fmt: skip
    _json(convert, "print what was done as JSON")


def _export(commands: _Commands) -> None:
    export = _command(
        commands, "export", "write built data in another format",
        "Writes every split of a finished build as StreamAudio-2M (JSON lines and WAV), as a "
        "Hugging Face dataset (Parquet) or as published training rows (token ids and encoder "
        "outputs), with data card, counts and credits.",
        "soundflow export runs/quickstart/data runs/exported",
        "soundflow export runs/quickstart/data runs/parquet --to huggingface",
    )  # fmt: skip
    export.add_argument("data", metavar="DATA", help="the output folder of a build")
    export.add_argument("dest", metavar="DEST", help="a new folder")
    export.add_argument(
        "--to", choices=("streamaudio", "huggingface", "rows"), default="streamaudio",
        metavar="FORM", help="streamaudio (the default), huggingface, or rows",
    )  # fmt: skip
    export.add_argument(
        "--model", metavar="CHECKPOINT", help="the model that computes the features of --to rows"
    )
    _json(export, "print the counts as JSON")


def _check(commands: _Commands) -> None:
    check = _command(
        commands, "check", "resolve a recipe and print the plan; start nothing",
        "Reads a recipe, every folder and checkpoint it names, and prints what its command would "
        "do and how large it would be.",
        "soundflow check recipes/quickstart/train.yaml optim.updates=50",
        "soundflow check recipes/quickstart/build.yaml --all",
    )  # fmt: skip
    _recipe(check)
    check.add_argument(
        "--probe", action="store_true",
        help="of a training recipe: run two updates and estimate how long the run takes",
    )  # fmt: skip
    much = check.add_mutually_exclusive_group()
    much.add_argument("--all", action="store_true", help="also print every setting")
    _json(much, "print plan and settings as JSON")


def _doctor(commands: _Commands) -> None:
    doctor = _command(
        commands, "doctor", "show versions, decoders and devices",
        "Checks this machine: versions of packages, which extras are installed, audio formats "
        "(each is decoded inside a worker process), devices, disk.",
        "soundflow doctor",
        "soundflow doctor --json",
    )  # fmt: skip
    _json(doctor, "print the findings as JSON")


def _command(
    commands: _Commands, name: str, short: str, long: str, *examples: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=short, description=long, allow_abbrev=False, formatter_class=_Paragraphs,
        epilog="examples:\n" + "".join(f"  {e}\n" for e in examples),
    )  # fmt: skip
    command.add_argument(
        "--verbose", action="store_true", default=argparse.SUPPRESS, help="show debug lines"
    )
    return command


class _Paragraphs(argparse.RawDescriptionHelpFormatter):
    """Fills the description and leaves the examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def _recipe(command: argparse.ArgumentParser) -> None:
    command.add_argument("recipe", metavar="RECIPE", help="a YAML file, see recipes/")
    _settings(command)


def _source(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "source", metavar="RECIPE_OR_CHECKPOINT",
        help="a YAML file, or a checkpoint: a folder of any form, or a hub id",
    )  # fmt: skip


def _settings(
    command: argparse.ArgumentParser,
    name: str = "overrides",
    shown: str = "KEY.SUB=VALUE",
    what: str = "settings to change",
) -> None:
    command.add_argument(name, nargs="*", default=[], metavar=shown, help=what)
    command.epilog = f"{command.epilog}\n{SETTINGS}"


def _part(command: Any, what: str, last: str) -> None:
    command.add_argument(
        "--part", metavar="I/N", type=_part_of, default=(0, 1),
        help=f"{what} the I-th of N parts (I from 0), as one task of a job array; the task that "
        f"finds {last}",
    )  # fmt: skip


def _part_of(words: str) -> tuple[int, int]:
    index, slash, of = words.partition("/")
    if not (slash and index.isdecimal() and of.isdecimal() and int(index) < int(of)):
        raise argparse.ArgumentTypeError(f"{words!r} is not I/N with 0 <= I < N, such as 0/8")
    return int(index), int(of)


def _replace(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--replace", action="store_true",
        help=f"remove an earlier {what} with other settings from the output folder",
    )  # fmt: skip


def _json(command: Any, what: str) -> None:
    command.add_argument("--json", action="store_true", help=what)


COMMANDS: dict[str, Callable[[_Commands], None]] = {
    "build-data": _build_data,
    "audit": _audit,
    "train": _train,
    "infer": _infer,
    "serve": _serve,
    "evaluate": _evaluate,
    "convert": _convert,
    "export": _export,
    "check": _check,
    "doctor": _doctor,
}
