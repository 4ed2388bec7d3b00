"""What lies beside the weights of a converted checkpoint: its card, sampling and threshold."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

from omegaconf import OmegaConf

from inference.decoder.sampling import SamplingConfig
from soundflow.atomic import write_text
from soundflow.forms.folders import Form, Opened, read_json
from soundflow.model.facts import CALIBRATION_FILE
from soundflow.protocol.spec import StreamSpec

CARD_FILE = "README.md"
GENERATION_FILE = "generation_config.json"

# Of `TrainingFacts.metrics`, what a reader of a card looks for first; the rest is in config.json.
_FIGURES = {
    "event_f1": "event F1, decoded live",
    "event_recall": "event recall, decoded live",
    "event_precision": "event precision, decoded live",
    "event_false_per_hour": "false triggers per hour, decoded live",
    "event_reply_exact": "exact replies, decoded live",
    "decision_f1": "decision F1, teacher-forced",
    "decision_accuracy": "decision accuracy, teacher-forced",
    "reply_token_accuracy": "reply token accuracy, teacher-forced",
    "loss_stream": "loss at decisions (nats)",
    "loss_reply": "loss of replies (nats)",
}
_READ_BY = {
    "soundflow": "",
    "release": "The published code reads this folder.\n",
    "thinker": "`Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained` reads this folder.\n",
    "plain": "`AutoModelForCausalLM.from_pretrained` reads the language model, "
    "`Qwen2_5OmniAudioEncoder` the folder `audio_tower`.\n",
}


def write_beside(folder: Path, source: Opened, to: Form) -> None:
    """Writes card and generation defaults; a calibrated threshold of the source is copied.

    Raises:
        UserError: if the threshold cannot be read, or the disk is full.
    """
    defaults, end = SamplingConfig(), source.spec.tokens.text_end
    generation = {
        "do_sample": defaults.temperature > 0,
        "temperature": defaults.temperature,
        "top_k": defaults.top_k,
        "max_new_tokens": defaults.max_reply_tokens,
        "eos_token_id": end,
    }
    write_text(folder / GENERATION_FILE, json.dumps(generation, indent=1, sort_keys=True))
    threshold = None
    if (source.folder / CALIBRATION_FILE).is_file():
        threshold = read_json(source.folder / CALIBRATION_FILE).get("threshold")
        shutil.copyfile(source.folder / CALIBRATION_FILE, folder / CALIBRATION_FILE)
    write_text(folder / CARD_FILE, card(source, to, threshold))


def card(source: Opened, to: Form, threshold: object) -> str:
    """The text of the card.

    Args:
        threshold: p(response) from which the model speaks, as it was calibrated; None: even odds.
    """
    about = {"library_name": "soundflow", "tags": ["audio", "streaming", "audio-interaction"]}
    parameters = sum(math.prod(shape) for shape in source.shapes.values())
    lm, tower = source.model.lm, source.model.audio_encoder
    lines = {
        "parameters": f"{parameters / 1e6:,.1f} M",
        "language model": f"{lm.layers} layers of {lm.width}, {source.spec.tokens.vocab_size:,} ids"
        + (", head tied to the embedding" if lm.tied else ""),
        "audio tower": f"{tower.layers} layers of {tower.width}",
        "positions that training reached": f"{source.facts.trained_positions:,}",
        "updates": f"{source.facts.updates:,}",
        "speaks from": "p(response) of 0.5, not calibrated"
        if threshold is None
        else f"p(response) of {threshold}, calibrated",
        "instruction": f"`{source.facts.system}`" if source.facts.system else "none",
        **_stream(source.spec),
    }
    text = (
        f"---\n{OmegaConf.to_yaml(OmegaConf.create(about))}---\n# A SoundFlow model\n\n"
        "It listens to a live stream and decides after every chunk whether to stay silent or to "
        "speak.\n\n"
        "```python\nfrom soundflow import AudioInteraction\n\n"
        'model = AudioInteraction.from_pretrained("FOLDER")\n'
        'for event in model.stream("talk.wav"):\n    print(event)\n```\n\n'
        f"{_READ_BY.get(to, '')}\n{_table(('', ''), lines)}"
    )
    measured = {
        title: f"{source.facts.metrics[name]:.4g}"
        for name, title in _FIGURES.items()
        if name in source.facts.metrics
    }
    if measured:
        text += f"\n## On held-out streams\n\n{_table(('measure', 'value'), measured)}"
    return text


def _stream(spec: StreamSpec) -> dict[str, str]:
    time, front_end = spec.time, spec.front_end
    return {
        "chunk": f"{time.chunk_s:g} s at {time.sample_rate_hz:,} Hz, "
        f"{time.slots_per_chunk} audio slots",
        "features": f"log-mel of {front_end.n_mels} bins, maximum: {front_end.maximum}",
        "stream spec": f"`{spec.fingerprint}`",
        "tokenizer": f"`{spec.tokenizer}`",
    }


def _table(head: tuple[str, str], rows: dict[str, str]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())]) + "\n"
