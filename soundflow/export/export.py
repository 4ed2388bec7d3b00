"""Exports a finished build to other formats."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from data_build.report.documents import CARD_FILE, CREDITS_FILE, MANIFEST_FILE, RECIPE_FILE
from soundflow.atomic import disk_error, write_text
from soundflow.errors import UserError
from soundflow.export.huggingface import DATA_FOLDER, export_huggingface
from soundflow.export.streamaudio import CORPUS_FILE, export_streamaudio
from soundflow.export.training_rows import ROWS_FILE, export_training_rows
from soundflow.forms.load_any import load_any, locate
from soundflow.output import require_new
from soundflow.protocol.front_end import Maximum
from soundflow.shards.reader import ShardSet
from soundflow.stored_json import parsed

Form = Literal["streamaudio", "huggingface", "rows"]

_FORMS: dict[Form, str] = {
    "streamaudio": """\
One JSON object a line in `SPLIT/streams.jsonl`, in the form of StreamAudio-2M, and one 16 kHz WAV
a turn below `SPLIT/audio/`. The WAVs of a line, joined, are the stream; every reply belongs to the
last 0.4 s of its WAV; `<no need to response>` means that nothing is said. Times of events, tokens
and offline samples are not in this form.
""",
    "huggingface": """\
Parquet files below `data/`; a row is a whole sample, with its audio as FLAC bytes. `replies` have
the number of the chunk after which they are said, from 0; after all other chunks nothing is.
`ids` are the tokens of the training sequence, `roles` the loss that each is a target of: 0 none, 1
the decision to speak, 2 the reply. Positions in samples count 16,000 a second.

```python
from datasets import Audio, load_dataset
streams = load_dataset("parquet", data_files={"train": "data/train-*.parquet"})["train"]
streams[0]["audio"]["bytes"]                           # 16 kHz mono FLAC
streams = streams.cast_column("audio", Audio(16_000))  # arrays, where an audio decoder is there
```
""",
    "rows": """\
One JSON object a line in `SPLIT/rows.jsonl`, in the published training form: `input_ids`, `labels`
(-100 where a token is no target), `audio_pos` (spans of audio slots), and in `pt_path_dir` the
folder of `AudioFeat.pt`, the outputs of the audio encoder.

```python
import torch
torch.load("train/features/0/AudioFeat.pt", weights_only=True)  # (slots, width)
```
""",
}


@dataclass(frozen=True)
class Exported:
    """Samples written of each split."""

    to: Form
    dest: str
    splits: dict[str, int]


def export(
    data: Path, dest: Path, to: Form, model: str | None = None, maximum: Maximum = "clip"
) -> Exported:
    """Writes every split of ``data``, with its card and credits; the folder appears when whole.

    Args:
        model: checkpoint (folder or hub id) whose encoder makes the features of ``rows``.
        maximum: of the log-mel behind these features; the published builder takes ``clip``.

    Raises:
        UserError: if ``data`` holds no finished split or is damaged, ``dest`` is taken, or the
            model is missing or does not fit.
    """
    splits = finished_splits(data)
    if (to == "rows") != (model is not None):
        raise UserError(
            f"--to {to} {'needs' if to == 'rows' else 'takes no'} --model",
            "rows hold the outputs of a model's audio encoder; the other forms hold audio",
        )
    checkpoint = None if model is None else load_any(locate(model))
    require_new(dest)
    partial = dest.with_name(f".{dest.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        counts = {}
        for split in splits:
            shards = ShardSet(data / split)
            if checkpoint is not None:
                folder = partial / split
                counts[split] = export_training_rows(shards, folder, checkpoint, maximum)
            elif to == "streamaudio":
                counts[split] = export_streamaudio(shards, partial / split)
            else:
                counts[split] = export_huggingface(shards, split, partial)
        _copy_documents(data, partial, to, splits)
        if dest.exists():
            dest.rmdir()
        partial.replace(dest)
    except OSError as error:
        raise disk_error(error, dest) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Exported(to, str(dest), counts)


def finished_splits(data: Path) -> list[str]:
    """The splits of a build, in its own order.

    Raises:
        UserError: if the build is not finished.
    """
    try:
        manifest = parsed((data / MANIFEST_FILE).read_bytes())
        return list(manifest["order"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{data}: is no finished build ({MANIFEST_FILE} cannot be read)",
            "run `soundflow build-data` with its recipe until it ends without an error",
        ) from error


def _copy_documents(data: Path, folder: Path, to: Form, splits: list[str]) -> None:
    for name in (CREDITS_FILE, MANIFEST_FILE, RECIPE_FILE):
        shutil.copyfile(data / name, folder / name)
    pattern = {
        "streamaudio": f"{{split}}/{CORPUS_FILE}",
        "huggingface": f"{DATA_FOLDER}/{{split}}-*.parquet",
        "rows": f"{{split}}/{ROWS_FILE}",
    }[to]
    files = {split: pattern.format(split=split) for split in splits}
    write_text(folder / CARD_FILE, card_for((data / CARD_FILE).read_text(), to, files))


def card_for(card: str, to: Form, files: dict[str, str]) -> str:
    """The card of the build with the form of the export in the place of ours."""
    _, head, body = card.split("---\n", 2)
    about: Any = OmegaConf.to_container(OmegaConf.create(head))
    about["tags"] = [tag for tag in about["tags"] if tag != "webdataset"]
    about["configs"] = [
        {
            "config_name": "default",
            "data_files": [{"split": split, "path": path} for split, path in files.items()],
        }
    ]
    before, _, rest = body.partition("## Format\n")
    _, _, after = rest.partition("## Licences\n")
    text = OmegaConf.to_yaml(OmegaConf.create(about))
    return f"---\n{text}---\n{before}## Format\n\n{_FORMS[to]}\n## Licences\n{after}"
