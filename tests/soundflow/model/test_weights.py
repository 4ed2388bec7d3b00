"""A checkpoint reads back bit for bit, and whatever does not fit is named."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from soundflow.errors import UserError
from soundflow.forms.load_any import load_any
from soundflow.model.config import ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weight_files import INDEX, WEIGHTS
from soundflow.model.weights import save_checkpoint, weights_fingerprint
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.spec import StreamSpec
from soundflow.text.tokenizer import TextTokenizer

FACTS = TrainingFacts(trained_positions=99)
Make = Callable[[bool], AudioInteractionModel]


@pytest.fixture
def make(small_model: ModelConfig, spec: StreamSpec) -> Make:
    def build(tied: bool) -> AudioInteractionModel:
        torch.manual_seed(3)
        config = replace(small_model, lm=replace(small_model.lm, tied=tied))
        return AudioInteractionModel(config, spec.tokens).eval()

    return build


@pytest.mark.parametrize("tied", [True, False])
def test_reads_back_bit_for_bit(
    tmp_path: Path, make: Make, tokenizer: TextTokenizer, spec: StreamSpec, tied: bool
) -> None:
    model = make(tied)
    save_checkpoint(tmp_path / "m", model, tokenizer, spec, TrainingFacts(99))
    found = load_any(tmp_path / "m")
    assert found.spec == spec
    assert found.facts == TrainingFacts(99)
    assert found.tokenizer.encode("Light on.") == tokenizer.encode("Light on.")
    assert found.model.config == model.config
    assert not found.model.training
    for (name, a), (_, b) in zip(
        model.state_dict().items(), found.model.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name
    shared = found.model.lm.lm_head.weight is found.model.lm.model.embed_tokens.weight
    assert shared == tied
    assert ("lm.lm_head.weight" in load_file(tmp_path / "m" / WEIGHTS)) != tied


def test_tables_of_positions_stay_float32(
    tmp_path: Path, make: Make, tokenizer: TextTokenizer, spec: StreamSpec
) -> None:
    save_checkpoint(tmp_path / "m", make(True), tokenizer, spec, FACTS)
    model = load_any(tmp_path / "m", dtype=torch.bfloat16).model
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert {b.dtype for b in model.buffers()} == {torch.float32}


def test_saving_again_replaces_the_whole_folder(
    tmp_path: Path, make: Make, tokenizer: TextTokenizer, spec: StreamSpec
) -> None:
    save_checkpoint(tmp_path / "m", make(False), tokenizer, spec, TrainingFacts(99, updates=1))
    (tmp_path / "m" / "stale").touch()
    save_checkpoint(tmp_path / "m", make(True), tokenizer, spec, TrainingFacts(99, updates=2))
    assert load_any(tmp_path / "m").facts.updates == 2
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    assert not (tmp_path / "m" / "stale").exists()


def test_a_calibration_stays_until_the_weights_are_others(
    tmp_path: Path, make: Make, tokenizer: TextTokenizer, spec: StreamSpec
) -> None:
    def saved(model: AudioInteractionModel, threshold: float) -> float:
        save_checkpoint(tmp_path / "m", model, tokenizer, spec, FACTS, {"threshold": threshold})
        return json.loads((tmp_path / "m" / "calibration.json").read_text())["threshold"]

    model = make(True)
    assert saved(model, 0.3) == 0.3
    assert saved(model, 0.4) == 0.3, "it may be better than that of a validation"
    with torch.no_grad():
        model.lm.model.norm.weight[:] += 0.5
    assert saved(model, 0.4) == 0.4


def test_a_tied_matrix_written_twice_is_still_the_same_weights(make: Make) -> None:
    """Layouts without tied matrices keep the calibration."""
    tied, untied = make(True), make(False)
    with torch.no_grad():
        untied.load_state_dict(tied.state_dict())
    assert weights_fingerprint(untied) == weights_fingerprint(tied)
    with torch.no_grad():
        untied.lm.lm_head.weight[:] += 0.5
    assert weights_fingerprint(untied) != weights_fingerprint(tied)


@pytest.mark.parametrize("tied", [True, False])
def test_weights_beyond_the_size_of_a_file_are_shards_with_an_index(
    tmp_path: Path, make: Make, tokenizer: TextTokenizer, spec: StreamSpec, tied: bool
) -> None:
    model = make(tied)
    limit = 200_000
    save_checkpoint(tmp_path / "m", model, tokenizer, spec, FACTS, shard_bytes=limit)
    index = json.loads((tmp_path / "m" / INDEX).read_text())
    files = sorted((tmp_path / "m").glob("*.safetensors"))
    assert [f.name for f in files] == sorted(set(index["weight_map"].values()))
    assert files[0].name == f"model-00001-of-{len(files):05}.safetensors"
    stored = {name: load_file(tmp_path / "m" / f)[name] for name, f in index["weight_map"].items()}
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in stored.values())
    for file in files:
        held = load_file(file)
        assert len(held) == 1 or sum(t.nbytes for t in held.values()) <= limit
    assert ("lm.lm_head.weight" in stored) != tied
    found = load_any(tmp_path / "m").model.state_dict()
    assert all(torch.equal(found[n], t) for n, t in model.state_dict().items())
    files[1].write_bytes(files[1].read_bytes()[:-100])
    with pytest.raises(UserError, match=rf"{files[1].name}: cannot be read"):
        load_any(tmp_path / "m")


def test_weights_that_the_disk_changed_are_no_checkpoint(
    tmp_path: Path,
    make: Make,
    tokenizer: TextTokenizer,
    spec: StreamSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def flips_a_bit(tensors: dict[str, torch.Tensor], path: Path, metadata: object) -> None:
        save_file(tensors, path)
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)

    monkeypatch.setattr("soundflow.model.weight_files.save_file", flips_a_bit)
    with pytest.raises(UserError, match="differs from what was written"):
        save_checkpoint(tmp_path / "m", make(True), tokenizer, spec, FACTS)
    assert list(tmp_path.iterdir()) == []


def _edit_json(path: Path, edit: Callable[[dict], None]) -> None:
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def _truncate(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def _drop_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors.pop("encoder.proj.bias")
    save_file(tensors, folder / WEIGHTS)


def _quantised(folder: Path, dtype: torch.dtype = torch.int8) -> None:
    tensors = {name: t.to(dtype) for name, t in load_file(folder / WEIGHTS).items()}
    save_file(tensors, folder / WEIGHTS)


def _wider(folder: Path) -> None:
    def edit(data: dict) -> None:
        data["model"]["lm"]["ffn_width"] += 8

    _edit_json(folder / "config.json", edit)


def _other_front_end(folder: Path) -> None:
    def edit(data: dict) -> None:
        data["spec"]["front_end"]["maximum"] = "clip"

    _edit_json(folder / "spec.json", edit)


def _unknown_key(folder: Path) -> None:
    _edit_json(folder / "config.json", lambda d: d["model"]["lm"].update(depth=3))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, "cannot be read"),
        (_drop_a_tensor, "1 are missing: encoder.proj.bias"),
        (_quantised, "has the type I8"),
        (partial(_quantised, dtype=torch.float8_e4m3fn), "has the type F8_E4M3"),
        (_wider, "shape"),
        (_other_front_end, "fingerprint"),
        (_unknown_key, "depth"),
        (lambda f: (f / "tokenizer.json").unlink(), "no such tokenizer"),
        (lambda f: (f / "config.json").unlink(), "config.json: no such file"),
        (lambda f: (f / WEIGHTS).unlink(), "holds neither"),
        (lambda f: (f / "spec.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "spec.json").write_text('{"spec": []}'), "spec.json: stream spec cannot"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "nested too deeply"),
    ],
)
def test_damage_is_named(
    tmp_path: Path, make: Make, tokenizer: TextTokenizer, spec: StreamSpec, damage, message: str
) -> None:
    save_checkpoint(tmp_path / "m", make(True), tokenizer, spec, FACTS)
    damage(tmp_path / "m")
    with pytest.raises(UserError, match=message):
        load_any(tmp_path / "m")


def _without(*keys: str) -> Callable[[dict], None]:
    def edit(data: dict) -> None:
        for key in keys[:-1]:
            data = data[key]
        data.pop(keys[-1])

    return edit


def _with(value: object, *keys: str) -> Callable[[dict], None]:
    def edit(data: dict) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return edit


POSITIONS = ("training", "trained_positions")
MANY, WIDE = 2_000, 1 << 18  # the largest that a config may say


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_without("training"), "training: expected a mapping"),
        (_without(*POSITIONS), "training: trained_positions"),
        (_with("99", *POSITIONS), "training: trained_positions"),
        (_with(9.5, *POSITIONS), "training: trained_positions"),
        (_with(-3, *POSITIONS), "training: trained_positions"),
        (_with(3, *POSITIONS), "training.trained_positions: 3, a prefix and one chunk take"),
        (_with(7, "training", "system"), "training: system"),
        (_with({"f1": "high"}, "training", "metrics"), "training: metrics"),
        (_with([], "training"), "training: expected a mapping"),
        (_with(1, "training", "colour"), "colour"),
        (_without("model"), "model: expected a mapping"),
        (_with([1], "model"), "model: expected a mapping"),
        (_without("model", "lm", "layers"), "model.lm.layers: is missing"),
        (_without("model", "audio_encoder"), "audio_encoder"),
        (_with("2", "model", "lm", "layers"), "lm.layers"),
        (_with(MANY, "model", "lm", "layers"), "model: its sizes need"),
        (_with(MANY, "model", "audio_encoder", "layers"), "model: its sizes need"),
        (_with(WIDE, "model", "lm", "ffn_width"), "model: its sizes need"),
        (_with(WIDE, "model", "lm", "width"), "model: its sizes need"),
        (_with(WIDE, "model", "audio_encoder", "mel_bins"), "model: its sizes need"),
        (_with(1 << 30, "model", "audio_encoder", "max_positions"), "max_positions"),
        (_with(4, "model", "audio_encoder", "max_positions"), "audio_encoder.max_positions is 4"),
    ],
)
def test_a_damaged_config_is_one_line_with_file_and_field(
    tmp_path: Path, make: Make, tokenizer: TextTokenizer, spec: StreamSpec,
    monkeypatch: pytest.MonkeyPatch, edit: Callable[[dict], None], said: str,
) -> None:  # fmt: skip
    save_checkpoint(tmp_path / "m", make(True), tokenizer, spec, FACTS)
    _edit_json(tmp_path / "m" / "config.json", edit)
    never = lambda *_: pytest.fail("memory was asked for")  # noqa: E731
    monkeypatch.setattr("soundflow.forms.load_any.empty_model", never)
    with pytest.raises(UserError) as error:
        load_any(tmp_path / "m")
    assert said in error.value.message
    assert "\n" not in error.value.message
    assert "config.json" in error.value.message


def test_a_list_where_a_mapping_belongs_is_named(
    tmp_path: Path, make: Make, tokenizer: TextTokenizer, spec: StreamSpec
) -> None:
    save_checkpoint(tmp_path / "m", make(True), tokenizer, spec, FACTS)
    for name in ("config.json", "spec.json"):
        kept = (tmp_path / "m" / name).read_text()
        (tmp_path / "m" / name).write_text("[1, 2]")
        with pytest.raises(UserError, match=f"{name}: expected a JSON object"):
            load_any(tmp_path / "m")
        (tmp_path / "m" / name).write_text(kept)


def test_whoever_may_read_the_folder_may_read_the_weights(
    tmp_path: Path, make: Make, tokenizer: TextTokenizer, spec: StreamSpec
) -> None:
    before = os.umask(0o027)
    try:
        save_checkpoint(tmp_path / "m", make(True), tokenizer, spec, FACTS)
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "m").iterdir()}
    assert set(modes.values()) == {0o640}, modes


def test_weights_of_another_spec_are_refused(
    tmp_path: Path, make: Make, tokenizer: TextTokenizer, spec: StreamSpec
) -> None:
    other = replace(spec, front_end=FrontEnd(maximum="clip"))
    save_checkpoint(tmp_path / "a", make(True), tokenizer, spec, FACTS)
    save_checkpoint(tmp_path / "b", make(True), tokenizer, other, FACTS)
    (tmp_path / "a" / "spec.json").write_bytes((tmp_path / "b" / "spec.json").read_bytes())
    with pytest.raises(UserError, match="do not mix"):
        load_any(tmp_path / "a")
    other = replace(spec, tokenizer="0" * 16)
    with pytest.raises(UserError, match="the spec names"):
        save_checkpoint(tmp_path / "c", make(True), tokenizer, other, FACTS)
    assert not (tmp_path / "c").exists()
