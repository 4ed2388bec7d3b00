"""Manifests, tars, databases, Kaldi and lhotse directories, and the published conversations."""

from __future__ import annotations

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_build.drops import Drop, Dropped
from data_build.pools.prepare import PrepareConfig, Preparer
from data_build.records import Clip, Dialogue, Question, Recorded, Word
from data_build.sources.audio_refs import read_member
from data_build.sources.source import SourceConfig
from soundflow.errors import UserError
from tests.data_build.sources.generic_miniatures import streamaudio
from tests.data_build.sources.making import tone, tone_bytes, write, write_json_lines
from tests.data_build.sources.miniatures import ReadAll

Corpora = dict[str, SourceConfig]


def one(items: list[Clip | Dialogue]) -> Clip:
    assert len(items) == 1
    assert isinstance(items[0], Clip)
    return items[0]


def test_manifest_fields_and_extra(corpora: Corpora, read_all: ReadAll) -> None:
    first, second, third = read_all(corpora["manifest"])[0]
    assert isinstance(first, Clip)
    assert isinstance(second, Clip)
    assert isinstance(third, Clip)
    assert (first.kind, first.text, first.speaker, first.language) == (
        "speech",
        "hello",
        "s1",
        "en",
    )
    assert first.origin.licence == "CC-BY-4.0"
    assert (second.kind, second.labels, second.notes) == ("event", ("glass", "window"), {"take": 3})
    assert second.origin.licence == "CC0-1.0"
    assert (third.audio.start_s, third.audio.end_s, third.duration_s) == (0.1, 0.3, 0.2)


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_manifest_tables_with_their_own_column_names(
    form: str, tmp_path: Path, read_all: ReadAll
) -> None:
    tone(tmp_path / "a.wav", 0.5)
    mark = "," if form == "csv" else "\t"
    cells = [
        ["where", "said", "t0", "t1"],
        ["a.wav", "hi", "0.1", "0.2"],
        ["a.wav", "no", "x", "1"],
    ]
    write(tmp_path / f"table.{form}", *(mark.join(row) for row in cells))
    config = SourceConfig(
        "manifest",
        str(tmp_path / f"table.{form}"),
        columns={"path": "where", "text": "said", "start": "t0", "end": "t1"},
        kind="speech",
    )
    items, drops = read_all(config)
    assert (one(items).text, one(items).audio.start_s, one(items).audio.end_s) == ("hi", 0.1, 0.2)
    assert "t0 is not a number" in drops[0].reason


def test_manifest_words_and_bad_rows(tmp_path: Path, read_all: ReadAll) -> None:
    tone(tmp_path / "a.wav", 0.5)
    (tmp_path / "empty.wav").touch()
    words = [{"word": "hi", "start": 0.0, "end": 0.2}]
    rows: list[tuple[dict[str, object], str]] = [
        ({"path": "gone.wav"}, "is missing"),
        ({"path": "empty.wav"}, "is empty"),
        ({"text": "x"}, "has no column 'path', but text; name the right one in the source"),
        ({"path": "a.wav", "start": 2, "end": 1}, "before or at its start"),
        ({"path": "a.wav", "start": -1}, "not a time"),
        ({"path": "a.wav", "start": float("nan")}, "not a time"),
        ({"path": "a.wav", "kind": "voice"}, "not one of"),
        ({"path": "a.wav", "text": ["x"]}, "not text"),
        ({"path": "a.wav", "text": "\ud800"}, "not valid UTF-8"),
        ({"path": "a\0.wav"}, "NUL"),
        ({"path": "a.wav", "label": [1]}, "not text"),
        ({"path": "a.wav", "text": "x", "words": [{"word": "hi", "start": 2, "end": 1}]}, "before"),
    ]
    # ASCII: the lone surrogate is an escape in the file, as a careless writer leaves it.
    good = {"path": "a.wav", "text": "hi", "words": words}
    lines = [json.dumps(row) for row in (good, *(r for r, _ in rows))]
    write(tmp_path / "manifest.jsonl", *lines)
    items, drops = read_all(SourceConfig("manifest", str(tmp_path)))
    assert one(items).words == (Word("hi", 0.0, 0.2),)
    assert [d.item.partition(" (")[0] for d in drops] == [
        f"{tmp_path / 'manifest.jsonl'}:{n}" for n in range(2, len(rows) + 2)
    ]
    for drop, (_, reason) in zip(drops, rows, strict=True):
        assert reason in drop.reason


