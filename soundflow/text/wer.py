"""Word and character error rates as counts that add up over a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer

from soundflow.text.normalize import units


@dataclass(frozen=True)
class ErrorCount:
    """Edits between a reference and a transcript. Sum them, then take the rate."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    reference_units: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Errors per reference unit (may exceed 1); None where there is no reference."""
        return self.errors / self.reference_units if self.reference_units else None

    def __add__(self, other: ErrorCount) -> ErrorCount:
        return ErrorCount(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.reference_units + other.reference_units,
        )


def count_errors(reference: str, hypothesis: str, language: str = "en") -> ErrorCount:
    """Both texts normalised (`soundflow.text.normalize`), then aligned with the fewest edits."""
    return count_unit_errors(units(reference, language), units(hypothesis, language))


def count_unit_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCount:
    """Levenshtein counts between two lists of units, none of which may hold white space."""
    if not reference:
        return ErrorCount(insertions=len(hypothesis))
    if not hypothesis:
        return ErrorCount(deletions=len(reference), reference_units=len(reference))
    found = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    return ErrorCount(
        found.substitutions, found.deletions, found.insertions, len(found.references[0])
    )
