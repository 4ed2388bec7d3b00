"""Stores the resolved recipe with every output, so that a run can be read and repeated."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from soundflow.atomic import write_text


def to_plain(recipe: Any) -> Any:
    """Dataclasses, tuples and paths as the plain tree that YAML and JSON can hold."""
    if dataclasses.is_dataclass(recipe) and not isinstance(recipe, type):
        fields = dataclasses.fields(recipe)
        return {f.name: to_plain(getattr(recipe, f.name)) for f in fields if f.init}
    if isinstance(recipe, dict):
        return {to_plain(k): to_plain(v) for k, v in recipe.items()}
    if isinstance(recipe, list | tuple):
        return [to_plain(v) for v in recipe]
    return str(recipe) if isinstance(recipe, Path | str) else recipe


def record(path: Path, recipe: Any) -> None:
    """Writes ``recipe`` as YAML to ``path``, atomically; `soundflow.config.load` reads it back."""
    write_text(path, OmegaConf.to_yaml(OmegaConf.create(to_plain(recipe))))


def recipe_hash(recipe: Any) -> str:
    """16 hex digits that change with any value of the recipe."""
    canonical = json.dumps(to_plain(recipe), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
