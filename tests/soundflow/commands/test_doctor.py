"""Which packages are there, by the extra that brings them."""

from __future__ import annotations

import importlib.metadata

import pytest

from soundflow.commands.doctor import package_findings


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Package -> version, all that is installed."""
    versions = {"soundflow": "0.1", "torch": "2.0", "peft": "1.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    wanted = ["torch==2.0", 'peft>=0.17; extra == "lora"', 'misaki[zh]==0.9; extra == "mandarin"']
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    return versions


def test_extras_are_told_by_name_with_the_way_to_install_them(installed: dict[str, str]) -> None:
    packages, lora, mandarin = package_findings()
    assert (packages.what, packages.state) == ("packages", "ok")
    assert packages.detail == "soundflow 0.1, torch 2.0"
    assert (lora.what, lora.state, lora.detail) == ("extra lora", "ok", "peft 1.0")
    assert (mandarin.what, mandarin.state) == ("extra mandarin", "missing")
    assert "no misaki" in mandarin.detail
    assert "'.[mandarin]'" in mandarin.detail


def test_without_a_required_package_nothing_works(installed: dict[str, str]) -> None:
    del installed["torch"]
    packages, *_ = package_findings()
    assert (packages.state, packages.detail) == ("broken", "no torch")
