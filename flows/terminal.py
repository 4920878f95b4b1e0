"""What the terminal shows: a bar for each stage, which stays with its time when the stage is over."""

import contextlib
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from tasks import progress

# Texts hold values, paths and class names: brackets and colons in them are no markup.
console = Console(markup=False, emoji=False)
errors = Console(stderr=True)
LABEL_WIDTH = 16  # at least, in a log
LONGEST_STAGE = 15  # "check over HTTP": a long detail beside it must not take its place


class Bars:
    """A listener that draws stages as bars; on a terminal that is none (a log), it prints a line a stage."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.rows: dict[str, TaskID] = {}
        self.details: dict[str, str] = {}

    def update(self, stage: str, done: int, total: int, detail: str) -> None:
        """Move the stage's bar; a detail stays until the next."""
        if stage not in self.rows:
            self.rows[stage] = self.bars.add_task(stage, total=None, detail="")
        text = detail or self.details.get(stage, "")
        self.details[stage] = text
        if total:
            self.bars.update(self.rows[stage], completed=done, total=total, detail=text)
        else:
            self.bars.update(self.rows[stage], detail=text)

    def finish(self, stage: str, seconds: float) -> None:
        """Leave the stage's bar full."""
        if stage in self.rows:
            self.bars.update(self.rows[stage], completed=1, total=1)
            self.bars.stop_task(self.rows[stage])
        if not console.is_terminal:
            print_line(f"{stage}: {seconds:.1f} s {self.details.get(stage, '')}".rstrip())

    def fail(self, stage: str, reason: str) -> None:
        """Leave the stage's bar where it is, with the reason."""
        self.update(stage, 0, 0, reason)
        self.bars.stop_task(self.rows[stage])
        if not console.is_terminal:
            print_line(f"{stage}: {reason}")

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        print_line(text)


def print_line(text: str) -> None:
    """Print a line that stays; in a log it is one line, however long."""
    console.print(text, soft_wrap=not console.is_terminal)


@contextlib.contextmanager
def showing_progress() -> Iterator[None]:
    """Draw what is reported inside the block."""
    columns = (
        SpinnerColumn(finished_text="[green]done"),
        TextColumn("{task.description}", markup=False, table_column=Column(min_width=LONGEST_STAGE)),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", style="dim", markup=False),
    )
    bars = Progress(*columns, console=console, disable=not console.is_terminal)
    try:
        with bars, progress.listening(Bars(bars)):
            yield
    except KeyboardInterrupt:
        errors.print(
            "interrupted: what is in production goes on, and so does a release that was asked for already; "
            "a training that was under way left a checkpoint, and the next run goes on from there"
        )
        raise


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Print labelled lines as a table without borders; on a terminal that is none, each on one line."""
    if not console.is_terminal:
        rows = list(rows)
        width = max([LABEL_WIDTH, *(len(name) for name, _ in rows)])
        for name, text in rows:
            print(f"{name:<{width}}  {text}")
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(name, text)
    console.print(table)


def print_error(error: Exception) -> None:
    """Print what went wrong, as one message."""
    errors.print(Text.assemble(("error", "bold red"), f": {error}"), soft_wrap=True)
