"""A run that starts from a checkpoint: of any form and any chunk, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from soundflow.commands.training_plan import training_plan
from soundflow.convert.run import ConvertOptions, convert
from soundflow.data.datamodule import StreamData
from soundflow.errors import UserError
from soundflow.forms.load_any import load_any
from soundflow.model.config import ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import save_checkpoint
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.stream_config import StreamConfig
from soundflow.shards.reader import ShardSet
from soundflow.text.presets import stream_spec
from soundflow.text.tokenizer import TextTokenizer
from soundflow.train.recipe import OptimConfig, StageConfig, TrainRecipe
from soundflow.train.run import run
from soundflow.train.start import open_origin, start
from tests.soundflow.convert.omni import save_omni, save_thinker
from tests.soundflow.forms.test_joined_parts import joined, llama


@pytest.fixture
def base(
    tmp_path: Path, small_model: ModelConfig, tokenizer: TextTokenizer
) -> Callable[[StreamSpec], Path]:
    def save(spec: StreamSpec) -> Path:
        torch.manual_seed(1)
        model = AudioInteractionModel(small_model, spec.tokens)
        save_checkpoint(tmp_path / "base", model, tokenizer, spec, TrainingFacts(99))
        return tmp_path / "base"

    return save


def test_weights_of_another_chunk_start_a_run(
    base: Callable[[StreamSpec], Path], recipe: Callable[..., TrainRecipe], tokenizer: TextTokenizer
) -> None:
    folder = base(stream_spec(tokenizer, StreamConfig(chunk_s=0.2, maximum="running")))
    still = OptimConfig(updates=1, lr=1e-12)
    chosen = recipe(model=None, start_from=folder, optim=still)
    found = load_any(run(chosen).model_folder)
    assert found.spec == ShardSet(chosen.data.sources[0].folder / "train").spec
    for name, weight in load_any(folder).model.state_dict().items():
        torch.testing.assert_close(found.model.state_dict()[name], weight, atol=1e-6, rtol=0)


def test_weights_of_other_features_do_not(
    base: Callable[[StreamSpec], Path], recipe: Callable[..., TrainRecipe], spec: StreamSpec
) -> None:
    other = replace(spec, front_end=replace(spec.front_end, f_max_hz=4_000.0))
    chosen = recipe(model=None, start_from=base(other))
    for refusing in (run, partial(training_plan, probe=False)):
        with pytest.raises(UserError, match=r"base and .*f_max_hz: 4000\.0 != 8000\.0"):
            refusing(chosen)
    assert not chosen.output.exists()  # a run that never began claims nothing


@pytest.mark.parametrize("form", ["omni", "thinker", "thinker, tied"])
def test_qwen_omni_starts_a_run_as_it_lies_there(
    form: str, tmp_path: Path, recipe: Callable[..., TrainRecipe], capfd: pytest.CaptureFixture[str]
) -> None:
    if form == "omni":
        folder = save_omni(tmp_path / "qwen")
    else:
        folder = save_thinker(tmp_path / "qwen", tied=form == "thinker, tied")
    stage = StageConfig(train=("encoder.proj.*",))
    done = run(recipe(model=None, start_from=folder, stage=stage))
    said = capfd.readouterr().err
    assert said.count("left out, the model has no place for them:") == 1
    left_out = ("thinker.visual.*", "talker.*", "token2wav.*") if form == "omni" else ("visual.*",)
    assert all(prefix in said for prefix in left_out)
    trained = load_any(done.model_folder).model.state_dict()
    for name, weight in load_any(folder).model.state_dict().items():
        assert torch.equal(trained[name], weight) == ("encoder.proj." not in name), name


@torch.no_grad()
def test_transformers_alone_reads_what_was_trained_from_qwen_omni(
    tmp_path: Path, recipe: Callable[..., TrainRecipe], spec: StreamSpec
) -> None:
    folder, thinker = save_omni(tmp_path / "qwen"), tmp_path / "thinker"
    done = run(recipe(model=None, start_from=folder, optim=OptimConfig(updates=2, lr=1e-3)))
    convert(done.model_folder, thinker, ConvertOptions(to="thinker", base=folder))
    theirs, found = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(
        thinker, dtype=torch.float32, output_loading_info=True
    )
    assert not any(found.values())  # missing, unexpected or of another shape
    ours, t = load_any(done.model_folder).model, spec.tokens
    mel = torch.randn(1, spec.front_end.n_mels, spec.time.frames_per_chunk)
    heard = [t.audio_pad] * spec.time.slots_per_chunk
    ids = torch.tensor([[t.user, t.audio_begin, *heard, t.audio_end, t.assistant, 99]])
    there = torch.ones(1, mel.shape[-1], dtype=torch.long)
    wanted = theirs.eval()(ids, mel, feature_attention_mask=there).logits
    logits = ours.logits(ours.hidden(ours.embed(ids, ours.encode(mel))))
    torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=1e-5)


def test_a_llama_with_a_whisper_starts_a_run(
    tmp_path: Path, recipe: Callable[..., TrainRecipe], capfd: pytest.CaptureFixture[str]
) -> None:
    folder = joined(tmp_path / "joined", llama(), "whisper")
    run(recipe(model=None, start_from=folder, optim=OptimConfig(updates=1)))
    said = capfd.readouterr().err
    assert "in no file, zero or a random projection: 9 (" in said
    assert "left out, the model has no place for them" in said


def test_rows_that_no_id_reaches_are_left_out(
    tmp_path: Path, recipe: Callable[..., TrainRecipe], spec: StreamSpec, tokenizer: TextTokenizer
) -> None:
    """The 7B model has 152 064 rows for a vocabulary of 151 936."""
    folder = save_omni(tmp_path / "padded", vocab_size=spec.tokens.vocab_size + 64)
    chosen = recipe(model=None, start_from=folder)
    begun = start(chosen, open_origin(chosen), StreamData(chosen.data, 0, 1), tokenizer)
    assert "left out: the last 64 rows of the vocabulary, which no id reaches" in begun.notes
    whole = load_any(folder).model.lm.lm_head.weight
    assert torch.equal(begun.model.lm.lm_head.weight, whole[: spec.tokens.vocab_size])
    short = save_omni(tmp_path / "short", vocab_size=spec.tokens.vocab_size - 64)
    with pytest.raises(UserError, match=r"tokens\.vocab_size: 960 != 1024"):
        run(recipe(model=None, start_from=short))


def test_every_number_is_read_once_and_no_random_one_is_left(
    base: Callable[[StreamSpec], Path], recipe: Callable[..., TrainRecipe], spec: StreamSpec,
    tokenizer: TextTokenizer,
) -> None:  # fmt: skip
    folder = base(spec)
    chosen = recipe(model=None, start_from=folder)
    model = start(chosen, open_origin(chosen), StreamData(chosen.data, 0, 1), tokenizer).model
    want = load_any(folder).model
    assert not any(t.is_meta for t in (*model.parameters(), *model.buffers()))
    for name, buffer in want.named_buffers():  # the tables of positions are not stored
        assert torch.equal(model.get_buffer(name), buffer), name
    for name, weight in want.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name


def test_control_tokens_that_reuse_the_vocabulary_start_at_the_mean(
    tmp_path: Path, recipe: Callable[..., TrainRecipe], spec: StreamSpec, tokenizer: TextTokenizer
) -> None:
    """The tiny vocabulary has entries of its own for all of them: nothing is re-used."""
    folder = save_omni(tmp_path / "qwen")
    chosen = recipe(model=None, start_from=folder, stage=StageConfig(new_rows="mean"))
    begun = start(chosen, open_origin(chosen), StreamData(chosen.data, 0, 1), tokenizer)
    assert begun.notes[-1].startswith("0 control tokens re-use")
    assert torch.equal(begun.model.lm.lm_head.weight, load_any(folder).model.lm.lm_head.weight)
