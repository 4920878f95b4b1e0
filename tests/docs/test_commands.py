"""Every command that a page shows is one that exists, with options and files that exist."""

import re
from itertools import pairwise

import pytest
from dvc.cli import parse_args

from serving.settings import parse_settings
from tests.docs.command_line import check, check_mention, leaves
from tests.docs.pages import HEADS, PAGES, ROOT, command_blocks

BLOCKS = list(command_blocks())
SOURCES = [path for folder in ("flows", "tasks", "serving") for path in sorted((ROOT / folder).rglob("*.py"))]


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert words
    assert set(words) <= set(targets), f"make {words}: the Makefile has {targets}"


def check_files(words: list[str]) -> None:
    """Check that every path of the project among the words exists."""
    named = [word for word in words if re.match(r"(locks|serving|tests|tasks|flows|docs)/", word)]
    assert not [word for word in named if not (ROOT / word).exists()]


def check_docker(words: list[str]) -> None:
    file = words[words.index("--file") + 1] if "--file" in words else "Dockerfile"
    known = set(re.findall(r"^ARG (\w+)", (ROOT / file).read_text(), re.MULTILINE))
    given = {value.partition("=")[0] for option, value in pairwise(words) if option == "--build-arg"}
    assert given <= known


def check_serving(words: list[str]) -> None:
    assert words[:2] == ["-m", "serving"]
    parse_settings(words[2:], {})


CHECKS = {
    "evergreen": check,
    "make": check_make,
    "pytest": check_files,
    "uv": check_files,
    "grep": check_files,
    "dvc": parse_args,
    "docker": check_docker,
    "python": check_serving,
}


def test_the_pages_have_commands():
    assert len(BLOCKS) > 15
    assert {command[0] for block in BLOCKS for command in block.commands} <= HEADS


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_command_of_a_block_is_understood(block):
    for head, *words in block.commands:
        assert head in HEADS, f"{block}: no check for {head}"
        CHECKS.get(head, lambda _: None)(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_every_command_in_a_sentence_is_understood(page):
    for name in page.names:
        if name.startswith("evergreen "):
            check_mention(name)
        elif name.startswith("make "):
            check_make(name.split()[1:])


def test_every_command_in_a_message_of_the_code_is_understood():
    found = [name for path in SOURCES for name in re.findall(r"`(evergreen [a-z][^`\n]*)`", path.read_text())]
    assert len(found) > 10
    for name in set(found) - {"evergreen data"}:
        check_mention(name)


@pytest.mark.parametrize(("words", "command"), [pytest.param(*leaf, id=" ".join(leaf[0])) for leaf in leaves()])
def test_every_command_and_option_is_documented(words, command):
    text = "\n".join(page.text for page in PAGES)
    name = f"evergreen {' '.join(words)}"
    assert re.search(rf"{name}\b", text), f"{name} stands in no page"
    for option in command.params:
        spellings = [spelling for spelling in (*option.opts, *option.secondary_opts) if spelling.startswith("--")]
        is_shown = not spellings or spellings == ["--help"] or any(spelling in text for spelling in spellings)
        assert is_shown, f"{name} {spellings} stands in no page"


@pytest.mark.parametrize("option", ["--wokrer", "--set"])
def test_a_wrong_option_is_noticed(option):
    with pytest.raises(Exception, match=option.strip("-")):
        check(["up", option])


def test_every_page_is_linked_from_the_readme():
    readme, *others = PAGES
    assert readme.path == "README.md"
    assert {page.path for page in others} <= set(readme.links)