def test_manifest_of_real_recordings(shared: Path, read_all: ReadAll) -> None:
    items, drops = read_all(SourceConfig("manifest", str(shared / "data")))
    lines = (shared / "data" / "manifest.jsonl").read_text().splitlines()
    assert len(items) == len(lines)
    assert not drops
    for item, line in zip(items, lines, strict=True):
        assert isinstance(item, Clip)
        row = json.loads(line)
        assert (item.kind, item.text, item.origin.licence) == (
            row["kind"], row.get("text", ""), row["licence"],
        )  # fmt: skip


def test_webdataset_members_and_splits(corpora: Corpora, read_all: ReadAll) -> None:
    config = corpora["webdataset"]
    items, drops = read_all(config)
    found = [i for i in items if isinstance(i, Clip)]
    assert [c.audio.member for c in found[:3]] == ["a0.flac", "deep/b.c/u0.wav", "e0.ogg"]
    assert [(c.text, c.labels) for c in found[:3]] == [
        ("spoken", ()),
        ("与文本", ()),
        ("", ("dog",)),
    ]
    assert not drops
    one_tar, _ = read_all(SourceConfig("webdataset", config.root, split="000001"))
    assert [i.id for i in one_tar] == [
        "train-000001/a1",
        "train-000001/deep/b.c/u1",
        "train-000001/e1",
    ]
    assert read_member(Path(found[0].audio.path), "a0.flac") == tone_bytes("flac", 300)
    with pytest.raises(UserError, match="no member"):
        read_member(Path(found[0].audio.path), "absent.wav")


def test_a_cut_tar_gives_what_is_whole(corpora: Corpora, tmp_path: Path, read_all: ReadAll) -> None:
    whole = (Path(corpora["webdataset"].root) / "train-000000.tar").read_bytes()
    with tarfile.open(Path(corpora["webdataset"].root) / "train-000000.tar") as tar:
        place = tar.getmember("deep/b.c/u0.wav").offset_data
    (tmp_path / "cut.tar").write_bytes(whole[: place + 100])
    items, drops = read_all(SourceConfig("webdataset", str(tmp_path)))
    assert [i.id for i in items] == ["cut/a0"]
    # The transcript of the broken sample came whole, so it is known which sample is lost.
    assert any("truncated" in d.reason for d in drops)
    assert read_member(tmp_path / "cut.tar", "a0.flac") == tone_bytes("flac", 300)
    with pytest.raises(UserError, match="truncated"):
        read_member(tmp_path / "cut.tar", "deep/b.c/u0.wav")


def test_compressed_tars_are_refused(tmp_path: Path, read_all: ReadAll) -> None:
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(b"\x1f\x8b")
    for root in (tmp_path, packed):
        with pytest.raises(UserError, match=r"a\.tar\.gz is compressed"):
            read_all(SourceConfig("webdataset", str(root)))


def test_a_compressed_tar_beside_others_is_reported(corpora: Corpora, read_all: ReadAll) -> None:
    config = corpora["webdataset"]
    items, drops = read_all(config)
    packed = Path(config.root) / "more.tgz"
    packed.write_bytes(b"\x1f\x8b")
    try:
        again, told = read_all(config)
    finally:
        packed.unlink()
    assert again == items
    assert [d for d in told if d not in drops] == [
        Drop("sources", str(packed), "is compressed; unpack it to a plain .tar")
    ]


def test_metadata_of_a_hugging_face_folder_is_a_manifest(tmp_path: Path, read_all: ReadAll) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "metadata.csv").write_text("file_name,transcription\na.wav,hello there\n")
    (clip,), drops = read_all(SourceConfig("manifest", str(tmp_path)))
    assert isinstance(clip, Clip)
    assert (clip.text, drops) == ("hello there", [])


def test_huggingface_columns_classes_and_cache(corpora: Corpora, read_all: ReadAll) -> None:
    items, drops = read_all(corpora["huggingface"])
    found = [i for i in items if isinstance(i, Clip)]
    assert [(c.text, c.speaker, c.labels) for c in found] == [
        ("one", "a", ("dog",)),
        ("two", "b", ("rain",)),
        ("three", "c", ("dog",)),
    ]
    assert [c.notes for c in found] == [{"fold": 1}, {"fold": 2}, {"fold": 3}]
    assert Path(found[1].audio.path).read_bytes() == tone_bytes("flac", 300)
    assert not drops


