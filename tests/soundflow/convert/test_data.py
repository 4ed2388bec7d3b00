"""Built data in the published forms, read back sample by sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from shards import EVENTS, REPLIES, SPEC, write_split

from soundflow.cli import main
from soundflow.convert.data import convert_data, parse_data_options
from soundflow.convert.features import read_features, write_features
from soundflow.errors import UserError
from soundflow.interop.conversations import NO_RESPONSE, read_corpus
from soundflow.interop.training_rows import read_training_rows
from soundflow.shards.reader import ShardSet


@pytest.fixture
def split(tmp_path: Path) -> Path:
    return write_split(tmp_path / "split")


def test_streams_as_streamaudio_lose_nothing(split: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    assert main(["convert", str(split), str(out), "to=streamaudio"]) == 0
    shards = ShardSet(split)
    items = list(read_corpus(out / "streams.jsonl"))
    assert [i.id for i in items] == ["s000", "s001", "s002"]
    for position, item in enumerate(items):
        sample = shards.read(position)
        pcm = [soundfile.read(out / t.audio_path, dtype="int16")[0] for t in item.turns]
        np.testing.assert_array_equal(np.concatenate(pcm), sample.pcm)
        ends = np.cumsum([len(p) for p in pcm])
        spoken = [
            (int(end) // 6400 - 1, t.assistant, t.emotion)
            for end, t in zip(ends, item.turns, strict=True)
            if not t.silent
        ]
        assert spoken == [(r.chunk, r.text, r.emotion) for r in sample.record.replies]
    first = items[0]
    assert first.stream_scene_type == "voice chatting"
    assert [t.user for t in first.turns] == [EVENTS[0].kind, "rain; two beeps", ""]
    assert [t.assistant for t in first.turns] == [*(r.text for r in REPLIES), NO_RESPONSE]
    assert [len(i.turns) for i in items] == [3, 1, 1]


def test_streams_as_training_rows(split: Path, tiny: Path, tmp_path: Path) -> None:
    options = parse_data_options(["to=rows", f"model={tiny}", "maximum=running"])
    assert convert_data(split, tmp_path / "rows", options).startswith("4 of 4")
    rows = list(read_training_rows(tmp_path / "rows/rows.jsonl", SPEC.tokens))
    shards = ShardSet(split)
    for position, row in enumerate(rows):
        sample = shards.read(position)
        np.testing.assert_array_equal(row.ids, sample.ids)
        np.testing.assert_array_equal(row.roles(SPEC.tokens), sample.roles)
        features = read_features(row, tmp_path / "rows")
        if not len(sample.pcm):
            assert features is None
            continue
        assert features is not None
        assert features.shape == (row.n_slots, 32)
        assert features.dtype == torch.float32


def test_what_is_refused(split: Path, tiny: Path, tmp_path: Path, shared: Path) -> None:
    for words, why in [
        (["to=rows"], "model"),
        (["to=streamaudio", "model=x"], "to=rows"),
        (["to=jsonl"], "streamaudio"),
    ]:
        with pytest.raises(UserError, match=why):
            parse_data_options(words)
    other = parse_data_options(["to=rows", f"model={shared / 'goldens/ckpt'}"])
    with pytest.raises(UserError, match="different stream specs"):
        convert_data(split, tmp_path / "rows", other)
    assert not list(tmp_path.glob("*rows*"))
    good = parse_data_options(["to=rows", f"model={tiny}"])
    convert_data(split, tmp_path / "rows", good)
    with pytest.raises(UserError, match="exists already"):
        convert_data(split, tmp_path / "rows", good)
    row = next(read_training_rows(tmp_path / "rows/rows.jsonl", SPEC.tokens))
    folder = tmp_path / "rows/features/0"
    write_features(folder, torch.zeros(3, 32))
    with pytest.raises(UserError, match="wants 50 slots"):
        read_features(row, tmp_path / "rows")
    torch.save({"not": "a tensor"}, folder / "AudioFeat.pt")
    with pytest.raises(UserError, match="holds dict"):
        read_features(row, tmp_path / "rows")
    (folder / "AudioFeat.pt").write_bytes(b"x")
    with pytest.raises(UserError, match="not a saved tensor"):
        read_features(row, tmp_path / "rows")
    (folder / "AudioFeat.pt").unlink()
    with pytest.raises(UserError, match="no such file"):
        read_features(row, tmp_path / "rows")
