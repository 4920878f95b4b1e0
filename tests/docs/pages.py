"""The documentation as data: its pages, their blocks of code, commands, names in backticks, links and headings."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = ("sh", "")  # languages of blocks that a person types; a block without one counts if it looks so
HEADS = {".", "cd", "cp", "curl", "docker", "dvc", "evergreen", "grep", "make", "pytest", "python", "uv"}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, at a line that counts from 1."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_commands(self) -> bool:
        """Whether a person types it into a shell."""
        return self.language == "sh" or (not self.language and self.text.split()[0] in HEADS)

    @property
    def commands(self) -> list[list[str]]:
        """Its commands as words; one may span lines, by quotes or backslashes."""
        found, pending = [], ""
        for line in self.text.splitlines():
            pending += line + "\n"
            try:
                words = shlex.split(pending.replace("\\\n", " "), comments=True)
            except ValueError:  # a quote is open
                continue
            if not line.endswith("\\"):
                found, pending = [*found, words] if words else found, ""
        assert not pending, f"{self}: a command without end: {pending}"
        return found


@dataclass(frozen=True)
class Page:
    """One Markdown file, by its path below the project."""

    path: str

    @cached_property
    def text(self) -> str:
        return (ROOT / self.path).read_text()

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(
            Block(self.path, self.text[: match.start()].count("\n") + 1, match[1], match[2])
            for match in _BLOCK.finditer(self.text)
        )

    @cached_property
    def prose(self) -> str:
        """The page without its blocks."""
        return _BLOCK.sub("", self.text)

    @property
    def names(self) -> list[str]:
        """What stands in backticks."""
        return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", self.prose)

    @property
    def links(self) -> list[str]:
        """The targets of links and images."""
        return re.findall(r"\]\(([^)\s]+)\)", self.prose)

    @property
    def anchors(self) -> set[str]:
        """The fragments of its headings, as GitHub makes them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


PAGES = tuple(
    Page(path.relative_to(ROOT).as_posix())
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
)


def command_blocks() -> Iterator[Block]:
    """Yield every block that a person types."""
    return (block for page in PAGES for block in page.blocks if block.is_commands)


def page(path: str) -> Page:
    """Return one page."""
    return next(page for page in PAGES if page.path == path)
