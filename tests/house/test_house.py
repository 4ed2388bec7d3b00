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


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from soundflow.cli import parser; parser().format_help();"
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
