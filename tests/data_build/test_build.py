"""The whole build: same bytes however it runs, whole or not there, every drop on record."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_build.randomness import generator
from data_build.recipe import BuildRecipe
from data_build.run import build, rebuild
from data_build.selfcheck import self_check
from data_build.synth.kinds import take
from data_build.tokenize import read_vocabulary
from soundflow.config.load import load
from soundflow.errors import UserError
from soundflow.shards.reader import ShardSet
from tests.data_build.small_recipe import fingerprints, write_recipe

pytest.importorskip("py_nanotts")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small build, by one process."""
    folder = tmp_path_factory.mktemp("built")
    build(load(write_recipe(folder, folder / "data"), BuildRecipe, ["workers=1"]))
    return folder / "data"


def command(recipe: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "soundflow.cli", "build-data", str(recipe), *words]


def run(recipe: Path, *words: str, **kwargs: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(recipe, *words), cwd=ROOT, capture_output=True, text=True, check=False, **kwargs
    )  # type: ignore[call-overload,no-any-return]


def test_two_workers_write_the_bytes_of_one(built: Path, tmp_path: Path) -> None:
    recipe = load(write_recipe(tmp_path, tmp_path / "data"), BuildRecipe, ["workers=2"])
    summary = build(recipe)
    assert fingerprints(tmp_path / "data") == fingerprints(built)
    assert summary.streams == 14
    assert summary.shards_made == 6
    assert summary.drops == {}


def test_a_second_run_keeps_every_shard_and_a_changed_recipe_none(
    built: Path, tmp_path: Path
) -> None:
    shutil.copytree(built, tmp_path / "data")
    path = write_recipe(tmp_path, tmp_path / "data")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "data").rglob("*.tar")}
    again = build(load(path, BuildRecipe, ["workers=1"]))
    assert (again.shards_made, again.shards_kept) == (0, 6)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "data").rglob("*.tar")} == before
    other = build(load(path, BuildRecipe, ["workers=1", "compose.noise.snr_db=[0,3]"]))
    assert (other.shards_made, other.shards_kept) == (6, 0)
    fewer = build(
        load(
            path, BuildRecipe, ["workers=1", "compose.noise.snr_db=[0,3]", "splits.train.streams=6"]
        )
    )
    assert (fewer.shards_made, fewer.shards_kept) == (0, 4)
    assert len(ShardSet(tmp_path / "data" / "train")) == 6
    assert not (tmp_path / "data" / "train" / "000003.tar").exists()


