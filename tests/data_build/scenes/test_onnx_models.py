"""The two optional models, run for real by onnxruntime on the smallest models there are."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from data_build.scenes.sentence_encoder import SentenceEncoder, SentenceEncoderConfig
from data_build.scenes.yamnet import YamnetConfig, YamnetTagger, patches
from soundflow.errors import UserError
from tests.data_build.scenes.tiny_onnx import band_model, embedding_model

pytest.importorskip("onnxruntime")
RATE = 16_000


@pytest.fixture
def encoder(tmp_path):
    words = {"[PAD]": 0, "[UNK]": 1, "dog": 2, "bark": 3, "cat": 4, "hound": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    table = np.array([[9, 9], [0, 0], [1, 0], [1, 0.1], [0, 1], [0.9, 0.1]])
    model = embedding_model(tmp_path / "model.onnx", table)
    return SentenceEncoder(SentenceEncoderConfig(str(model), str(tmp_path / "tokenizer.json")))


def test_meaning_ranks_and_padding_does_not_count(encoder):
    scores = encoder.scores("dog", ["cat", "hound", "dog bark bark bark bark"])
    assert scores.argsort().tolist() == [0, 1, 2]
    alone = encoder.embed(["cat"])
    padded = encoder.embed(["cat", "dog bark dog bark dog"])[:1]
    np.testing.assert_array_equal(alone, padded)
    np.testing.assert_allclose(np.linalg.norm(padded, axis=1), 1.0, rtol=1e-6)
    again = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(again.scores("dog", ["cat"]), encoder.scores("dog", ["cat"]))


def test_missing_models_are_the_users_mistake(tmp_path, encoder):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for name in ("missing.onnx", "broken.onnx"):
        config = SentenceEncoderConfig(str(tmp_path / name), str(tmp_path / "tokenizer.json"))
        with pytest.raises(UserError, match=name):
            SentenceEncoder(config).scores("a", ["b"])
    config = SentenceEncoderConfig(str(tmp_path / "model.onnx"), str(tmp_path / "no.json"))
    with pytest.raises(UserError, match=r"no\.json"):
        SentenceEncoder(config).scores("a", ["b"])


def tone(hz: float, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32) / 2


@pytest.fixture
def tagger(tmp_path):
    weights = np.zeros((64, 2))
    weights[:32, 0], weights[32:, 1] = 0.1, 0.1  # "low" and "high" hear one half each
    model = band_model(tmp_path / "bands.onnx", weights)
    class_map = tmp_path / "classes.csv"
    class_map.write_text('index,mid,display_name\n0,/m/1,"Hum, low"\n1,/m/2,Ping\n')
    return YamnetTagger(YamnetConfig(str(model), str(class_map)))


def test_a_tagger_hears_the_highest_score_over_the_clip(tagger):
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


def test_eight_bit_models_are_fed_and_read_by_their_scales(tagger, tmp_path):
    missing = YamnetConfig(str(tmp_path / "bands.onnx"), str(tmp_path / "no.csv"))
    with pytest.raises(UserError, match=r"no\.csv"):
        YamnetTagger(missing).tags(tone(440, 1.0))
    config = YamnetConfig(
        str(tmp_path / "bands.onnx"), str(tmp_path / "classes.csv"),
        output_scale=0.5, output_zero_point=2,
    )  # fmt: skip
    plain, scaled = tagger.tags(tone(200, 1.0)), YamnetTagger(config).tags(tone(200, 1.0))
    logit = {name: np.log(p / (1 - p)) for name, p in plain.items()}
    again = {name: np.log(p / (1 - p)) for name, p in scaled.items()}
    for name in logit:
        assert again[name] == pytest.approx((logit[name] - 2) * 0.5, abs=1e-4)
