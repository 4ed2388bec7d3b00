"""Memory and time of a conversion: does the peak follow the shard, or the model?

    python -m tests.benchmarks.bench_convert [--mb 1500] [--shards-mb 64 256 1024]

Makes a random release-sized stand-in (a Thinker of ``--mb`` megabytes in shards of 256), converts
it in a fresh process for each shard size, and prints the largest memory that was the process's own
(anonymous) and the largest resident, which counts the pages of mapped files as well; both above
what the imports alone need.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHILD = """
import sys, threading, time
from pathlib import Path
from soundflow.convert.run import convert, parse_options

def now():
    fields = dict(l.split(":") for l in Path("/proc/self/status").read_text().splitlines())
    return [int(fields[k].split()[0]) / 1024 for k in ("RssAnon", "VmRSS")]

start, peak, done = now(), [0.0, 0.0], False

def watch():
    while not done:
        peak[:] = map(max, peak, now())
        time.sleep(0.002)

threading.Thread(target=watch, daemon=True).start()
began = time.perf_counter()
result = convert(sys.argv[1], sys.argv[2], parse_options(sys.argv[3:]))
took = time.perf_counter() - began
own, resident = peak[0] - start[0], peak[1] - start[1]
print(f"{own:9.0f} {resident:9.0f} {took:7.1f}  {result.max_logit_difference}")
"""


def make(folder: Path, megabytes: int) -> None:
    """A float16 Thinker with wide layers and the published vocabulary."""
    import torch
    from transformers import Qwen2_5OmniThinkerForConditionalGeneration
    from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import (
        Qwen2_5OmniThinkerConfig,
    )

    from soundflow.text.tiny import TOKENIZER_FILE

    width, ffn = 512, 4096
    layer = 2 * (2 * width * width + 2 * width * 64 + 3 * width * ffn)
    layers = max(1, (megabytes * 2**20 - 2 * 2 * 151936 * width) // layer)
    config = Qwen2_5OmniThinkerConfig(
        audio_config={
            "d_model": 256, "encoder_layers": 4, "encoder_attention_heads": 4,
            "encoder_ffn_dim": 1024, "output_dim": width,
        },
        text_config={
            "vocab_size": 151936, "hidden_size": width, "intermediate_size": ffn,
            "num_hidden_layers": int(layers), "num_attention_heads": 8, "num_key_value_heads": 1,
            "tie_word_embeddings": False,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12],
            },
        },
        vision_config={
            "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2,
            "out_hidden_size": width, "fullatt_block_indexes": [0],
        },
    )  # fmt: skip
    torch.set_default_dtype(torch.float16)
    model = Qwen2_5OmniThinkerForConditionalGeneration(config)
    model.save_pretrained(folder, max_shard_size="256MB")
    (folder / "tokenizer.json").write_bytes(TOKENIZER_FILE.read_bytes())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mb", type=int, default=1500)
    arguments.add_argument("--shards-mb", type=int, nargs="+", default=[64, 256, 1024])
    args = arguments.parse_args()
    with tempfile.TemporaryDirectory() as root:
        source = Path(root) / "thinker"
        code = (
            "import sys, pathlib as p; from bench_convert import make; make(p.Path(sys.argv[1]), "
        )
        command = [sys.executable, "-c", code + f"{args.mb})", str(source)]
        subprocess.run(command, cwd=Path(__file__).parent, check=True)
        size = sum(f.stat().st_size for f in source.iterdir()) / 2**20
        print(f"model of {size:.0f} MB;   own MB  resident MB  seconds  logit difference")
        for shard in args.shards_mb:
            for words in (["verify=false"], ["verify=true"], ["to=release"]):
                dest = Path(root) / f"out-{time.monotonic_ns()}"
                child = [sys.executable, "-c", CHILD, str(source), str(dest)]
                out = subprocess.run(
                    [*child, f"shard_gb={shard / 1024}", *words],
                    capture_output=True, text=True, check=True,
                )  # fmt: skip
                print(f"shard {shard:5} MB {words[0]:13} {out.stdout.strip()}")
                subprocess.run(["rm", "-r", str(dest)], check=True)


if __name__ == "__main__":
    main()
