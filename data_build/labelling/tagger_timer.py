"""How much of a recorded sound a tagging model needs to recognise it.

It takes the place of the assumed time of `data_build.labelling.recognition`, where the recipe names
a tagger (``scenes.tagger``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data_build.pools.onsets import onset_samples
from data_build.scenes.ground import Tagger
from data_build.scenes.ontology import SoundClass, ontology
from soundflow.audio.level import Float32
from soundflow.protocol.timebase import to_samples

_FIRST_S, _STEP_S, _LAST_S = 0.2, 0.1, 3.0
_CONFIDENT = 0.3  # as `VerifyLimits.contradicted`: the score that speaks against other labels


@dataclass(frozen=True)
class TaggerTimer:
    """A `prepare.ReadyTimer`: hears a clip from its onset on, a little more each time.

    Attributes:
        id: of the model.
    """

    tagger: Tagger
    id: str

    def ready_samples(self, samples: Float32, labels: Sequence[str]) -> int | None:
        """Where in (n,) float32 samples every class of ``labels`` is recognised.

        None where one of them is not, or is unknown to the ontology.
        """
        found = [ontology().find(label) for label in labels]
        wanted = [sound for sound in found if sound is not None]
        onset = onset_samples(samples)
        lengths = range(to_samples(_FIRST_S), to_samples(_LAST_S) + 1, to_samples(_STEP_S))
        for length in lengths if wanted and len(wanted) == len(found) else ():
            tags = self.tagger.tags(samples[onset : onset + length])
            if all(_recognised(sound, tags) for sound in wanted):
                return min(onset + length, len(samples))
            if onset + length >= len(samples):
                break
        return None


def _recognised(sound: SoundClass, tags: Mapping[str, float]) -> bool:
    """Whether a class or one of its kinds is heard: a class is no evidence for its kinds."""
    classes = ontology().classes
    return any(
        score >= _CONFIDENT and name in classes and sound.name in classes[name].lineage
        for name, score in tags.items()
    )
