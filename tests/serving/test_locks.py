"""What stays outside the server's locks; tests/architecture holds them to the pipeline's."""

from itertools import pairwise
from pathlib import Path

from tests.docs.pages import page

LOCKS = Path(__file__).parents[2] / "locks"


def packages(name: str) -> set[str]:
    return {line.split("==")[0] for line in (LOCKS / name).read_text().splitlines()}


def test_what_torch_needs_to_compile_alone_stays_outside():
    commands = [words for block in page("docs/serving.md").blocks if block.is_commands for words in block.commands]
    (command,) = (words for words in commands if words[:3] == ["uv", "pip", "compile"])
    outside = {after for word, after in pairwise(command) if word == "--no-emit-package"}
    assert {"sympy", "setuptools", "triton"} <= outside <= packages("gpu.lock")
    assert not outside & packages("serving-gpu.lock")
