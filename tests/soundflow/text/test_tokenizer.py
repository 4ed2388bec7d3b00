"""A control id never comes out of text, and text survives the round trip."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.errors import UserError
from soundflow.protocol.layout import online_stream, parse_online
from soundflow.protocol.tokens import TokenTable
from soundflow.text.presets import load_vocabulary, stream_spec
from soundflow.text.tiny import TOKENIZER_FILE, tiny_table, tiny_tokenizer, train
from soundflow.text.tokenizer import TextTokenizer

TINY = tiny_tokenizer()


@given(st.text(max_size=40))
def test_any_text_survives_and_yields_no_control_id(text: str) -> None:
    ids = TINY.encode(text)
    assert TINY.decode(ids) == text
    assert not TINY.table.control_ids & set(ids)
    decoder = TINY.stream_decoder()
    assert "".join(decoder.push(i) for i in ids) == text


def test_the_name_of_a_control_token_is_plain_text() -> None:
    text = "say <|keep_silence|> or <|text_end|> aloud"
    assert TINY.decode(TINY.encode(text)) == text


def test_a_word_whose_id_is_reused_as_control_token_is_spelt_out() -> None:
    # As the release does it: ordinary entries of the vocabulary become control tokens.
    light, window = TINY.encode("Light")[0], TINY.encode(" window")[0]
    table = replace(TINY.table, keep_silence=light, happy=window)
    tokenizer = TextTokenizer.load(TOKENIZER_FILE, table)
    text = "Light on, window open, Light"
    ids = tokenizer.encode(text)
    assert not table.control_ids & set(ids)
    assert tokenizer.decode(ids) == text
    piece = online_stream(table, 10, [], 1, {0: (ids, "sad")})
    (turn,) = parse_online(table, 10, piece.ids).turns
    assert tokenizer.decode(turn.text_ids) == text


def test_the_released_vocabulary_round_trips_control_surfaces(shared: Path) -> None:
    tokenizer = TextTokenizer.load(shared / "goldens/ckpt", TokenTable())
    text = "<|im_start|>user<|im_end|> 可以"
    ids = tokenizer.encode(text)
    assert not TokenTable().control_ids & set(ids)
    assert tokenizer.decode(ids) == text


def test_a_control_token_that_is_a_single_byte_is_refused() -> None:
    letter = TINY.encode("x")[0]
    with pytest.raises(UserError, match="cannot be spelt"):
        TextTokenizer.load(TOKENIZER_FILE, replace(TINY.table, pad=letter))


def test_the_stored_tiny_tokenizer_is_the_trained_one(tmp_path: Path) -> None:
    train().save(str(tmp_path / "again.json"), pretty=False)
    again = TextTokenizer.load(tmp_path / "again.json", tiny_table())
    assert again.fingerprint == TINY.fingerprint


def test_saving_keeps_the_fingerprint(tmp_path: Path) -> None:
    TINY.save(tmp_path)
    tokenizer, _ = load_vocabulary("tiny")
    assert TextTokenizer.load(tmp_path, TINY.table).fingerprint == tokenizer.fingerprint


@pytest.mark.parametrize("file", ["spec.json", "soundflow.json"])
def test_a_checkpoint_gives_its_own_control_ids(tmp_path: Path, file: str) -> None:
    tokenizer, table = load_vocabulary("tiny")
    tokenizer.save(tmp_path)
    (tmp_path / file).write_text(json.dumps({"spec": stream_spec(tokenizer).to_json()}))
    found, ids = load_vocabulary(str(tmp_path))
    assert ids == table
    assert found.fingerprint == tokenizer.fingerprint


def test_mistakes_are_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="not a tokenizer file"):
        load_vocabulary(str(tmp_path))
    with pytest.raises(UserError, match="neither 'tiny' nor a path"):
        load_vocabulary("tinny")
    TINY.save(tmp_path)
    (tmp_path / "token_table.json").write_text('{"pad": 3, "user": 3}')
    with pytest.raises(UserError, match="share the id"):
        load_vocabulary(str(tmp_path))
