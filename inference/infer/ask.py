"""`soundflow infer mode=offline`: one question about each recording, or in text alone."""

from __future__ import annotations

from dataclasses import asdict

from inference.engine import Engine, use_threads
from inference.exchange import Answer, answer, prompt_of
from inference.infer.json_lines import print_line
from inference.infer.recipe import InferRecipe
from inference.infer.run import Devices
from inference.infer.transcript import printable
from inference.infer.unread import Unread, require_all_read
from inference.profiles import profile_of
from inference.sources.names import resolve
from inference.sources.recordings import Reader, Recording
from soundflow.errors import UserError
from soundflow.logs import OUT


def ask(
    recipe: InferRecipe, *, as_json: bool = False, devices: Devices | None = None
) -> list[Answer]:
    """Asks the question of a recipe about each of its recordings and shows the answers.

    Raises:
        UserError: if nothing is asked, or the checkpoint or an only recording cannot be read or
            used; at the end, if one of several recordings cannot.
    """
    devices = devices or Devices()
    if recipe.question is None and not recipe.audio:
        raise UserError("nothing was asked", "name recordings, a question=, or both")
    sources = resolve(recipe.audio) if recipe.audio else ()
    engine = devices.open_engine(
        recipe.checkpoint, recipe.device, recipe.precision, profile_of(recipe.profile)
    )
    use_threads(engine)
    reader = Reader(
        engine.spec, recipe.packet_s, recipe.pcm_rate_hz, devices.standard_input,
        devices.open_microphone,
    )  # fmt: skip
    if len(sources) < 2:
        alone = reader.open(sources[0]) if sources else None
        return [_ask_one(engine, recipe, alone, as_json=as_json)]
    answers: list[Answer] = []
    unread: list[Unread] = []
    for recording in map(reader.open, sources):
        try:
            answers.append(_ask_one(engine, recipe, recording, as_json=as_json))
        except UserError as error:
            unread.append(Unread(recording.name, error))
            if as_json:
                print_line(unread[-1].to_json())
    require_all_read(unread, len(sources))
    return answers


def _ask_one(
    engine: Engine, recipe: InferRecipe, recording: Recording | None, *, as_json: bool
) -> Answer:
    prompt = prompt_of(engine, recipe.question, recording, recipe.session.system)
    name = None if recording is None else recording.name
    if as_json:
        found = answer(engine, prompt, recipe.session.sampling)
        line = {"recording": name, "question": recipe.question, **asdict(found)}
        print_line(line)
        return found
    if name is not None:
        OUT.print(name, style="bold", soft_wrap=True)
    found = answer(
        engine,
        prompt,
        recipe.session.sampling,
        lambda text: OUT.print(printable(text), end="", soft_wrap=True),
    )
    ended = "" if found.reason == "end" else f" ({found.reason})"
    OUT.print(ended, style="dim")
    return found
