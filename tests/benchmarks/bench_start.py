"""Peak memory of reading a Qwen2.5-Omni Thinker, or a checkpoint of ours, against its weights.

    python -m tests.benchmarks.bench_start [LAYERS]

Made-up folders of random bfloat16 shards are read by `soundflow.forms.load_any.load_any`, each in a
process of its own: in its own dtype, as live decoding holds it, and as float32, as training does.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from soundflow.convert.run import ConvertOptions, convert
from soundflow.forms.load_any import load_any
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import save_checkpoint
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer

FORMS = ("thinker", "soundflow")


def make(folder: Path, layers: int) -> None:
    """Models with the sizes of Qwen2.5-Omni-3B but for the number of layers."""
    tokenizer = tiny_tokenizer()
    config = ModelConfig(AudioEncoderConfig(layers=2), LmConfig(layers=layers))
    torch.set_default_dtype(torch.bfloat16)
    model = AudioInteractionModel(config, tokenizer.table)
    torch.set_default_dtype(torch.float32)
    facts, ours = TrainingFacts(99), folder / "soundflow"
    save_checkpoint(ours, model, tokenizer, stream_spec(tokenizer), facts, shard_bytes=1 << 29)
    convert(ours, folder / "thinker", ConvertOptions(to="thinker", verify=False, shard_gb=0.5))


def resident(what: str) -> int:
    """Bytes of this process now (VmRSS) or at most so far (VmHWM)."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


def measure(folder: Path, dtype: torch.dtype) -> None:
    """Prints what reading added to the resident memory at its peak, and the size of the result."""
    before = resident("VmRSS")
    model = load_any(folder, dtype=dtype).model
    peak = resident("VmHWM") - before
    held = sum(p.nbytes for p in model.parameters())
    print(json.dumps({"peak": peak, "weights": held}))


def main() -> None:
    if len(sys.argv) == 3:
        measure(Path(sys.argv[1]), getattr(torch, sys.argv[2]))
        return
    layers = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    with tempfile.TemporaryDirectory() as made:
        make(Path(made), layers)
        for form, dtype in itertools.product(FORMS, ("bfloat16", "float32")):
            command = [sys.executable, __file__, f"{made}/{form}", dtype]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            gib = {name: n / 2**30 for name, n in found.items()}
            ratio = found["peak"] / found["weights"]
            weights = f"{gib['weights']:.2f} GiB of weights"
            print(f"{form} as {dtype}: {weights}, peak {gib['peak']:.2f} GiB: {ratio:.2f}x")


if __name__ == "__main__":
    main()
