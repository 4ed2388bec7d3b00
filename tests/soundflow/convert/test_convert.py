"""Every form there and back, tensor for tensor, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Qwen2_5OmniThinkerForConditionalGeneration,
)
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder

from soundflow.convert.run import ConvertOptions, convert, parse_options
from soundflow.errors import UserError
from soundflow.forms.folders import open_folder, recognise
from soundflow.forms.load_any import load_any
from soundflow.forms.model_configs import mrope_section
from soundflow.model.config import LmConfig
from soundflow.model.stored_tensors import from_safetensors
from tests.soundflow.convert.omni import save_thinker


def same_tensors(a: Path, b: Path) -> None:
    """Every tensor of both, under our names, equal to the last bit."""
    left, right = open_folder(a), open_folder(b)
    assert set(left.view) == set(right.view)
    for name in left.view:
        x, y = left.view.read(name), right.view.read(name)
        assert x.dtype == y.dtype, name
        assert torch.equal(x, y), name
    assert left.spec == right.spec
    assert left.model == right.model


@pytest.fixture(scope="session")
def release(shared: Path) -> Path:
    return shared / "goldens/ckpt"


@pytest.mark.parametrize("source", ["thinker", "omni", "release", "tiny"])
@pytest.mark.parametrize("to", ["release", "thinker", "plain"])
def test_there_and_back_is_the_same_checkpoint(
    request: pytest.FixtureRequest, tmp_path: Path, source: str, to: str
) -> None:
    start: Path = request.getfixturevalue(source)
    first = convert(start, tmp_path / "ours")
    assert first.source_form == ("soundflow" if source == "tiny" else source)
    there = convert(
        tmp_path / "ours",
        tmp_path / to,
        parse_options([f"to={to}", "shard_gb=0.005" if source == "release" else "shard_gb=0.0001"]),
    )
    back = convert(tmp_path / to, tmp_path / "back")
    assert there.form == recognise(tmp_path / to) == back.source_form
    if source == "tiny" and to == "release":
        # A release writes its head out, so a tied model comes back untied: the same numbers.
        assert not load_any(tmp_path / "back").model.config.lm.tied
    else:
        same_tensors(tmp_path / "ours", tmp_path / "back")
    for step in (first, there, back):
        assert step.max_logit_difference is not None
        assert step.logit_scale is not None
        assert step.logit_scale > 1.0
        assert step.max_logit_difference <= 1e-5 * step.logit_scale
        assert step.same_choices
    ours, again = load_any(tmp_path / "ours"), load_any(tmp_path / "back")
    assert ours.facts == again.facts
    assert ours.tokenizer.fingerprint == again.tokenizer.fingerprint


def test_transformers_reads_what_we_write(thinker: Path, tmp_path: Path) -> None:
    """Stock classes, every key found, and the logits of the Thinker that we began with."""
    convert(thinker, tmp_path / "ours")
    convert(tmp_path / "ours", tmp_path / "plain", ConvertOptions(to="plain"))
    convert(tmp_path / "ours", tmp_path / "thinker", ConvertOptions(to="thinker", base=thinker))
    kind = Qwen2_5OmniThinkerForConditionalGeneration
    start = kind.from_pretrained(thinker, dtype=torch.float32).eval()
    whole, info = kind.from_pretrained(
        tmp_path / "thinker", dtype=torch.float32, output_loading_info=True
    )
    assert not any(info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for (name, a), (_, b) in zip(
        start.state_dict().items(), whole.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name
    lm, info = AutoModelForCausalLM.from_pretrained(
        tmp_path / "plain", dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"]
    _, info = Qwen2_5OmniAudioEncoder.from_pretrained(
        tmp_path / "plain/audio_tower", output_loading_info=True
    )
    assert not info["missing_keys"]
    ids = torch.randint(0, 1024, (1, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = start(input_ids=ids).logits
        assert theirs.abs().max() > 1
        torch.testing.assert_close(lm.eval()(input_ids=ids).logits, theirs, atol=2e-5, rtol=0)
        ours = load_any(tmp_path / "ours").model
        mine = ours.logits(ours.hidden(ours.embed(ids)))
    torch.testing.assert_close(mine, theirs, atol=2e-5, rtol=0)


def test_a_tied_thinker(tmp_path: Path) -> None:
    start = save_thinker(tmp_path / "start", tied=True)
    assert "lm_head.weight" not in from_safetensors(start)
    convert(start, tmp_path / "ours")
    assert load_any(tmp_path / "ours").model.config.lm.tied
    convert(tmp_path / "ours", tmp_path / "back", ConvertOptions(to="thinker"))
    assert "lm_head.weight" not in from_safetensors(tmp_path / "back")


def test_what_the_published_code_opens(release: Path, tmp_path: Path) -> None:
    """The release layout file by file, as the model card lists it."""
    convert(release, tmp_path / "ours")
    options = parse_options(["to=release", "shard_gb=0.01", "dtype=float32"])
    result = convert(tmp_path / "ours", tmp_path / "out", options)
    assert {
        "model.safetensors.index.json", "config.json", "generation_config.json",
        "model_config.yaml", "hyperparameters.yaml", "tokenizer.json", "tokenizer_config.json",
        "audiointeraction_ChunkwisedEncoder.pth", "qwen25OmniConfig/config.json",
        "model-00001-of-00004.safetensors",
    } <= set(result.sha256)  # fmt: skip
    tower = torch.load(tmp_path / "out/audiointeraction_ChunkwisedEncoder.pth", weights_only=True)
    wanted = load_file(release / "audiointeraction_ChunkwisedEncoder.safetensors")
    assert tower.keys() == wanted.keys()
    assert all(torch.equal(tower[k], wanted[k]) for k in wanted)
    index = json.loads((release / "model.safetensors.index.json").read_text())
    written = from_safetensors(tmp_path / "out")
    assert written.keys() == index["weight_map"].keys()
    assert {t.dtype for t in written.values()} == {torch.float32}


@pytest.mark.parametrize("to", ["soundflow", "release", "thinker", "plain"])
def test_what_a_user_finds_beside_the_weights(tiny: Path, tmp_path: Path, to: str) -> None:
    source = copy_of(tiny, tmp_path)
    (source / "calibration.json").write_text('{"threshold": 0.7}')
    config = json.loads((source / "config.json").read_text())
    config["training"] |= {"updates": 80, "metrics": {"event_f1": 0.91234, "loss_reply": 0.25}}
    (source / "config.json").write_text(json.dumps(config))
    done = convert(source, tmp_path / "out", parse_options([f"to={to}"]))
    text = (tmp_path / "out/README.md").read_text()
    for said in (
        "| speaks from | p(response) of 0.7, calibrated |", "| instruction | `listen` |",
        "| updates | 80 |", "| chunk | 0.4 s at 16,000 Hz, 10 audio slots |",
        "| event F1, decoded live | 0.9123 |", "| loss of replies (nats) | 0.25 |",
    ):  # fmt: skip
        assert said in text
    generation = json.loads((tmp_path / "out/generation_config.json").read_text())
    assert (generation["temperature"], generation["top_k"]) == (0.3, 3)
    assert {"README.md", "generation_config.json", "calibration.json"} <= set(done.sha256)
    again = convert(tmp_path / "out", tmp_path / "again")
    assert (tmp_path / "again/calibration.json").read_text() == '{"threshold": 0.7}'
    assert again.same_choices


def test_the_older_name_of_the_tower(release: Path, tmp_path: Path) -> None:
    folder = copy_of(release, tmp_path)
    old = folder / "audiointeraction_ChunkwisedEncoder.pth"
    old.rename(folder / "MiniOmni3_ChunkwisedEncoder.pth")
    same_tensors(release, folder)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_dtype_on_request(tiny: Path, tmp_path: Path, dtype: str) -> None:
    result = convert(tiny, tmp_path / "out", parse_options([f"dtype={dtype}"]))
    assert {t.dtype for t in from_safetensors(tmp_path / "out").values()} == {getattr(torch, dtype)}
    assert (result.max_logit_difference == 0) == (dtype == "float32")


def test_loading_any_form_is_converting_it(release: Path, tmp_path: Path) -> None:
    convert(release, tmp_path / "ours")
    direct, converted = load_any(release), load_any(tmp_path / "ours")
    assert direct.spec == converted.spec
    assert direct.facts == converted.facts
    for (name, a), (_, b) in zip(
        direct.model.state_dict().items(), converted.model.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name


def copy_of(folder: Path, tmp_path: Path) -> Path:
    target = tmp_path / "copy"
    shutil.copytree(folder, target)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def edit_shard(folder: Path, **changes: torch.Tensor | None) -> None:
    """Renames, drops or replaces tensors of the single file of ``folder``."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name, value in changes.items():
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    save_file(tensors, file)


