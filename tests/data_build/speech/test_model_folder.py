from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data_build.speech.aligners.ctc import CtcAligner
from data_build.speech.asr import TransformersAsr
from data_build.speech.model_folder import model_key
from soundflow.errors import UserError


def model(folder: Path, weights: bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_models_in_folders_of_one_name_have_keys_of_their_own(tmp_path: Path) -> None:
    size = 3 << 20
    one = model(tmp_path / "one" / "model", bytes(size))
    # Another in the middle alone: what a fine-tuned model may look like.
    two = model(tmp_path / "two" / "model", bytes(size // 2) + b"\1" + bytes(size // 2 - 1))
    assert model_key(one) != model_key(two)
    for make in (CtcAligner, TransformersAsr):
        ids = [make(str(folder)).id for folder in (one, two)]
        assert ids[0] != ids[1]
        assert all(name.split("-")[1] == "model" for name in ids)


def test_a_copy_elsewhere_is_the_same_model_and_a_card_beside_it_changes_nothing(
    tmp_path: Path,
) -> None:
    one = model(tmp_path / "one", b"weights")
    two = Path(shutil.copytree(one, tmp_path / "two"))
    (two / "README.md").write_text("about the model")
    assert model_key(one) == model_key(two)


def test_new_weights_in_the_same_folder_give_a_new_key(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", b"weights")
    before = model_key(folder)
    (folder / "model.safetensors").write_bytes(b"retrained")
    assert model_key(folder) != before


def test_a_folder_without_a_model_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json missing"):
        TransformersAsr(str(tmp_path))
