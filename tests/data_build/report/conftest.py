"""One small finished build for all tests of what is made from it."""

from __future__ import annotations

import pytest

from data_build.recipe import BuildRecipe
from data_build.run import build
from soundflow.config.load import load
from tests.data_build.small_recipe import write_recipe


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> BuildRecipe:
    """The recipe of a build that is done."""
    folder = tmp_path_factory.mktemp("documents")
    path = write_recipe(folder, folder / "data")
    made = load(path, BuildRecipe, ("workers=1",), command="build-data")
    build(made)
    return made
