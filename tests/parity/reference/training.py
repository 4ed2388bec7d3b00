"""One training step beside the reference's: losses, gradients, weights after the update."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from soundflow.forms import tensor_names
from soundflow.forms.load_any import load_any
from soundflow.interop.training_rows import TrainingRow, read_training_rows
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.layout import Role
from soundflow.protocol.tokens import TokenTable
from soundflow.train.loss import cross_entropy
from tests.parity.reference.features import gap
from tests.parity.reference.rows import Row

VOCABULARY = 151_936
SETS = {
    "online": ("online/step4.jsonl", "online/features.safetensors"),
    "offline": ("offline/output.jsonl", "offline/features.safetensors"),
}


def training_rows(goldens: Path) -> Iterator[Row]:
    """Logits are the reference's; the cross-entropy over them is also held to float64.

    The reference added the exponentials of the vocabulary in float32, one after another in each
    lane of a vector register of 8 or more: V / 8 roundings of 2**-24, on one processor up, on
    another down. By that share its softmax may be off, hence each cross-entropy (in nats) and,
    times their size, the gradients.
    """
    gold = load_file(goldens / "train_step.safetensors")
    told = json.loads((goldens / "train_step.json").read_text())
    names = ("loss", "nats", "truth", "logits", "norm", "grad", "after")
    worst = dict.fromkeys(names, 0.0)
    for name in SETS:
        mine = {k.removeprefix(f"{name}."): v for k, v in gold.items() if k.startswith(name)}
        for key, value in _step(goldens, name, mine, gold["logits_ids"], told[name]).items():
            worst[key] = max(worst[key], value)
    summed = VOCABULARY / 8 * 2**-24
    largest = max(float(v.abs().max()) for k, v in gold.items() if ".grad." in k)
    norm = max(max(step["grad_norms"].values()) for step in told.values())
    yield Row("training: logits at each target", "reference", worst["logits"], 1e-4)
    yield Row("training: cross-entropy of each target, nats", "float64", worst["truth"], 2e-5)
    yield Row("training: cross-entropy of each target, nats", "reference", worst["nats"], summed)
    yield Row("training: loss of the batch", "reference", worst["loss"], summed)
    yield Row(
        "training: gradients (QKV, last norm, ASSISTANT row)", "reference",
        worst["grad"], summed * largest,
    )  # fmt: skip
    yield Row("training: gradient norm of each tensor", "reference", worst["norm"], summed * norm)
    yield Row("training: weights after clipping and AdamW", "reference", worst["after"], 1e-5)


def _step(
    goldens: Path, name: str, gold: Mapping[str, Tensor], subset: Tensor, told: Mapping[str, object]
) -> dict[str, float]:
    checkpoint = load_any(goldens / "ckpt")
    model, table = checkpoint.model, checkpoint.spec.tokens
    rows_file, features_file = SETS[name]
    rows = list(read_training_rows(goldens / rows_file, table))
    features = load_file(goldens / features_file)
    slots = torch.cat([features[str(r.index)] for r in rows if r.audio_spans])
    ids, roles = _pad(rows, table)
    model.encoder.requires_grad_(False)
    hidden = model.hidden(model.embed(ids, slots))[:, :-1]
    supervised = roles[:, 1:] != Role.CONTEXT
    assert torch.equal(supervised.nonzero(), gold["sup_index"])
    nats = cross_entropy(model, hidden[supervised], ids[:, 1:][supervised])
    with torch.no_grad():
        logits = model.logits(hidden[supervised])
        truth = functional.cross_entropy(logits.double(), ids[:, 1:][supervised], reduction="none")
    # The reference has one mean over all targets; ours keeps decisions and replies apart.
    loss = nats.mean()
    loss.backward()
    grads = _named(model, {k: _grad(p) for k, p in model.named_parameters() if p.requires_grad})
    norms = told["grad_norms"]
    assert isinstance(norms, dict)
    out = {
        "loss": abs(loss.item() - float(str(told["loss"]))),
        "nats": gap(nats.detach(), gold["nll"]),
        "truth": gap(nats.detach().double(), truth),
        "logits": gap(logits[:, subset], gold["logits_subset"]),
        "norm": max(abs(float(grads[k].norm()) - v) for k, v in norms.items()),
        "grad": max(
            gap(grads["transformer.h.0.attn.qkv.weight"], gold["grad.h0.qkv.weight"]),
            gap(grads["transformer.ln_f.weight"], gold["grad.ln_f.weight"]),
            gap(grads["transformer.wte.weight"][table.assistant], gold["grad.wte.ASSISTANT"]),
        ),
    }
    trained = [p for p in model.parameters() if p.requires_grad]
    nn.utils.clip_grad_norm_(trained, 1.0)
    torch.optim.AdamW(trained, lr=2e-4).step()
    after = _named(model, {k: p.detach() for k, p in model.named_parameters()})
    out["after"] = max(
        gap(after["transformer.h.0.attn.qkv.weight"], gold["after.h0.qkv.weight"]),
        gap(after["transformer.ln_f.weight"], gold["after.ln_f.weight"]),
    )
    return out


def _pad(rows: list[TrainingRow], table: TokenTable) -> tuple[Tensor, Tensor]:
    ids = [torch.tensor(r.ids) for r in rows]
    roles = [torch.from_numpy(r.roles(table)) for r in rows]
    return (
        pad_sequence(ids, batch_first=True, padding_value=table.text_end),
        pad_sequence(roles, batch_first=True, padding_value=int(Role.CONTEXT)),
    )


def _named(model: AudioInteractionModel, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under the release's names."""
    shapes = tensor_names.our_shapes(model.config, model.tokens)
    table = tensor_names.release_names(model.config, shapes)
    return {
        name: torch.cat([ours[o] for o in parts])
        for name, parts in table.items()
        if all(o in ours for o in parts)
    }


def _grad(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
