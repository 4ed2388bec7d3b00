"""A small Qwen2.5-Omni Thinker as published, with the tokens of its chat template."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer
from transformers import Qwen2_5OmniThinkerForConditionalGeneration
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniThinkerConfig

from inference.chat_template import TURN_BEGIN, TURN_END
from soundflow.text.tiny import TOKENIZER_FILE, tiny_table
from tests.soundflow.convert.omni import AUDIO, TEXT, VISION

VOCABULARY = TEXT["vocab_size"] + 2
TABLE = replace(tiny_table(), vocab_size=VOCABULARY)


def save_with_template(folder: Path) -> Qwen2_5OmniThinkerForConditionalGeneration:
    """Saves random weights and returns them as transformers runs them."""
    torch.manual_seed(0)
    config = Qwen2_5OmniThinkerConfig(
        audio_config={**AUDIO, "max_source_positions": 128},
        text_config={**TEXT, "vocab_size": VOCABULARY, "tie_word_embeddings": False},
        vision_config=VISION,
        audio_token_index=TABLE.audio_pad,
        audio_start_token_id=TABLE.audio_begin,
        audio_end_token_id=TABLE.audio_end,
        vision_start_token_id=-1,  # of the published config; here no id stands for a picture
    )
    model = Qwen2_5OmniThinkerForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed_tokens" not in name:
                parameter.mul_(5.0)
    model.save_pretrained(folder)
    tokenizer = Tokenizer.from_file(str(TOKENIZER_FILE))
    tokenizer.add_special_tokens([AddedToken(t) for t in (TURN_BEGIN, TURN_END)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "token_table.json").write_text(json.dumps(asdict(TABLE)))
    return model
