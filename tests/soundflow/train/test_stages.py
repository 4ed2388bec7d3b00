"""A stage trains what it names; everything else keeps its bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soundflow.errors import UserError
from soundflow.forms.load_any import load_any
from soundflow.model.config import ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel, empty_model
from soundflow.model.weights import save_checkpoint
from soundflow.protocol.spec import StreamSpec
from soundflow.text.tokenizer import TextTokenizer
from soundflow.train.recipe import LoraConfig, StageConfig, TrainRecipe
from soundflow.train.run import run
from soundflow.train.stages import (
    apply_stage,
    merge_stage,
    select,
    start_new_rows,
    trained_parameters,
)
from tests.soundflow.train.two_ranks import train

Recipes = Callable[..., TrainRecipe]

EMBEDDING, HEAD = "lm.model.embed_tokens.weight", "lm.lm_head.weight"
ROWS = StageConfig(train=(), rows=(EMBEDDING, HEAD))
STAGES = {
    "head rows and embedding rows": ROWS,
    "head and embedding rows": StageConfig(train=(HEAD,), rows=(EMBEDDING,)),
    "adapter": StageConfig(train=("encoder.proj.*",)),
    "adapter and language model": StageConfig(train=("encoder.proj.*", "lm.*")),
    "low rank": StageConfig(
        train=("encoder.proj.*",), lora=LoraConfig(4, 8.0, ("lm.*.q_proj", "lm.*.v_proj"))
    ),
}


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def sizes(request: pytest.FixtureRequest, small_model: ModelConfig) -> ModelConfig:
    return replace(small_model, lm=replace(small_model.lm, tied=request.param))


@pytest.fixture
def start_folder(
    tmp_path: Path, sizes: ModelConfig, spec: StreamSpec, tokenizer: TextTokenizer
) -> Path:
    torch.manual_seed(5)
    model = AudioInteractionModel(sizes, spec.tokens)
    save_checkpoint(tmp_path / "start", model, tokenizer, spec, TrainingFacts(99))
    return tmp_path / "start"


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> dict[str, set[int]]:
    """Of every tensor, the rows of which any bit changed; unchanged tensors are left out."""
    rows = {
        name: set((before[name] != after[name]).reshape(len(before[name]), -1).any(1).nonzero()
                  .flatten().tolist())
        for name in before
    }  # fmt: skip
    return {name: found for name, found in rows.items() if found}


@pytest.mark.parametrize("name", STAGES)
def test_everything_else_keeps_its_bits(
    name: str, recipe: Recipes, start_folder: Path, sizes: ModelConfig, spec: StreamSpec
) -> None:
    """Six updates with a large decay, which would move any row that the optimiser knows."""
    stage = STAGES[name]
    if sizes.lm.tied and HEAD in stage.train:
        pytest.skip("a tied head has no parameter of its own")
    if sizes.lm.tied:
        stage = replace(stage, rows=tuple(r for r in stage.rows if r != HEAD))
    base = recipe(model=None, start_from=start_folder, stage=stage)
    done = run(replace(base, optim=replace(base.optim, weight_decay=0.5)))
    before = load_any(start_folder).model.state_dict()
    found = moved(before, load_any(done.model_folder).model.state_dict())
    control = spec.tokens.control_ids
    if name == "head rows and embedding rows":
        assert found.keys() == {EMBEDDING, HEAD}
        assert found[EMBEDDING] == found[HEAD] == control
    elif name == "head and embedding rows":
        assert found.keys() == {EMBEDDING, HEAD}
        assert found[EMBEDDING] == control
        assert len(found[HEAD]) == len(before[HEAD])
    elif name == "adapter":
        assert found.keys() == {"encoder.proj.weight", "encoder.proj.bias"}
    elif name == "adapter and language model":
        assert found.keys() == {
            n for n in before if n.startswith("lm.") or n.startswith("encoder.proj.")
        }
    else:
        layers = [f"lm.model.layers.{i}.self_attn.{p}_proj.weight" for i in (0, 1) for p in "qv"]
        assert found.keys() == {*layers, "encoder.proj.weight", "encoder.proj.bias"}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_changes_no_number_until_it_is_trained(
    name: str, sizes: ModelConfig, spec: StreamSpec
) -> None:
    if sizes.lm.tied and HEAD in (*STAGES[name].train, *STAGES[name].rows):
        pytest.skip("a tied head has no parameter of its own")
    torch.manual_seed(0)
    model = AudioInteractionModel(sizes, spec.tokens).eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    ids = torch.arange(64)[None]
    ids[(ids == spec.tokens.pad) | (ids == spec.tokens.audio_pad)] = 40

    def logits() -> torch.Tensor:
        with torch.no_grad():
            return model.logits(model.hidden(model.embed(ids)))

    want = logits()
    apply_stage(model, STAGES[name])
    torch.testing.assert_close(logits(), want, atol=1e-6, rtol=0)
    merge_stage(model)
    assert torch.equal(logits(), want)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[k], before[k]) for k in before)
    merge_stage(model)  # again: nothing


def test_rows_are_a_small_parameter_shared_by_a_tied_head(
    small_model: ModelConfig, spec: StreamSpec
) -> None:
    model = AudioInteractionModel(small_model, spec.tokens)
    apply_stage(model, StageConfig(train=(), rows=(EMBEDDING,)))
    n_rows, width = len(spec.tokens.control_ids), small_model.lm.width
    assert trained_parameters(model) == n_rows * width
    hidden = torch.randn(5, width)
    with torch.no_grad():
        model.get_submodule("lm.lm_head").rows += 1.0
        weight = model.lm.lm_head.weight
        torch.testing.assert_close(model.logits(hidden), hidden @ weight.T)
        assert torch.equal(model.embed(torch.tensor([[spec.tokens.user]]))[0, 0],
                           weight[spec.tokens.user])  # fmt: skip
    merge_stage(model)
    assert torch.equal(model.lm.lm_head.weight, weight)
    assert model.lm.lm_head.weight is model.lm.model.embed_tokens.weight


def test_a_row_gets_the_gradient_that_the_whole_matrix_would(
    sizes: ModelConfig, spec: StreamSpec
) -> None:
    model = AudioInteractionModel(sizes, spec.tokens)
    ids = torch.tensor([[spec.tokens.online, 60, spec.tokens.assistant, 61]])

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        model.logits(model.hidden(model.embed(ids))).logsumexp(-1).sum().backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    whole = gradients()
    rows = (EMBEDDING,) if sizes.lm.tied else (EMBEDDING, HEAD)
    apply_stage(model, StageConfig(train=(), rows=rows))
    control = sorted(spec.tokens.control_ids)
    for name, found in gradients().items():
        want = whole[name.removesuffix("rows") + "weight"][control]
        torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("stage", "why", "remedy"),
    [
        (StageConfig(train=("encoder.proj.*", "lm.lmhead.*")), r"stage\.train\[1\]: 'lm.lmhead",
         "did you mean 'lm.lm_head.*'"),
        (StageConfig(train=("lm.model.layers.*.self_atn.q_proj.weight",)), "matches nothing",
         "did you mean 'lm.model.layers.*.self_attn.q_proj.weight'"),
        (StageConfig(train=(), rows=("lm.model.norm.weight",)), r"stage\.rows\[0\]",
         "did you mean 'lm.model.embed_tokens.weight'"),
        (StageConfig(train=("lm.*",), rows=(EMBEDDING,)), "trained as a whole", "leave it out"),
        (StageConfig(train=(), lora=LoraConfig(2, 4.0, ("*.self_attn.qproj",))),
         r"stage\.lora\.targets\[0\]", "q_proj"),
        (StageConfig(train=("lm.*",), lora=LoraConfig(2, 4.0, ("lm.*.q_proj",))),
         "trained as a whole", "leave it out"),
    ],
)  # fmt: skip
def test_a_pattern_that_matches_nothing_is_named(
    stage: StageConfig, why: str, remedy: str, small_model: ModelConfig, spec: StreamSpec
) -> None:
    untied = replace(small_model, lm=replace(small_model.lm, tied=False))
    with pytest.raises(UserError, match=why) as caught:
        select(empty_model(untied, spec.tokens), stage)
    assert remedy in caught.value.hint


def test_a_tied_head_is_named_by_its_embedding(small_model: ModelConfig, spec: StreamSpec) -> None:
    with pytest.raises(UserError, match="matches nothing") as caught:
        select(empty_model(small_model, spec.tokens), StageConfig(train=(HEAD,)))
    assert f"name {EMBEDDING}" in caught.value.hint


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing would be trained"):
        StageConfig(train=())


def test_new_rows_start_at_the_mean_of_the_others(sizes: ModelConfig, spec: StreamSpec) -> None:
    model = AudioInteractionModel(sizes, spec.tokens)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    new = [3, 5]
    start_new_rows(model, new)
    names = {EMBEDDING} if sizes.lm.tied else {EMBEDDING, HEAD}
    for name, p in model.named_parameters():
        others = [i for i in range(len(p)) if not (name in names and i in new)]
        assert torch.equal(p[others], before[name][others])
        if name in names:
            mean = before[name][others].mean(0)
            torch.testing.assert_close(p[new], mean.expand(2, -1), atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_two_processes_of_zero2_keep_every_other_bit(
    recipe: Recipes, tmp_path: Path, small_model: ModelConfig, spec: StreamSpec,
    tokenizer: TextTokenizer,
) -> None:  # fmt: skip
    sizes = replace(small_model, lm=replace(small_model.lm, tied=False))
    torch.manual_seed(5)
    model = AudioInteractionModel(sizes, spec.tokens)
    save_checkpoint(tmp_path / "start", model, tokenizer, spec, TrainingFacts(99))
    base = recipe("zero2", model=None, start_from=tmp_path / "start", stage=ROWS)
    compute = replace(base.compute, devices=2, strategy="zero2")
    train(replace(base, compute=compute), tmp_path)
    before = load_any(tmp_path / "start").model.state_dict()
    found = moved(before, load_any(base.output / "model").model.state_dict())
    assert found.keys() == {EMBEDDING, HEAD}
    assert found[EMBEDDING] <= spec.tokens.control_ids
    assert found[HEAD] <= spec.tokens.control_ids