def refused(source: Path, tmp_path: Path, *words: str) -> str:
    """Converts, expects a user's error, and that nothing is left behind."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError) as caught:
        convert(source, tmp_path / "dest", parse_options(words))
    assert sorted(tmp_path.iterdir()) == before
    return str(caught.value)


def test_a_tensor_that_matches_nothing_or_is_missing(tiny: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny, tmp_path)
    edit_shard(folder, **{"lm.stray.weight": torch.zeros(3)})
    assert "1 tensors match nothing: lm.stray.weight" in refused(folder, tmp_path)
    edit_shard(folder, **{"lm.stray.weight": None, "lm.model.norm.weight": None})
    assert "1 are missing: lm.model.norm.weight" in refused(folder, tmp_path)
    edit_shard(folder, **{"lm.model.norm.weight": torch.zeros(7)})
    message = refused(folder, tmp_path)
    assert "(7,)" in message
    assert "(32,)" in message


def test_a_value_that_does_not_fit(tiny: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny, tmp_path)
    edit_shard(folder, **{"lm.model.norm.weight": torch.full((32,), 1e6)})
    assert "overflows torch.float16" in refused(folder, tmp_path, "dtype=float16")


@pytest.mark.parametrize("form", ["tiny", "thinker", "release"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_are_named(
    form: str, value: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = copy_of(request.getfixturevalue(form), tmp_path)
    ends = {"tiny": "norm.weight", "thinker": "mlp.up_proj.weight", "release": "attn.qkv.weight"}
    key, stored = next(
        (key, stored)
        for key, stored in from_safetensors(folder).items()
        if key.endswith(ends[form])
    )
    tensors = load_file(stored.file)
    tensors[key].view(-1)[-1] = value
    save_file(tensors, stored.file)
    said = f"{stored.file}: {key} holds NaN or infinity"
    assert said in refused(folder, tmp_path)
    with pytest.raises(UserError, match=re.escape(said)):
        load_any(folder)


def test_a_result_that_speaks_otherwise_is_not_kept(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong mapping (gate and up exchanged) passes every shape check; the probe sees it."""
    from soundflow.forms import tensor_names

    layer = dict(tensor_names._RELEASE_LAYER)
    layer["mlp.fc_1.weight"], layer["mlp.fc_2.weight"] = (
        layer["mlp.fc_2.weight"], layer["mlp.fc_1.weight"],
    )  # fmt: skip
    monkeypatch.setattr(tensor_names, "_RELEASE_LAYER", layer)
    assert "logits differ" in refused(tiny, tmp_path, "to=release")


