from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from data_build.speech.aligners.ctc import CtcAligner, best_path, spoken_blocks, word_ends
from soundflow.errors import UserError

BLANK = 0


@pytest.mark.parametrize("labels", [[1], [1, 2], [1, 1], [2, 1, 2]])
def test_the_path_is_the_best_of_all(labels: list[int]) -> None:
    rng = np.random.default_rng(len(labels))
    scores = np.log(rng.dirichlet(np.ones(3), 6))
    spans = best_path(scores, np.asarray(labels), BLANK)
    assert spans is not None

    def label_of(path: tuple[int, ...]) -> list[int]:
        return [k for k, _ in itertools.groupby(path) if k != BLANK]

    paths = [p for p in itertools.product(range(3), repeat=6) if label_of(p) == labels]
    best = max(paths, key=lambda p: sum(scores[t, k] for t, k in enumerate(p)))
    edges = np.flatnonzero(np.diff([BLANK, *best, BLANK]))
    assert best[spans[0][0]] == labels[0]
    assert {int(e) for span in spans for e in span} <= {int(e) for e in edges}
    assert all(best[frame] == k for k, span in zip(labels, spans, strict=True)
               for frame in range(*span))  # fmt: skip


def test_too_few_frames_have_no_path() -> None:
    scores = np.log(np.full((2, 3), 1 / 3))
    assert best_path(scores, np.asarray([1, 2, 1]), BLANK) is None
    assert best_path(scores, np.asarray([1, 1]), BLANK) is None  # a blank has to lie between


def test_long_texts_have_a_path() -> None:
    labels = np.random.default_rng(0).integers(1, 5, 400)
    spans = best_path(np.log(np.full((1_000, 5), 1 / 5)), labels, BLANK)
    assert spans is not None
    assert (np.diff(spans.ravel()) >= 0).all()


def test_words_end_between_their_spikes_or_where_they_fall_silent() -> None:
    audible = np.ones(300, np.bool_)
    audible[150:180] = False  # a pause
    audible[55:60] = False  # a closure
    audible[230:] = False
    first, last = [0.1, 0.6, 1.9], [0.4, 1.3, 2.2]
    assert word_ends(first, last, audible) == pytest.approx([0.5, 1.5, 2.3])
    # The recording ends with the word, or other sounds go on behind it.
    assert word_ends([0.1], [2.2], audible[:230]) == pytest.approx([2.3])
    assert word_ends([0.1], [0.2], np.ones(300, np.bool_)) == pytest.approx([0.7])


def test_a_pause_is_found_in_the_noise_of_a_room() -> None:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(48_000).astype(np.float32)
    samples[16_000:24_000] *= 0.05  # 26 dB below: nothing in it is inaudible
    spoken = spoken_blocks(samples)
    assert spoken[:100].all()
    assert not spoken[104:146].any()
    assert spoken[150:].all()
    assert spoken_blocks(rng.standard_normal(16_000).astype(np.float32)).all()


def tiny_model(folder: Path) -> str:
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    config = transformers.Wav2Vec2Config(
        vocab_size=len(letters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, conv_dim=(8, 8), conv_kernel=(10, 8), conv_stride=(40, 8),
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, pad_token_id=0,
    )  # fmt: skip
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    transformers.Wav2Vec2Processor(
        feature_extractor=transformers.Wav2Vec2FeatureExtractor(),
        tokenizer=transformers.Wav2Vec2CTCTokenizer(str(vocabulary)),
    ).save_pretrained(folder)
    return str(folder)


def test_a_model_folder_aligns_every_word(tmp_path: Path) -> None:
    aligner = CtcAligner(tiny_model(tmp_path))
    samples = (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)
    text = "Don't stop, it costs $5."
    words = aligner.align(samples, text, "en")
    assert words is not None
    assert [w.text for w in words] == text.split()
    times = [t for w in words for t in (w.start_s, w.end_s)]
    assert times == sorted(times)
    assert all(w.start_s < w.end_s for w in words)
    assert times[-1] <= 2.0
    assert aligner.align(samples, text, "en") == words
    assert aligner.align(samples[:1_600], "More words than frames, " * 9, "en") is None
    assert aligner.align(samples, "Привет", "ru") is None  # its letters are not in the vocabulary


def test_what_is_no_model_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json missing"):
        CtcAligner(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no CTC model"):
        CtcAligner(str(tmp_path)).align(np.ones(16_000, np.float32), "Yes.", "en")