def test_damaged_files_are_made_again_by_the_same_command(built: Path, tmp_path: Path) -> None:
    """A bit flipped in audio, ids, record, sidecar, table or index: the same bytes as before."""
    output = tmp_path / "data"
    shutil.copytree(built, output)
    path = write_recipe(tmp_path, output)
    entry = ShardSet(output / "train").entry(0)
    for shard, member in enumerate(("flac", "tokens.npy", "json")):
        place = ShardSet(output / "train").entry(3 * shard).members[member]
        flip(output / "train" / f"{shard:06d}.tar", place.offset + place.size // 2)
    flip(output / "train/000003.json", (output / "train/000003.json").stat().st_size // 2)
    with pytest.raises(UserError, match=r"damaged shard .*000000\.tar: audio of") as error:
        ShardSet(output / "train").read(0)
    assert "same build command" in error.value.hint
    again = build(load(path, BuildRecipe, ["workers=1"]))
    assert (again.shards_made, again.shards_kept) == (4, 2)
    assert sorted(p.name for p in (output / "train").glob("*.damaged")) == [
        f"{shard:06d}.tar.damaged" for shard in range(3)
    ]
    for name in ("streams.npy", "turns.npy", "index.json"):
        flip(output / "test" / name, 40)
    build(load(path, BuildRecipe, ["workers=1"]))
    assert fingerprints(output) == fingerprints(built)
    for split in ("train", "test"):
        ShardSet(output / split).verify()
    assert ShardSet(output / "train").entry(0) == entry


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_build_killed_at_any_moment_ends_the_same_when_run_again(
    built: Path, tmp_path: Path, seed: int
) -> None:
    path = write_recipe(tmp_path, tmp_path / "data")
    moment = random.Random(seed).uniform(1.0, 6.0)
    running = subprocess.Popen(
        command(path, "workers=2"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(moment)
    running.send_signal(signal.SIGKILL)
    running.wait()
    for split in ("train", "test"):
        if not (tmp_path / "data" / split / "index.json").exists():
            with pytest.raises(UserError, match=r"not finished|no such folder"):
                ShardSet(tmp_path / "data" / split)
    assert run(path, "workers=2").returncode == 0
    assert fingerprints(tmp_path / "data") == fingerprints(built)


def test_workers_do_not_outlive_a_killed_build(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, tmp_path / "data")
    mark = f"SOUNDFLOW_TEST_{os.getpid()}"
    running = subprocess.Popen(
        command(path, "workers=2", "splits.train.streams=400"),
        cwd=ROOT, env={**os.environ, mark: "1"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(_marked(mark)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(_marked(mark)) >= 3
    running.send_signal(signal.SIGKILL)
    running.wait()
    while _marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _marked(mark) == []


def _marked(mark: str) -> list[int]:
    """Processes with ``mark`` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() + b"=" in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_one_stream_is_rebuilt_alone_byte_for_byte(built: Path, tmp_path: Path) -> None:
    path = write_recipe(tmp_path, tmp_path / "data")
    folder = rebuild(load(path, BuildRecipe), "train-000007")
    (alone,) = (ShardSet(folder).read(i) for i in range(1))
    whole = ShardSet(built / "train").read(7)
    assert alone.record == whole.record
    assert np.array_equal(alone.pcm, whole.pcm)
    assert np.array_equal(alone.ids, whole.ids)
    assert not (tmp_path / "data" / "drops.jsonl").exists()  # those of the build stay
    with pytest.raises(UserError, match="no stream 'train-000010'") as refused:
        rebuild(load(path, BuildRecipe), "train-000010")
    assert refused.value.hint.startswith("it makes train-000000 to train-000009")


def test_what_was_built_is_what_the_protocol_says(built: Path) -> None:
    vocabulary = read_vocabulary("tiny")
    for split, count in (("train", 10), ("test", 4)):
        self_check(built / split, vocabulary, streams=count)
        shards = ShardSet(built / split)
        shards.verify()
        assert len(shards) == count
        for i in range(count):
            _check_truth(shards, i)


def _check_truth(shards: ShardSet, position: int) -> None:
    """Replies answer their events in the chunk that t_ready falls in, and nothing else."""
    record, time_base = shards.record(position), shards.spec.time
    wanted = [e for e in record.events if e.must_respond]
    assert [r.chunk for r in record.replies] == [
        time_base.reply_chunk(e.ready_samples) for e in wanted
    ]
    assert [r.text for r in record.replies] == [e.answers[0] for e in wanted]
    if record.task == "stay_silent":
        assert record.replies == ()
    if record.task == "count_sounds" and record.provenance["notes"]["instructed"]:
        assert all(
            plainest in event.answers
            for event, plainest in zip(wanted, ("Counting.", "One."), strict=False)
        )
    loudness = np.abs(shards.read(position).audio())
    for event in record.events:
        assert loudness[event.on_samples : event.end_samples].max() > 0.01


def test_splits_share_no_clip(built: Path) -> None:
    used = {}
    for split in ("train", "test"):
        shards = ShardSet(built / split)
        records = [shards.record(i) for i in range(len(shards))]
        used[split] = {clip for r in records for clip in r.clips}
    assert used["train"]
    assert not used["train"] & used["test"]


def test_a_full_disk_is_said_and_nothing_looks_finished(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, tmp_path / "data")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    done = run(path, "workers=1", preexec_fn=small_files)
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert "free some space" in done.stderr
    assert not list((tmp_path / "data").rglob("*.tar"))
    assert not list((tmp_path / "data").rglob("*.partial"))
    assert not list((tmp_path / "data").rglob("index.json"))
    assert run(path, "workers=1").returncode == 0


def folder_recipe(tmp_path: Path, *, bad: bool) -> Path:
    """Good barks and, if ``bad``, a file of every bad kind, in a manifest."""
    clips = tmp_path / "clips"
    clips.mkdir()
    rows = []
    for i in range(8):
        sound = take("dog_bark", generator(i), 0.8).samples
        soundfile.write(clips / f"bark{i}.wav", sound, 16_000)
        rows.append({"path": f"bark{i}.wav", "kind": "event", "label": "dog"})
    soundfile.write(clips / "rain.wav", take("rain", generator(0), 4.0).samples, 16_000)
    rows.append({"path": "rain.wav", "kind": "noise", "label": "rain"})
    if bad:
        (clips / "corrupt.wav").write_bytes(os.urandom(2_000))
        broken = take("dog_bark", generator(9), 0.8).samples
        broken[7] = np.nan
        soundfile.write(clips / "nan.wav", broken, 16_000, subtype="FLOAT")
        soundfile.write(clips / "one.wav", broken[:1], 16_000)
        eight = np.repeat(take("dog_bark", generator(10), 0.8).samples[:, None], 8, axis=1)
        soundfile.write(clips / "eight.wav", eight, 16_000)
        soundfile.write(clips / "fast.wav", np.repeat(eight[:, 0], 12), 192_000)
        (clips / "empty.wav").touch()
        names = ("corrupt", "nan", "one", "eight", "fast", "empty", "missing")
        rows += [{"path": f"{n}.wav", "kind": "event", "label": "dog"} for n in names]
    (clips / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"output: {tmp_path / 'data'}\n"
        f"sources: [{{corpus: manifest, root: {clips}}}]\n"
        "cues: [{name: dog, label: dog, reply: 'A dog.'}]\n"
        "splits: {train: {streams: 12}}\n"
        "workers: 1\n"
    )
    return path


def test_bad_recordings_are_dropped_with_their_reasons(tmp_path: Path) -> None:
    path = folder_recipe(tmp_path, bad=True)
    # Clips are drawn by chance; of so many streams each bad one is met.
    words = ["max_dropped_share=0.9", "splits.train.streams=80"]
    summary = build(load(path, BuildRecipe, words))
    assert summary.splits["train"].streams == 80
    drops = [json.loads(x) for x in (tmp_path / "data" / "drops.jsonl").read_text().splitlines()]
    reasons = {Path(d["item"].split(":")[0]).name: d["reason"] for d in drops}
    text = json.dumps(drops)
    for word in ("file is missing", "file is empty", "NaN", "decoded", "too short"):
        assert word in text, (word, reasons)
    used = json.dumps(
        [ShardSet(tmp_path / "data" / "train").record(i).to_json() for i in range(80)]
    )
    assert "eight.wav" in used
    assert "fast.wav" in used
    assert "nan.wav" not in used


def test_too_many_drops_fail_the_build_and_leave_no_index(tmp_path: Path) -> None:
    path = folder_recipe(tmp_path, bad=True)
    done = run(path, "max_dropped_share=0.1")
    assert done.returncode == 2
    assert "max_dropped_share=0.1" in done.stderr
    assert "drops.jsonl" in done.stderr
    assert (tmp_path / "data" / "drops.jsonl").exists()
    assert not (tmp_path / "data" / "train" / "index.json").exists()
    again = build(load(path, BuildRecipe, ["max_dropped_share=0.9"]))
    assert again.shards_kept == 1  # a higher ceiling costs nothing


def test_missing_and_unreadable_sources_are_the_users_mistake(tmp_path: Path) -> None:
    path = folder_recipe(tmp_path, bad=False)
    done = run(path, f"sources=[{{corpus: manifest, root: {tmp_path / 'nowhere'}}}]")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    done = run(path, f"output={blocked / 'data'}")
    assert done.returncode == 2
    assert "blocked" in done.stderr


def test_a_folder_of_real_recordings_goes_through_the_same_chain(
    shared: Path, tmp_path: Path
) -> None:
    words = [
        f"output={tmp_path / 'data'}", "workers=1", "splits.train.streams=12",
        "splits.test.streams=4", f"sources=[{{corpus: manifest, root: {shared / 'data'}}}]",
    ]  # fmt: skip
    summary = build(load(ROOT / "recipes/build/from_folder.yaml", BuildRecipe, words))
    assert summary.missing == ()
    assert summary.streams == 16
    train = ShardSet(tmp_path / "data" / "train")
    records = [train.record(i) for i in range(len(train))]
    assert {r.task for r in records} == {
        "answer_cues", "transcribe_words", "transcribe_utterances",
    }  # fmt: skip
    licences = {i.clip.licence for r in records for i in r.items}
    assert licences
    assert "" not in licences
    said = [r for r in records if r.task == "transcribe_words"]
    for record in said:
        front = [i for i in record.items if i.what == "speech"]
        spoken = " ".join(i.text for i in front)
        chunks = {chunk for i in front for chunk in i.reply_chunks}
        written = " ".join(r.text for r in record.replies if r.chunk in chunks)
        assert written.split() == spoken.split()