def test_a_pth_that_could_run_code_is_not_opened(release: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("this must never be printed",)

    folder = copy_of(release, tmp_path)
    file = folder / "audiointeraction_ChunkwisedEncoder.pth"
    torch.save({"conv1.weight": Payload()}, file)
    assert "more than tensors" in refused(folder, tmp_path)
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}}, file)
    assert "flat state dict" in refused(folder, tmp_path)
    file.write_bytes(b"no")
    assert "cannot be read" in refused(folder, tmp_path)
    file.unlink()
    assert "none is there" in refused(folder, tmp_path)


def test_damage_is_named(thinker: Path, tiny: Path, release: Path, tmp_path: Path) -> None:
    folder = copy_of(thinker, tmp_path)
    shard = sorted(folder.glob("model-*.safetensors"))[0]
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    assert shard.name in refused(folder, tmp_path)
    shard.unlink()
    assert "no such file" in refused(folder, tmp_path)
    shutil.rmtree(folder)
    folder = copy_of(release, tmp_path)
    config = folder / "model_config.yaml"
    config.write_text(config.read_text().replace("RMSNorm", "LayerNorm"))
    assert "norm_class_name is 'LayerNorm'" in refused(folder, tmp_path)
    config.write_text("n_embd: [")
    assert "model_config.yaml" in refused(folder, tmp_path)
    assert "not a checkpoint" in refused(tmp_path, tmp_path)
    assert "no such checkpoint" in refused(tmp_path / "nowhere", tmp_path)


def test_checksums_are_kept_and_looked_at(tiny: Path, tmp_path: Path) -> None:
    convert(tiny, tmp_path / "one")
    convert(tmp_path / "one", tmp_path / "two")
    file = tmp_path / "two/model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert "checksum" in refused(tmp_path / "two", tmp_path)


def test_a_language_model_without_ears(thinker: Path, tmp_path: Path) -> None:
    convert(thinker, tmp_path / "plain", ConvertOptions(to="plain"))
    shutil.rmtree(tmp_path / "plain/audio_tower")
    (tmp_path / "plain/conversion.json").unlink()
    assert "without an audio tower" in refused(tmp_path / "plain", tmp_path)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["to=relase"], "release"),
        (["dtipe=keep"], "dtype"),
        (["shard_gb=0"], "shard_gb"),
        (["base=x"], "to=thinker"),
        (["verify"], "key=value"),
    ],
)
def test_misspelt_options(words: list[str], why: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_options(words)
    assert why in str(caught.value)


def test_a_destination_with_something_in_it(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest/precious").write_text("x")
    assert "is not empty" in refused(tiny, tmp_path)


def test_configs_as_older_transformers_wrote_them(thinker: Path, tmp_path: Path) -> None:
    """Qwen2.5-Omni's own config.json keeps the rotary base beside the sizes."""
    folder = copy_of(thinker, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    rope = config["text_config"].pop("rope_parameters")
    config["text_config"]["rope_theta"] = 500_000.0
    config["text_config"]["rope_scaling"] = {
        "mrope_section": rope["mrope_section"],
        "type": "mrope",
    }
    (folder / "config.json").write_text(json.dumps(config))
    assert open_folder(folder).model.lm.rope_theta == 500_000.0
    config["text_config"]["rope_scaling"] = {"rope_type": "yarn", "factor": 4.0}
    (folder / "config.json").write_text(json.dumps(config))
    assert "rope_type 'yarn'" in refused(folder, tmp_path)


def test_sizes_of_the_published_base() -> None:
    """Qwen2.5-Omni-3B shares its frequencies 16, 24, 24."""
    assert mrope_section(LmConfig()) == [16, 24, 24]
