"""An output folder is new, or ours: nothing foreign is overwritten, other settings are refused."""

from __future__ import annotations

import json
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from soundflow.errors import UserError
from soundflow.output import MARKER, Output, claim, differences, listed, require_new

BUILD = Output(
    "build-data",
    {"seed": 0, "noise": {"snr_db": (5.0, 20.0)}, "splits": {"train": {"streams": 10}}},
    names=("train", "cache", "README.md"),
    kept=("cache",),
    may_grow=("streams",),
    results="*/*.tar",
)


def changed(**settings: object) -> Output:
    return replace(BUILD, settings={**BUILD.settings, **settings})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build of ours, and a note that somebody put beside it."""
    folder = tmp_path / "data"
    assert not claim(folder, BUILD)
    for name in ("train/0.tar", "cache/clip.flac", "README.md", "note.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    return folder


def test_the_same_command_again_goes_on(folder: Path) -> None:
    assert claim(folder, BUILD)
    assert (folder / "train/0.tar").exists()


def test_what_a_killed_command_left_is_removed(folder: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = folder / "train" / f".1.tar.{socket.gethostname()}.{gone.pid}.partial"
    left.write_text("x")
    assert claim(folder, BUILD)
    assert not left.exists()


def test_other_settings_are_refused_by_name(folder: Path) -> None:
    other = changed(noise={"snr_db": (0.0, 10.0)})
    with pytest.raises(UserError) as caught:
        claim(folder, other)
    assert "noise.snr_db: [5.0, 20.0] -> [0.0, 10.0]" in caught.value.message
    assert "--replace" in caught.value.hint
    assert (folder / "train/0.tar").exists()


def test_other_settings_stand_in_a_line_each_what_was_changed_before_what_is_new() -> None:
    before = {"old": 1, "cues": [{"name": "a", "say": "x"}], "seed": 1, "wording": "0" * 32}
    now = {"cues": [{"name": "b", "say": "y"}, {"name": "a", "say": "x"}], "seed": 2}
    changed = differences(before, {**now, "wording": "1" * 32})
    assert listed(changed).splitlines() == [
        "", "  seed: 1 -> 2", "  wording: has other content", "  old: 1 -> unset",
        "  cues[b].name: unset -> b", "  cues[b].say: unset -> y",
    ]  # fmt: skip
    assert listed({f"k{i}": "1 -> 2" for i in range(11)}).endswith("  and 3 more")


def test_replacing_removes_what_the_command_made_and_nothing_else(folder: Path) -> None:
    claim(folder, changed(seed=1), replace=True)
    left = {p.name for p in folder.iterdir()}
    assert left == {MARKER, "cache", "note.txt"}
    assert claim(folder, changed(seed=1))


def test_before_anything_is_made_settings_may_be_corrected(folder: Path) -> None:
    (folder / "train/0.tar").unlink()
    assert claim(folder, changed(seed=1))


def test_a_number_may_grow_where_that_spoils_nothing(folder: Path) -> None:
    def streams(n: int) -> Output:
        return changed(splits={"train": {"streams": n}})

    assert claim(folder, streams(20))
    with pytest.raises(UserError, match=r"splits\.train\.streams: 20 -> 5"):
        claim(folder, streams(5))


def test_a_foreign_file_is_named_and_stays(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match=r"'README\.md', which SoundFlow did not make"):
        claim(tmp_path, BUILD, replace=True)
    assert [p.name for p in tmp_path.iterdir()] == ["README.md"]
    with pytest.raises(UserError, match="is not empty"):
        require_new(tmp_path)


def test_outputs_may_lie_within_each_other_where_they_do_not_meet(folder: Path) -> None:
    run = Output("train", {}, names=("model",))
    assert not claim(folder.parent, run)
    with pytest.raises(UserError, match="is the output of `soundflow build-data`"):
        claim(folder, run)
    other = folder.parent / "other"
    claim(other / "train", run)
    with pytest.raises(UserError, match="'train', which"):
        claim(other, BUILD)


def test_two_who_begin_at_once_see_no_foreign_file(tmp_path: Path) -> None:
    (tmp_path / f".{MARKER}.host.17.partial").write_text("")
    assert not claim(tmp_path, BUILD)
    assert claim(tmp_path, BUILD)


def test_where_people_live_is_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for place, said in [
        ("", "the current folder"),
        (".", "the current folder"),
        ("/", "the root of the file system"),
        (str(Path.home()), "the home folder"),
        ("~", "not expanded"),
        ("~/data", "not expanded"),
        ("file", "is a file"),
        ("file/sub", "is a file"),
    ]:
        with pytest.raises(UserError, match=said):
            claim(Path(place), BUILD)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    for name, said in (("loop", "cannot be reached"), ("gone", "a link to what is not there")):
        for folder in (tmp_path / name, tmp_path / name / "below"):
            with pytest.raises(UserError, match=said):
                claim(folder, BUILD)
    assert not (tmp_path / "nothing").exists()


def test_a_damaged_marker_is_named_and_leads_nowhere_else(folder: Path) -> None:
    (folder.parent / "keep").write_text("mine")
    hostile = {"command": "build-data", "settings": {}, "names": ["..", "../keep"], "kept": []}
    (folder / MARKER).write_text(json.dumps(hostile))
    claim(folder, BUILD, replace=True)
    assert (folder / "note.txt").exists()
    assert (folder.parent / "keep").read_text() == "mine"
    (folder / MARKER).write_text("{")
    with pytest.raises(UserError, match=MARKER):
        claim(folder, BUILD)
