"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("soundflow", "data_build", "inference")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
CONTROL_ID = re.compile(r"(?<!\d)151_?6\d\d(?!\d)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_literal_control_id_outside_the_token_table(path: Path) -> None:
    if path.match("soundflow/protocol/tokens.py"):
        return
    numbers = [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, int)
    ]
    assert not [n for n in numbers if CONTROL_ID.fullmatch(str(n))]


# Where a number of the stream's time base stands for something else.
OWN_RATES = {
    "data_build/speech/engines/pico.py": "the rate of its engine",
    "data_build/speech/whisper.py": "the rate of its model",
    "data_build/scenes/onnx_models.py": "rate and hop of its model",
    "soundflow/audio/containers.py": "the rates that MPEG audio may have",
}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_module_keeps_a_time_base_of_its_own(path: Path) -> None:
    """Rate, frame, slot and chunk come from the protocol or from the spec at hand."""
    if path.match("soundflow/protocol/*.py") or name(path) in OWN_RATES:
        return
    found = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Constant) and node.value in (16_000, 6_400) and _is_int(node))
        or (isinstance(node, ast.Call) and ast.unparse(node) in ("TimeBase()", "FrontEnd()"))
        or (isinstance(node, ast.BinOp) and _is_chunk_s(node))
        or (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            and node.value.value in (160, 640) and _is_int(node.value))
    ]  # fmt: skip
    assert not found


def _is_int(node: ast.Constant) -> bool:
    return isinstance(node.value, int)


def _is_chunk_s(node: ast.BinOp) -> bool:
    """A count times, or a time over, the seconds of a chunk or slot."""
    constants = [v.value for v in (node.left, node.right) if isinstance(v, ast.Constant)]
    names = ast.unparse(node).lower()
    return any(c in (0.4, 0.04) for c in constants) and ("chunk" in names or "slot" in names)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_is_unpickled(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\b(pickle|joblib|dill)\.(load|dump)s?\b", text)
    assert "allow_pickle=True" not in text
    assert "weights_only=False" not in text


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_files_have_one_job(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400, "split it along its jobs"
    assert path.name not in ("utils.py", "helpers.py", "common.py", "misc.py")


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if path.name == "__init__.py" and not tree.body:
        return
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_settings_refuse_what_they_do_not_know(path: Path) -> None:
    text = path.read_text()
    if "from pydantic.dataclasses import dataclass" in text:
        made = re.findall(r"^@dataclass\b.*$", text, re.M)
    else:
        made = re.findall(r"^@pydantic\.dataclasses\.dataclass\b.*$", text, re.M)
    assert all("config=SETTINGS" in line for line in made), "unknown keys would be ignored"


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from soundflow.arguments import parser; parser().format_help();"
        "print([m for m in ('torch', 'transformers', 'numpy', 'librosa') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_data_is_built_without_torch() -> None:
    code = (
        "import sys, data_build.run, soundflow.shards.reader, soundflow.audio.frontend;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_provenance_is_written_and_never_read_back(path: Path) -> None:
    """Whatever a program needs is a typed field; provenance and notes are for people."""
    read = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)
            and _is_note(node.value))
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("get", "pop") and _is_note(node.func.value))
    ]  # fmt: skip
    assert not read


def _is_note(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("provenance", "notes")
