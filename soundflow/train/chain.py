"""Stages one after another: each is a run of its own that starts from the model of the one before.

::

    output/stage1_format/    a run (`soundflow.train.run`)
    output/stage2_adapter/   a run whose start_from is output/stage1_format/model
    ...

Nothing is noted about the chain: the first stage without its model is the one to train.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, cast

from annotated_types import MinLen
from omegaconf import OmegaConf
from pydantic.dataclasses import dataclass

from soundflow.config.load import build, read_tree
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.train.recipe import MODEL_FOLDER, TrainRecipe

KEY = "stages"  # what tells a chain from a single run


@dataclass(frozen=True, config=SETTINGS)
class ChainRecipe:
    """``stages`` are recipes of `soundflow train`, relative to the file of the chain.

    ``settings`` is laid over each of them, such as ``{compute: {devices: 8}}``. Every stage has a
    folder of its name in ``output``; all but the first start from the model before.
    """

    output: Path
    stages: Annotated[tuple[Path, ...], MinLen(1)]
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [path.stem for path in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages: two have the same file name: {', '.join(names)}")
        taken = sorted(self.settings.keys() & {"output", "start_from", "model"})
        if taken:
            raise ValueError(f"settings.{taken[0]}: follows from the order of the stages")


def is_chain(tree: dict[str, Any]) -> bool:
    return KEY in tree


def stage_recipes(tree: dict[str, Any], file: Path) -> list[TrainRecipe]:
    """The recipe of every stage of a chain, in order, each checked as a whole.

    Args:
        tree: the content of ``file``, without ``command``.

    Raises:
        UserError: listing every mistake of the first recipe that has any.
    """
    chain = build(ChainRecipe, tree, str(file))
    recipes: list[TrainRecipe] = []
    for path in chain.stages:
        where = file.parent / path
        stage = read_tree(where)
        command = stage.pop("command", "train")
        if command != "train" or is_chain(stage):
            raise UserError(f"{where}: is not the recipe of one training run", "correct `stages`")
        laid = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.merge(stage, chain.settings)))
        follows: dict[str, Any] = {"output": str(chain.output / path.stem)}
        if recipes:
            start = recipes[-1].output / MODEL_FOLDER
            follows |= {"start_from": str(start), "model": None}
        laid_over = f" with the settings of {file}" if chain.settings else ""
        recipes.append(build(TrainRecipe, {**laid, **follows}, f"{where}{laid_over}"))
    return recipes
