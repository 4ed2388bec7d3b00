"""Who may connect, and what a refused client is told."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from inference.serve.access import read_token
from inference.serve.recipe import ServeRecipe
from soundflow.cli import main
from soundflow.errors import UserError
from tests.inference.serve.servers import Running, open_stream, serving

TOKEN = "correct-horse-battery"


def refused(running: Running, path: str = "/v1/stream", **options: object) -> tuple[int, str]:
    async def run() -> tuple[int, str]:
        with pytest.raises(InvalidStatus) as caught:
            await connect(running.ws + path, **options)  # type: ignore[arg-type]
        response = caught.value.response
        return response.status_code, json.loads(response.body)["error"]["code"]

    return asyncio.run(run())


def test_a_token_is_asked_for_everywhere_but_on_the_page() -> None:
    with serving(token=TOKEN) as running:
        for path in ("/v1/stream", "/v1/realtime"):
            assert refused(running, path) == (401, "missing_token")
            wrong = {"Authorization": "Bearer wrong"}
            assert refused(running, path, additional_headers=wrong) == (401, "invalid_token")

        async def accepted() -> None:
            header = {"Authorization": f"Bearer {TOKEN}"}
            await (await open_stream(running, additional_headers=header)).close()
            names = ["soundflow", f"openai-insecure-api-key.{TOKEN}"]  # as browsers do it
            client = await open_stream(running, subprotocols=names)
            assert client.subprotocol == "soundflow"
            await client.close()

        asyncio.run(accepted())
        with httpx.Client(base_url=running.url) as client:
            assert client.get("/").status_code == 200
            assert client.get("/healthz").status_code == 200
            assert client.get("/metrics").status_code == 401
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            assert client.get("/metrics", headers=bearer).status_code == 200


def test_pages_of_other_origins_and_rebound_names_are_refused(running: Running) -> None:
    assert refused(running, origin="https://evil.example") == (403, "origin_not_allowed")
    host = {"Host": "evil.example"}
    with httpx.Client(base_url=running.url) as client:
        assert client.get("/", headers=host).status_code == 403

    async def own_page() -> None:
        await (await open_stream(running, origin=running.url)).close()

    asyncio.run(own_page())


@pytest.mark.parametrize("handed_on", [False, True])
def test_a_certificate_makes_it_https(tmp_path: Path, handed_on: bool) -> None:
    """Also where another process accepts the connections."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    with serving(tls_cert=cert, tls_key=key, handed_on=handed_on) as running:
        assert running.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=cert)
        assert httpx.get(f"{running.url}/healthz", verify=trusted).status_code == 200

        async def run() -> None:
            await (await open_stream(running, ssl=trusted)).close()

        asyncio.run(run())


def test_other_machines_need_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SOUNDFLOW_TOKEN", raising=False)
    assert main(["serve", "nowhere", "host=0.0.0.0"]) == 2
    assert "other machines could connect without a token" in capfd.readouterr().err
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token(ServeRecipe(Path("m"), host="0.0.0.0", token_file=file)) == TOKEN
    file.write_text("short")
    with pytest.raises(UserError, match="at least 16"):
        read_token(ServeRecipe(Path("m"), token_file=file))


def test_mistakes_of_the_address_and_the_certificate_are_one_line(
    running: Running, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    port = running.url.rsplit(":", 1)[1]
    assert main(["serve", "nowhere", f"port={port}"]) == 2
    assert "cannot listen here" in capfd.readouterr().err
    (tmp_path / "pem").write_text("no certificate")
    pem = str(tmp_path / "pem")
    assert main(["serve", "nowhere", "--tls-cert", pem, "--tls-key", pem]) == 2
    assert "not a certificate and its key" in capfd.readouterr().err
    assert main(["serve", "nowhere", "--tls-cert", pem]) == 2
    assert "belong together" in capfd.readouterr().err
