"""What produced a run, beside its recipe: the code in the working directory, and the data."""

from __future__ import annotations

import subprocess
from typing import Any

GIT_TIMEOUT_S = 10.0
PROVENANCE_FILE = "provenance.json"


def provenance(data: str, spec: str) -> dict[str, Any]:
    """What produced a run, as plain values.

    Args:
        data: fingerprint of the content of the training data.
        spec: fingerprint of the stream spec.
    """
    return {"data_fingerprint": data, "spec": spec, "git": git_state()}


def git_state() -> dict[str, Any] | None:
    """Commit of the working directory, and the files that differ from it; None outside of git."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "changed": (_git("status", "--porcelain") or "").splitlines()}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.rstrip()
