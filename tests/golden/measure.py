"""A few numbers of every stage on a synthetic sound, so that a change of them is seen in a diff.

    python tests/golden/measure.py        writes golden.txt anew

A line is ``name value``. Unlike the parity tests this needs nothing beside the project.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from soundflow.audio.frontend import log_mel
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.layout import Role, labels, online_stream
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.tokens import TokenTable

FILE = Path(__file__).parent / "golden.txt"
TIME = TimeBase()
N_CHUNKS = 3


def sound() -> np.ndarray:
    """Two rising tones, a click and a silence: (2.5 chunks,) float32."""
    t = np.arange(16_000) / TIME.sample_rate_hz
    tones = 0.3 * t * np.sin(2 * np.pi * (300 + 900 * t) * t)
    tones += 0.1 * np.sin(2 * np.pi * 3000 * t * t)
    tones[9_000] = 0.9  # the loudest moment is not in the first chunk
    tones[12_000:] = 0.0
    return tones.astype(np.float32)


def measure() -> Iterator[tuple[str, float]]:
    for maximum in ("window", "clip"):
        mel = log_mel(sound(), TIME, FrontEnd(maximum=maximum))  # type: ignore[arg-type]
        yield f"log_mel.{maximum}.mean", float(mel.mean())
        for chunk, bin_, frame in ((0, 5, 0), (0, 120, 25), (1, 90, 39), (2, 127, 20)):
            yield f"log_mel.{maximum}[{chunk},{bin_},{frame}]", float(mel[chunk, bin_, frame])
    piece = online_stream(TokenTable(), 10, [7, 8], N_CHUNKS, {1: ([9, 10, 11], "sad")})
    ids = np.array(piece.ids, np.int32)
    yield "layout.tokens", len(ids)
    yield "layout.ids", int((ids.astype(np.int64) * np.arange(1, len(ids) + 1)).sum())
    yield "layout.labels", int(labels(ids, np.array(piece.roles, np.int8)).astype(np.int64).sum())
    yield "layout.decisions", sum(r == Role.DECISION for r in piece.roles)
    fingerprint = StreamSpec(tokenizer="0" * 16).fingerprint
    yield "spec.fingerprint", int(fingerprint[:12], 16)
    yield from _model()


def _model() -> Iterator[tuple[str, float]]:
    """Weights that are a formula, not a draw: no library's generator decides them."""
    names = [n for n in TokenTable().named_ids() if n != "system"]
    table = TokenTable(**{n: i for i, n in enumerate(names)}, system=names.index("text_begin"),
                       vocab_size=64)  # fmt: skip
    config = ModelConfig(
        audio_encoder=AudioEncoderConfig(
            width=16, layers=2, heads=2, ffn_width=32, max_positions=64
        ),
        lm=LmConfig(width=24, layers=2, heads=4, kv_heads=2, ffn_width=40, max_positions=256),
    )
    model = AudioInteractionModel(config, table).eval()
    with torch.no_grad():
        for number, (name, weight) in enumerate(sorted(model.named_parameters())):
            wave = torch.sin(torch.arange(weight.numel(), dtype=torch.float64) * 1.7 + number)
            value = wave.view(weight.shape) * (0.4 if weight.ndim > 1 else 0.1)
            weight.copy_(value + (1.0 if weight.ndim == 1 and "bias" not in name else 0.0))
        mel = torch.from_numpy(log_mel(sound(), TIME, FrontEnd()))
        slots = model.encode(mel)
        piece = online_stream(table, 10, [40, 41], N_CHUNKS, {1: ([42, 43, 44], "sad")})
        hidden = model.hidden(model.embed(torch.tensor([piece.ids]), slots))
        logits = model.logits(hidden)[0]
    yield "encoder.mean", float(slots.mean())
    yield "encoder[1,4,3]", float(slots[1, 4, 3])
    for at in (12, 40, len(piece) - 1):
        yield f"logits[{at}].max", float(logits[at].max())
        yield f"logits[{at}].argmax", int(logits[at].argmax())
    supervised = torch.tensor([r != Role.CONTEXT for r in piece.roles[1:]])
    nats = torch.nn.functional.cross_entropy(
        logits[:-1][supervised], torch.tensor(piece.ids[1:])[supervised]
    )
    yield "loss", float(nats)


def main() -> None:
    FILE.write_text(
        "".join(
            f"{name} {value:.9g}\n" if isinstance(value, float) else f"{name} {value}\n"
            for name, value in measure()
        )
    )


if __name__ == "__main__":
    main()
