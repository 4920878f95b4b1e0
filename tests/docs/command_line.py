"""`evergreen`'s own command tree, and whether it takes a command line."""

from collections.abc import Iterator, Sequence

import typer

from flows.cli import app

PLACEHOLDERS = {"VERSION": "1", "IMAGE...": "IMAGE"}
TREE = typer.main.get_command(app)


def leaves(group=TREE, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the words of each command that does something, and the command."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


def check(words: Sequence[str]) -> None:
    """Parse the words after `evergreen` as it does, without running anything; a wrong one raises."""
    command, rest = TREE, list(words)
    while hasattr(command, "commands"):
        assert rest, f"evergreen {' '.join(words)}: a group, not a command"
        name = rest.pop(0)
        assert name in command.commands, f"evergreen {' '.join(words)}: no command {name!r}"
        command = command.commands[name]
    command.make_context(command.name, rest).close()


def check_mention(text: str) -> None:
    """Check the words of a command that a sentence names, where arguments may be placeholders or left out."""
    words = [PLACEHOLDERS.get(word, word) for word in text.split()[1:]]
    try:
        check(words)
    except Exception as error:  # the class is typer's own copy of click's
        if type(error).__name__ != "MissingParameter":
            raise AssertionError(f"{text}: {error}") from error
