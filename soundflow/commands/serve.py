"""`soundflow serve RECIPE_OR_CHECKPOINT key.sub=value...`."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from inference.serve.recipe import ServeRecipe
from soundflow.config.load import load_or_open
from soundflow.errors import not_installed
from soundflow.logs import OUT

EXTRA = ("starlette", "uvicorn", "websockets", "prometheus_client")


def run(args: argparse.Namespace) -> None:
    files = {"tls_cert": args.tls_cert, "tls_key": args.tls_key}
    given = {name: file for name, file in files.items() if file is not None}
    recipe = load_or_open(args.source, ServeRecipe, args.overrides, "serve", given)
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise not_installed(f"soundflow serve needs {', '.join(missing)}, which", "serve")
    from inference.serve.run import serve
    from soundflow.convert.engine import open_engine

    serve(recipe, OUT, open_engine)
