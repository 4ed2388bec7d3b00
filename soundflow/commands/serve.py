"""`soundflow serve RECIPE_OR_CHECKPOINT key.sub=value...`."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from inference.serve.recipe import ServeRecipe
from soundflow.config.load import build, read_tree, require_command, tree_of
from soundflow.errors import not_installed
from soundflow.logs import OUT

EXTRA = ("starlette", "uvicorn", "websockets", "prometheus_client")


def run(args: argparse.Namespace) -> None:
    recipe = build(ServeRecipe, _tree(args), args.source)
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise not_installed(f"soundflow serve needs {', '.join(missing)}, which", "serve")
    from inference.serve.run import serve
    from soundflow.convert.engine import open_engine

    serve(recipe, OUT, open_engine)


def _tree(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in ("tls_cert", "tls_key")}
    files = [f"{name}={file}" for name, file in given.items() if file is not None]
    overrides = [*args.overrides, *files]
    file = Path(args.source)
    if file.suffix not in (".yaml", ".yml"):
        return {"checkpoint": args.source, **tree_of(overrides, "soundflow serve")}
    tree = read_tree(file, overrides)
    require_command(tree, "serve", file)
    return tree
