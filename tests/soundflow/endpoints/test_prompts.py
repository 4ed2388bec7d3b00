from __future__ import annotations

import jinja2
import pytest

from soundflow.endpoints.prompts import read_prompt
from soundflow.errors import UserError


def test_prompt_files(tmp_path):
    path = tmp_path / "hello.v3.md"
    path.write_text(
        "---\nname: hello\nversion: 3\npurpose: greets\n---\n\n## system\nBe kind.\n\n"
        "## user\n{% for who in people %}\nHi {{ who }}!\n{% endfor %}\n"
    )
    prompt = read_prompt(path)
    assert prompt.stamp() == {"name": "hello", "version": 3, "sha256": prompt.sha256}
    assert prompt.messages({"people": ["{{ x }}", "Bo"]})[1]["content"] == "Hi {{ x }}!\nHi Bo!"
    with pytest.raises(jinja2.UndefinedError):
        prompt.messages({})
    for name, text in {
        "a.v1.md": "no head",
        "b.v1.md": "---\nname: b\nversion: 2\npurpose: x\n---\n## system\n\n## user\nx",
        "c.v1.md": "---\nname: c\n---\n## system\nx\n## user\nx",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match="not a prompt"):
            read_prompt(tmp_path / name)
    with pytest.raises(UserError, match="cannot be read"):
        read_prompt(tmp_path / "missing.v1.md")
