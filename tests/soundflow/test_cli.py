"""The command line: words in any order, exit codes, and mistakes that are never called defects."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from soundflow.arguments import parser
from soundflow.cli import main
from soundflow.signals import Interrupted

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("infer CK --json a.wav", {"source": "CK", "rest": ["a.wav"], "json": True}),
        ("infer --json CK a.wav x=1", {"source": "CK", "rest": ["a.wav", "x=1"], "json": True}),
        ("infer CK - --json", {"source": "CK", "rest": ["-"], "json": True}),
        ("infer CK -- --odd.wav", {"rest": ["--odd.wav"], "json": False}),
        ("check R --json key=value", {"recipe": "R", "overrides": ["key=value"], "json": True}),
        ("check R", {"overrides": [], "json": False, "all": False}),
        ("build-data R --part 0/8 a=b", {"part": (0, 8), "overrides": ["a=b"]}),
        ("build-data R a=b --replace", {"overrides": ["a=b"], "replace": True}),
        ("export a --to rows b --model x", {"data": "a", "dest": "b", "model": "x"}),
        ("doctor --verbose", {"verbose": True}),
        ("--verbose doctor", {"verbose": True}),
    ],
)
def test_options_may_stand_anywhere(words: str, expected: dict[str, object]) -> None:
    assert vars(parser().parse_args(words.split())).items() >= expected.items()


WRONG_WORDS = [
    "infer", "check R --jso", "export a b c", "trian R", "", "build-data R --part 3/2",
    "build-data R --part=-1/2", "evaluate R --part 1", "evaluate R --part a/b",
    "build-data R --part 1/0", "build-data R --part 1/2/3", "build-data R --part=",
]  # fmt: skip


@pytest.mark.parametrize("words", WRONG_WORDS)
def test_a_wrong_word_is_a_mistake(words: str) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(words.split())
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [("trian R", "did you mean 'train'"), ("--verbose zzz", "known: build-data,")],
)
def test_a_misspelt_command_is_told_the_nearest(
    words: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    assert said in capfd.readouterr().err


def command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(args: argparse.Namespace) -> None:
        raise error

    module = ModuleType("soundflow.commands.doctor")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "soundflow.commands.doctor", module)


@pytest.mark.parametrize(
    "number",
    [errno.ENOSPC, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EROFS],
)
def test_what_the_file_system_refuses_is_named_and_no_defect(
    number: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, OSError(number, os.strerror(number), "some/file"))
    assert main(["doctor"]) == 2
    said = capfd.readouterr().err
    assert f"some/file: {os.strerror(number)}" in said
    assert "Traceback" not in said


def test_a_defect_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, KeyError("lost"))
    assert main(["doctor"]) == 1
    said = capfd.readouterr().err
    assert "KeyError: 'lost'" in said
    assert "a bug in SoundFlow" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_has_its_exit_code_and_one_line(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, Interrupted(number))
    assert main(["doctor"]) == 128 + number
    assert capfd.readouterr().err == f"stopped by {number.name}\n"


@pytest.mark.parametrize(("imported", "times"), [("rich.console", 1), ("torch.nn", 3)])
def test_ctrl_c_during_imports_is_one_line(imported: str, times: int) -> None:
    """Of a real process, at its first imports and at the heavy ones."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "soundflow.cli", "check",
         "recipes/quickstart/train.yaml"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        # A suite started in the background inherits an ignored SIGINT; a person's shell has not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stderr is not None
    while imported not in process.stderr.readline():
        assert process.poll() is None
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    lines = process.stderr.read().splitlines()
    said = [line for line in lines if not line.startswith("import time:")]
    assert (process.wait(), said) == (130, ["stopped by SIGINT"])


def test_a_closed_pipe_is_no_mistake() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "soundflow.cli", "check", "recipes/quickstart/infer.yaml", "--all"],
        stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
