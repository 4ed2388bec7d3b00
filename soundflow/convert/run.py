"""`soundflow convert`: a checkpoint of any form into a folder of another, checked on the way.

::

    open SOURCE ─▶ every tensor matched ─▶ written shard by shard ─▶ checksums ─▶ logits compared
    (any form)     or an error             into a partial folder     of all files  on a probe
                                                                                   ─▶ DEST
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pydantic.dataclasses
import torch
from pydantic import PositiveFloat
from safetensors import SafetensorError

from soundflow.atomic import disk_error, write_text
from soundflow.config.load import build, tree_of
from soundflow.config.settings import SETTINGS
from soundflow.convert import write_forms
from soundflow.convert.card import write_beside
from soundflow.convert.probe import make_probe, probe_logits
from soundflow.convert.write_shards import OnBytes, Target
from soundflow.errors import UserError
from soundflow.forms.folders import Opened, open_folder
from soundflow.model.stored_tensors import files_of
from soundflow.output import require_new
from soundflow.stored_json import parsed

RECORD = "conversion.json"
WritableForm = Literal["soundflow", "release", "thinker", "plain"]
DTYPES = {
    "keep": None,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# Largest difference of a logit in units of the largest logit: rounding of float32 where the dtype
# is kept; of the result's own dtype where it is changed.
TOLERANCE = {None: 1e-5, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1.5e-1}

Progress = Callable[[int], OnBytes]


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class ConvertOptions:
    """The ``key=value`` words of the command.

    Attributes:
        to: form of the result.
        dtype: of every tensor; ``keep`` leaves each as it is.
        shard_gb: maximum size of a shard; memory use is this and one tensor more.
        base: the checkpoint from which a Thinker takes its vision weights.
        verify: read every tensor back, and compare the logits of source and result on a probe.
    """

    to: WritableForm = "soundflow"
    dtype: Literal["keep", "float32", "bfloat16", "float16"] = "keep"
    shard_gb: PositiveFloat = 2.0
    base: Path | None = None
    verify: bool = True

    def __post_init__(self) -> None:
        if self.base is not None and self.to != "thinker":
            raise ValueError(f"base={self.base} is only used with to=thinker")


@dataclass(frozen=True)
class Conversion:
    """What was done, as `conversion.json` in the result keeps it.

    Attributes:
        dropped: tensors of the source that our model has no place for, counted by prefix.
        max_logit_difference: largest |source - result| on the probe; None where not verified.
        logit_scale: largest |logit| of the source there.
    """

    source: str
    source_form: str
    form: str
    dtype: str
    n_tensors: int
    n_bytes: int
    dropped: dict[str, int]
    notes: tuple[str, ...]
    max_logit_difference: float | None
    logit_scale: float | None
    same_choices: bool | None
    source_sha256: dict[str, str]
    sha256: dict[str, str]

    def lines(self) -> list[str]:
        """The same for a reader."""
        size = self.n_bytes / 2**30
        out = [
            f"{self.source} ({self.source_form}) -> {self.form}, dtype {self.dtype}",
            f"{self.n_tensors} tensors, {size:.2f} GiB, {len(self.sha256)} files with checksums",
        ]
        if self.dropped:
            counts = ", ".join(f"{n} of {prefix}*" for prefix, n in self.dropped.items())
            out.append(f"left out, our model has no place for them: {counts}")
        out.extend(self.notes)
        if self.max_logit_difference is None:
            out.append("not verified (verify=false)")
        else:
            choices = "same" if self.same_choices else "not all the same"
            out.append(
                "verified: every tensor read back; logits differ by at most "
                f"{self.max_logit_difference:.1e} (largest logit {self.logit_scale:.3g}), "
                f"greedy choices {choices}"
            )
        return out


def parse_options(words: Sequence[str]) -> ConvertOptions:
    """Options from ``key=value`` words.

    Raises:
        UserError: naming every word that is unknown or impossible.
    """
    where = "soundflow convert"
    return build(ConvertOptions, tree_of(words, where), where, f"see `{where} --help`")


def convert(
    source: str | Path,
    dest: str | Path,
    options: ConvertOptions | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Converts a checkpoint. ``dest`` appears whole, verified, or not at all.

    Args:
        progress: called with the bytes to do; returns a function that is called with every tensor's
            bytes.

    Raises:
        UserError: if the source is damaged or not what its config says, the destination is taken,
            the disk is full, or the result does not give the source's logits.
    """
    options = options or ConvertOptions()
    target = Path(dest)
    require_new(target)
    opened = open_folder(Path(source))
    verify_record(opened.folder)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        result = _convert(opened, partial, options, progress)
        write_text(partial / RECORD, json.dumps(asdict(result), indent=1))
        if target.exists():
            target.rmdir()
        partial.replace(target)
        return result
    except (OSError, SafetensorError) as error:
        cause = error if isinstance(error, OSError) else OSError(str(error))
        raise disk_error(cause, target) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def verify_record(folder: Path) -> None:
    """Compares the files of a converted folder with the checksums in its record, if it has one.

    Raises:
        UserError: naming the first file that differs.
    """
    record = folder / RECORD
    if not record.is_file():
        return
    try:
        digests = dict(parsed(record.read_bytes())["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{record}: cannot be read ({error})", "copy it again") from error
    for name, digest in digests.items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise UserError(
                f"{folder / name}: differs from its checksum in {RECORD}",
                f"copy it again; if it was changed on purpose, delete {RECORD}",
            )


def _convert(
    opened: Opened, folder: Path, options: ConvertOptions, progress: Progress | None
) -> Conversion:
    dtype = DTYPES[options.dtype]
    view = opened.view
    total = sum(tensor.n_bytes for tensor in view.stored.values())
    on_bytes = progress(total) if progress else _ignore
    target = Target(view, opened.shapes, dtype, on_bytes)
    notes = _write(opened, folder, target, options)
    write_forms.write_vocabulary(folder, opened, options.to)
    write_beside(folder, opened, options.to)
    weights = [f for f in sorted(folder.rglob("*")) if f.is_file()]
    difference = scale = same = None
    if options.verify:
        difference, scale, same = _compare(opened, folder, dtype)
    return Conversion(
        source=str(opened.folder),
        source_form=opened.form,
        form=options.to,
        dtype=options.dtype,
        n_tensors=len(view.rows),
        n_bytes=sum(f.stat().st_size for f in weights),
        dropped=dict(view.dropped),
        notes=notes,
        max_logit_difference=difference,
        logit_scale=scale,
        same_choices=same,
        source_sha256=_checksums(opened.folder, files_of(view.stored.values())),
        sha256=_checksums(folder, weights),
    )


def _write(
    opened: Opened, folder: Path, target: Target, options: ConvertOptions
) -> tuple[str, ...]:
    limit_bytes = int(options.shard_gb * 2**30)
    if options.to == "thinker":
        return (write_forms.write_thinker(folder, opened, target, limit_bytes, options.base),)
    writers = {
        "soundflow": write_forms.write_soundflow,
        "release": write_forms.write_release,
        "plain": write_forms.write_plain,
    }
    writers[options.to](folder, opened, target, limit_bytes)
    return ()


def _compare(opened: Opened, folder: Path, dtype: torch.dtype | None) -> tuple[float, float, bool]:
    """Reads the result back, every tensor, and runs both on the probe.

    Returns:
        Largest logit difference, largest logit, and whether every choice agrees.

    Raises:
        UserError: if a tensor differs, or the logits by more than rounding explains.
    """
    result = open_folder(folder)
    for name in opened.view:
        stored = opened.view.read(name)
        if not torch.equal(stored.to(dtype or stored.dtype), result.view.read(name)):
            raise UserError(
                f"{opened.folder}: {name} reads back otherwise than it was written",
                "nothing was kept; check the disk",
            )
    probe = make_probe(opened)
    theirs = probe_logits(opened, probe)
    ours = probe_logits(result, probe)
    difference, scale = float((theirs - ours).abs().max()), float(theirs.abs().max())
    if not difference <= TOLERANCE[dtype] * max(scale, 1.0):
        raise UserError(
            f"{opened.folder}: the result's logits differ by {difference:.3g} "
            f"(largest logit {scale:.3g})",
            "nothing was kept; please report this checkpoint's config",
        )
    return difference, scale, bool((theirs.argmax(1) == ours.argmax(1)).all())


def _checksums(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    return {str(f.relative_to(folder)): _sha256(f) for f in files}


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _ignore(n_bytes: int) -> None:
    """No progress is shown."""
