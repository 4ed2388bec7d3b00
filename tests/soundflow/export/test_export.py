"""Exports read back with other people's tools hold what the shards hold."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
import torch
from omegaconf import OmegaConf

from data_build.recipe import BuildRecipe
from soundflow.cli import main
from soundflow.errors import UserError
from soundflow.export.export import Form, export
from soundflow.export.huggingface import sample_of
from soundflow.interop.conversations import read_corpus
from soundflow.interop.training_rows import FEATURE_FILE, read_training_rows
from soundflow.shards.reader import ShardSet


def test_a_hugging_face_dataset_holds_whole_samples(recipe: BuildRecipe, tmp_path: Path) -> None:
    done = export(Path(recipe.output), tmp_path / "hub", "huggingface")
    assert done.splits == {"train": 10, "test": 4}
    loaded = datasets.load_dataset(
        str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache")
    )  # its layout and card alone say what is where
    for split, count in done.splits.items():
        shards = ShardSet(Path(recipe.output) / split)
        assert len(loaded[split]) == count
        for position, row in enumerate(loaded[split]):
            ours, theirs = shards.read(position), sample_of(row)
            assert theirs.record == ours.record
            for name in ("pcm", "ids", "roles"):
                assert np.array_equal(getattr(theirs, name), getattr(ours, name))
                assert getattr(theirs, name).dtype == getattr(ours, name).dtype
    loaded.save_to_disk(str(tmp_path / "saved"))
    again = datasets.load_from_disk(str(tmp_path / "saved"))
    assert again["test"][0]["audio"]["bytes"] == loaded["test"][0]["audio"]["bytes"]


def test_streamaudio_lines_hold_the_streams_and_their_replies(
    recipe: BuildRecipe, tmp_path: Path
) -> None:
    export(Path(recipe.output), tmp_path / "corpus", "streamaudio")
    for split in recipe.splits:
        shards, folder = ShardSet(Path(recipe.output) / split), tmp_path / "corpus" / split
        items = list(read_corpus(folder / "streams.jsonl"))
        assert len(items) == len(shards)
        for position, item in enumerate(items):
            sample = shards.read(position)
            parts = [soundfile.read(folder / t.audio_path, dtype="int16")[0] for t in item.turns]
            assert np.array_equal(np.concatenate(parts), sample.pcm)
            said = [t.assistant for t in item.turns if not t.silent]
            assert said == [r.text for r in sample.record.replies]


@pytest.mark.parametrize("form", ["streamaudio", "huggingface"])
def test_the_card_of_an_export_names_files_that_exist(
    recipe: BuildRecipe, tmp_path: Path, form: Form
) -> None:
    dest = tmp_path / "out"
    export(Path(recipe.output), dest, form)
    _, head, body = (dest / "README.md").read_text().split("---\n", 2)
    about = OmegaConf.to_container(OmegaConf.create(head))
    for one in about["configs"][0]["data_files"]:
        assert list(dest.glob(one["path"])), one
    assert body.count("\n## Format\n") == 1
    assert body.count("\n## Licences\n") == 1
    assert "WebDataset" not in body
    assert (dest / "credits.tsv").is_file()
    assert (dest / "recipe.yaml").read_bytes() == (Path(recipe.output) / "recipe.yaml").read_bytes()


@pytest.mark.parametrize("form", ["huggingface", "rows"])
def test_the_code_on_the_card_of_an_export_runs(
    recipe: BuildRecipe,
    checkpoint: Path,
    tmp_path: Path,
    form: Form,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dest = tmp_path / "out"
    export(Path(recipe.output), dest, form, str(checkpoint) if form == "rows" else None)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(dest)
    (block,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.S)
    exec(block, {})


def test_a_folder_that_is_taken_and_a_build_that_is_not_done_are_refused(
    recipe: BuildRecipe, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        export(Path(recipe.output), taken, "streamaudio")
    with pytest.raises(UserError, match="no finished build"):
        export(tmp_path, tmp_path / "out", "streamaudio")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken"]


def test_damage_leaves_no_export_behind(recipe: BuildRecipe, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(recipe.output, data)
    shard = data / "train" / "000001.tar"
    shard.write_bytes(shard.read_bytes()[:-20_000])
    with pytest.raises(UserError, match="000001"):
        export(data, tmp_path / "out", "huggingface")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_the_command(
    recipe: BuildRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = str(tmp_path / "out")
    assert main(["export", recipe.output, dest, "--to", "huggingface"]) == 0
    assert "train 10, test 4" in capsys.readouterr().out
    assert main(["export", recipe.output, dest]) == 2


def test_training_rows_hold_tokens_roles_and_features(
    recipe: BuildRecipe, checkpoint: Path, tmp_path: Path
) -> None:
    done = export(Path(recipe.output), tmp_path / "rows", "rows", str(checkpoint))
    assert done.splits == {"train": 10, "test": 4}
    for split in recipe.splits:
        shards, folder = ShardSet(Path(recipe.output) / split), tmp_path / "rows" / split
        tokens = shards.spec.tokens
        for position, row in enumerate(read_training_rows(folder / "rows.jsonl", tokens)):
            sample = shards.read(position)
            assert np.array_equal(row.ids, sample.ids)
            assert np.array_equal(row.roles(tokens), sample.roles)
            assert row.features_dir is not None
            features = torch.load(folder / row.features_dir / FEATURE_FILE, weights_only=True)
            assert features.shape == (row.n_slots, 32)
            assert features.dtype == torch.float32


def test_rows_need_a_model_that_fits_and_the_other_forms_take_none(
    recipe: BuildRecipe, tmp_path: Path, shared: Path
) -> None:
    data, dest = Path(recipe.output), tmp_path / "out"
    with pytest.raises(UserError, match="--to rows needs --model"):
        export(data, dest, "rows")
    with pytest.raises(UserError, match="takes no --model"):
        export(data, dest, "huggingface", "x")
    with pytest.raises(UserError, match="different stream specs"):
        export(data, dest, "rows", str(shared / "goldens/ckpt"))
    assert not list(tmp_path.iterdir())


def test_convert_says_where_data_is_exported(
    recipe: BuildRecipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", f"{recipe.output}/train", str(tmp_path / "x")]) == 2
    assert "soundflow export" in capfd.readouterr().err
