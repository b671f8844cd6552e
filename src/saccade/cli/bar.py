"""The progress bar of the verbs: on a terminal only, and gone when the work is done or has failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """A bar of one piece of work, and lines above it."""

    def __init__(self, shown: "Progress", task: "TaskID") -> None:
        self._shown, self._task = shown, task

    def progress(self, done: int | float, total: int | None = None, name: str | None = None) -> None:
        """How much is done, and where that is said or has changed, of how much and at what."""
        self._shown.update(self._task, completed=done, total=total, description=name)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._shown.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Bar]:
    """A bar on stderr; where that is a file nothing is written, so that an error stands there as its one line.

    Args:
        what: Is done, in a word.
        total: How much there is to do; None if that is not known yet.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        yield Bar(shown, shown.add_task(what, total=total))
