"""A build small enough for tests: sounds, one phrase, three splits' worth of tasks."""

from __future__ import annotations

import hashlib
from pathlib import Path

RECIPE = """
command: build-data
output: {output}
seed: 5
vocabulary: tiny
streams_per_shard: 3
cues:
  - {{name: help, say: "please help me", reply: "I am coming.", emotion: urgent}}
  - {{name: alarm, sound: smoke_alarm, reply: "Smoke alarm!", emotion: urgent}}
  - {{name: timer, sound: kitchen_timer}}
  - {{name: beep, sound: single_beep}}
splits:
  train: {{streams: 10, voices: 2, takes: 4, tasks: {{answer_cues: 0.6, count_sounds: 0.4}}}}
  test: {{streams: 4, voices: 2, takes: 4, tasks: {{stay_silent: 0.5, answer_cues: 0.5}}}}
synthetic:
  event_noise: [typing]
  ambient_noise: [rain]
  noise_s: 3.0
  noise_takes: 2
speech: {{asr_models: {{}}}}
compose: {{gap_slots: [5, 10], tail_slots: [5, 10]}}
"""


def write_recipe(folder: Path, output: Path, extra: str = "") -> Path:
    path = folder / f"{output.name}.yaml"
    path.write_text(RECIPE.format(output=output) + extra)
    return path


def fingerprints(output: Path) -> dict[str, str]:
    """Relative name -> SHA-256 of every file of the data (not of tables, cache and summary)."""
    kept = [p for p in output.rglob("*") if p.suffix in (".tar", ".json", ".npy") and p.is_file()]
    return {
        str(p.relative_to(output)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(kept)
        if p.relative_to(output).parts[0] in ("train", "test")
    }
