"""Peak memory of reading a Qwen2.5-Omni Thinker for training, against the size of its weights.

    python -m tests.benchmarks.bench_start [LAYERS]

A made-up folder of random bfloat16 shards is read by `soundflow.forms.load_any.read_model` in a
process of its own, once in its own dtype and once as float32, what training holds.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from soundflow.convert.run import ConvertOptions, convert
from soundflow.forms.folders import open_folder
from soundflow.forms.load_any import read_model
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import save_checkpoint
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer


def make(folder: Path, layers: int) -> Path:
    """A Thinker with the sizes of Qwen2.5-Omni-3B but for the number of its layers."""
    tokenizer = tiny_tokenizer()
    config = ModelConfig(AudioEncoderConfig(layers=2), LmConfig(layers=layers))
    torch.set_default_dtype(torch.bfloat16)
    model = AudioInteractionModel(config, tokenizer.table)
    torch.set_default_dtype(torch.float32)
    save_checkpoint(folder / "ours", model, tokenizer, stream_spec(tokenizer), TrainingFacts(99))
    convert(
        folder / "ours",
        folder / "thinker",
        ConvertOptions(to="thinker", verify=False, shard_gb=0.5),
    )
    return folder / "thinker"


def resident(what: str) -> int:
    """Bytes of this process now (VmRSS) or at most so far (VmHWM)."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


def measure(folder: Path, dtype: torch.dtype) -> None:
    """Prints what reading added to the resident memory at its peak, and the size of the result."""
    opened = open_folder(folder)
    before = resident("VmRSS")
    model = read_model(opened, opened.spec.tokens, dtype=dtype)
    peak = resident("VmHWM") - before
    held = sum(p.nbytes for p in model.parameters())
    print(json.dumps({"peak": peak, "weights": held}))


def main() -> None:
    if len(sys.argv) == 3:
        measure(Path(sys.argv[1]), getattr(torch, sys.argv[2]))
        return
    layers = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    with tempfile.TemporaryDirectory() as made:
        folder = make(Path(made), layers)
        for dtype in ("bfloat16", "float32"):
            command = [sys.executable, __file__, str(folder), dtype]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            gib = {name: n / 2**30 for name, n in found.items()}
            ratio = found["peak"] / found["weights"]
            weights = f"{gib['weights']:.2f} GiB of weights"
            print(f"{dtype}: {weights}, peak {gib['peak']:.2f} GiB: {ratio:.2f}x")


if __name__ == "__main__":
    main()