def test_huggingface_needs_a_cache_for_audio_inside_files(
    corpora: Corpora, read_all: ReadAll
) -> None:
    with pytest.raises(UserError, match="set cache"):
        read_all(SourceConfig("huggingface", corpora["huggingface"].root))


def test_huggingface_saved_to_disk_and_text_rows(tmp_path: Path, read_all: ReadAll) -> None:
    import datasets

    chat = {
        "messages": [
            [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
            [{"role": "user", "content": "alone"}],
        ]
    }
    datasets.Dataset.from_dict(chat).save_to_disk(str(tmp_path / "chat"))
    datasets.DatasetDict(
        {"test": datasets.Dataset.from_dict({"question": ["q?"], "answer": ["yes"]})}
    ).save_to_disk(str(tmp_path / "qa"))
    items, drops = read_all(SourceConfig("huggingface", str(tmp_path / "chat")))
    assert [i.turns[0].assistant for i in items if isinstance(i, Dialogue)] == ["a"]
    assert [d.reason for d in drops] == ["holds no answered question"]
    items, _ = read_all(SourceConfig("huggingface", str(tmp_path / "qa"), split="test"))
    assert [i.turns[0].user for i in items if isinstance(i, Dialogue)] == ["q?"]
    with pytest.raises(UserError, match="absent"):
        read_all(SourceConfig("huggingface", str(tmp_path / "qa"), split="absent"))


def test_huggingface_audio_paths_in_a_table(tmp_path: Path, read_all: ReadAll) -> None:
    tone(tmp_path / "wav" / "a.wav")
    folder = tmp_path / "table"
    write(folder / "train.csv", "file,transcription", "wav/a.wav,hello", "wav/gone.wav,bye")
    items, drops = read_all(
        SourceConfig("huggingface", str(folder), audio_root=str(tmp_path), licence="CC0-1.0")
    )
    assert (one(items).text, one(items).origin.licence) == ("hello", "CC0-1.0")
    assert "missing" in drops[0].reason


def test_kaldi_segments_and_commands(corpora: Corpora, read_all: ReadAll) -> None:
    items, drops = read_all(corpora["kaldi"])
    found = [i for i in items if isinstance(i, Clip)]
    assert [(c.id, c.audio.start_s, c.audio.end_s, c.text, c.speaker) for c in found] == [
        ("s1-r1-a", 0.1, 0.4, "hello there", "s1"),
        ("s1-r1-b", 0.4, None, "once more", "s1"),
        ("s2-r2-a", 0.0, 0.5, "bye", "s2"),
    ]
    assert found[2].audio.path.endswith("r2.flac")
    assert ["not run" in d.reason for d in drops] == [True]


def test_kaldi_whole_recordings_and_missing_lines(tmp_path: Path, read_all: ReadAll) -> None:
    for name in ("a", "b", "c"):
        tone(tmp_path / f"{name}.wav")
    write(tmp_path / "wav.scp", "a a.wav", "b b.wav", "c c.wav")
    config = SourceConfig("kaldi", str(tmp_path), audio_root=str(tmp_path))
    items, _ = read_all(config)
    assert [i.kind for i in items if isinstance(i, Clip)] == ["noise"] * 3
    write(tmp_path / "text", "a said", "c said too", "d about nothing")
    items, drops = read_all(config)
    assert [i.id for i in items] == ["a", "c"]
    assert [d.reason for d in drops] == ["has no line in text"]
    write(tmp_path / "wav.scp", "b b.wav", "a a.wav")
    with pytest.raises(UserError, match="out of order"):
        read_all(config)


def test_lhotse_cuts_and_supervisions_agree(corpora: Corpora, read_all: ReadAll) -> None:
    items, drops = read_all(corpora["lhotse"])
    cut, plain = (i for i in items if isinstance(i, Clip))
    # The cut begins at 0.2 s and its supervision 0.1 s later.
    assert (cut.audio.start_s, cut.audio.end_s) == (0.3, 0.7)
    assert cut.words == (Word("hello", 0.0, 0.2), Word("there", 0.2, 0.4))
    assert cut.notes == {"orig_text": "Hello there!"}
    assert (plain.kind, plain.audio.start_s, plain.audio.end_s) == ("noise", 0.0, 0.6)
    assert ["MixedCut" in d.reason for d in drops] == [True]
    manifests = f"{corpora['lhotse'].root}/manifests"
    pair = one(read_all(SourceConfig("lhotse", manifests))[0])
    assert (pair.audio.start_s, pair.audio.end_s, pair.words) == (0.1, 0.5, cut.words)


def test_lhotse_recordings_alone_and_odd_sources(tmp_path: Path, read_all: ReadAll) -> None:
    audio = str(tone(tmp_path / "a.wav"))
    sources = {"file": {"type": "file", "channels": [0], "source": audio},
               "command": {"type": "command", "channels": [0], "source": "cat a.wav"}}  # fmt: skip
    base = {"sampling_rate": 16_000, "num_samples": 3200, "duration": 0.2}
    write_json_lines(
        tmp_path / "musan_recordings_noise.jsonl",
        {"id": "a", "sources": [sources["file"]], **base},
        {"id": "b", "sources": [sources["command"]], **base},
        {"id": "c", "sources": [sources["file"]], "transforms": [{"name": "Speed"}], **base},
    )
    items, drops = read_all(SourceConfig("lhotse", str(tmp_path)))
    assert (one(items).id, one(items).kind) == ("a", "noise")
    assert len(drops) == 2


def test_streamaudio_clips_and_plans(corpora: Corpora, read_all: ReadAll) -> None:
    items, drops = read_all(corpora["streamaudio"])
    asked, noise = items[:2]
    assert isinstance(asked, Clip)
    assert isinstance(noise, Clip)
    assert asked.notes == {
        "conversation": "corpus.jsonl:1", "turn": 0, "assistant": "Noon.", "emotion": "happy",
        "scene_type": "chat", "ability": "voice_chat",
    }  # fmt: skip
    assert (asked.kind, asked.text, noise.kind) == ("speech", "What time is it?", "event")
    assert noise.notes["assistant"] == ""
    assert not drops
    assert [c.group for c in items] == ["corpus.jsonl:1", "corpus.jsonl:1", "corpus.jsonl:2"]


def test_a_conversation_with_a_missing_clip_is_reported_whole(
    tmp_path: Path, read_all: ReadAll
) -> None:
    config = streamaudio(tmp_path)
    (tmp_path / "clips" / "b.wav").unlink()
    items, drops = read_all(config)
    assert [i.id for i in items] == ["corpus.jsonl:2/00"]
    assert len(drops) == 1


def test_offline_forms(corpora: Corpora, read_all: ReadAll) -> None:
    audio_text, audio, text = read_all(corpora["offline_conversation"])[0]
    assert isinstance(audio_text, Clip)
    assert isinstance(audio, Clip)
    assert isinstance(text, Dialogue)
    assert audio_text.question == Question("What do you hear?", ("A tone.",))
    assert audio.question is not None
    assert audio.question.text == ""
    assert text.turns[0].user == "Hello!"


def test_online_short_form(corpora: Corpora, read_all: ReadAll) -> None:
    items, _ = read_all(corpora["online_conversation"])
    assert [i.notes["assistant"] for i in items if isinstance(i, Clip)] == [
        "Yes.",
        "",
        "One thing.",
    ]


def test_audio_may_lie_elsewhere(corpora: Corpora, tmp_path: Path, read_all: ReadAll) -> None:
    source = Path(corpora["manifest"].root)
    shutil.copytree(source / "wavs", tmp_path / "moved" / "wavs")
    shutil.copy(source / "manifest.jsonl", tmp_path / "manifest.jsonl")
    config = SourceConfig("manifest", str(tmp_path), audio_root=str(tmp_path / "moved"))
    items, drops = read_all(config)
    assert len(items) == 3
    assert not drops


def test_a_tar_member_is_prepared_like_a_file(
    corpora: Corpora, tmp_path: Path, read_all: ReadAll
) -> None:
    """The two ways to the same recording end in the same samples."""
    preparer = Preparer(tmp_path / "cache", PrepareConfig())
    inside = next(i for i in read_all(corpora["webdataset"])[0] if isinstance(i, Clip))
    (tmp_path / "a0.flac").write_bytes(tone_bytes("flac", 300))
    outside = replace(inside, audio=Recorded(str(tmp_path / "a0.flac")))
    samples = preparer.prepare(inside).samples
    assert len(samples)
    assert np.array_equal(samples, preparer.prepare(outside).samples)
    gone = replace(inside, audio=replace(inside.audio, member="gone.wav"))
    with pytest.raises(Dropped, match="no member"):
        preparer.prepare(gone)
