"""The folder of a transformers model on this machine; nothing is fetched."""

from __future__ import annotations

from pathlib import Path

from soundflow.errors import UserError


def require_model_folder(folder: str, holds: str) -> None:
    """Refuses a folder without a model's configuration, before anything is loaded.

    Args:
        holds: what the folder should hold, for the remedy.

    Raises:
        UserError: if the folder or its config.json is not there.
    """
    if not (Path(folder) / "config.json").is_file():
        raise UserError(
            f"{folder}: not a model folder, config.json missing",
            f"give a local folder with {holds}",
        )
