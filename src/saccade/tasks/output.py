"""Images worked through into the files of one folder: what is done stays and is not done again."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from saccade.errors import InputError
from saccade.files import read_json
from saccade.tasks.claims import Claims
from saccade.tasks.config import RunConfig

KEEP_SECONDS = 10.0  # between writings of the results
CLAIMS = ".claims"
InputT = TypeVar("InputT")
FoundT = TypeVar("FoundT")


class Results(ABC, Generic[InputT, FoundT]):
    """What a folder holds so far.

    Args:
        inputs: The images by name, in the order of the results.
        states: Of each, what changes when its file does; see `state_of`.
        out: The folder.

    Attributes:
        found: What was found in each image that is done.
    """

    def __init__(self, inputs: Mapping[str, InputT], states: Mapping[str, str], out: Path) -> None:
        self.inputs, self.states, self.out = inputs, states, out
        self.found: dict[str, FoundT] = {}

    @abstractmethod
    def take_over(self, *, overwrite: bool) -> None:
        """Put into ``found`` what earlier files say that still holds; with ``overwrite`` nothing does."""

    @abstractmethod
    def predict(self, left: Sequence[InputT]) -> Iterator[FoundT]:
        """What is found in each of these images, in their order."""

    @abstractmethod
    def write(self, done: Sequence[str]) -> Path:
        """Write all that was found and the record of it; gives the main file.

        Args:
            done: Names of the images that are done, in the order of the results.
        """

    def complete(self, id: str, *, anew: bool) -> None:
        """Write what else is wanted of a finished image and is not there; ``anew`` where older files do not hold."""


def work_through(
    results: Results[Any, Any],
    *,
    overwrite: bool,
    progress: Callable[[int], None],
    say: Callable[[str], None],
) -> Path:
    """Do all images that are not done; of several processes one works, the others wait.

    The results are written again every few seconds, whole each time, and when the work is stopped. A folder that was
    made here goes if nothing came of it.

    Args:
        results: To be completed.
        overwrite: Do all again.
        progress: Called with how many are done.
        say: Gets a line for those that were finished before.

    Returns:
        The main file.

    Raises:
        InputError: If an image cannot be used.
    """
    was_there = results.out.exists()
    try:
        with Claims(results.out / CLAIMS).wait("predictions"):
            return _work(results, overwrite, progress, say)
    finally:
        if not was_there and results.out.is_dir() and not any(results.out.iterdir()):
            results.out.rmdir()


def _work(
    results: Results[Any, Any], overwrite: bool, progress: Callable[[int], None], say: Callable[[str], None]
) -> Path:
    results.take_over(overwrite=overwrite)
    before = len(results.found)
    if before:
        say(f"{before} of {len(results.inputs)} images: finished before, skipped; --overwrite does them again")
    for id in results.found:
        results.complete(id, anew=False)
    left = {id: one for id, one in results.inputs.items() if id not in results.found}
    written = time.monotonic()
    progress(before)
    try:
        for id, found in zip(left, results.predict(list(left.values())), strict=True):
            results.found[id] = found
            results.complete(id, anew=True)
            progress(len(results.found))
            if time.monotonic() - written > KEEP_SECONDS:
                _write(results)
                written = time.monotonic()
    except BaseException:
        if len(results.found) > before:
            _write(results)
        raise
    return _write(results)


def _write(results: Results[Any, Any]) -> Path:
    return results.write([id for id in results.inputs if id in results.found])


def check_names(ids: Sequence[str], paths: Sequence[Path]) -> None:
    """Nothing, if there are images and each has a name of its own.

    Args:
        ids: Their names.
        paths: Where they were looked for.

    Raises:
        InputError: Otherwise.
    """
    for id, count in Counter(ids).items():
        if count > 1:
            raise InputError(f"predict: each image must have a name of its own, {count} are called {id}.")
    if not ids:
        raise InputError(f"predict: must get images, found none in {', '.join(map(str, paths))}.")


def state_of(file: Path) -> str:
    """Changes when a file does."""
    status = file.stat()
    return f"{file.name} {status.st_size} {status.st_mtime_ns}"


def settings_of(config: RunConfig) -> str:
    """The settings that results follow from; where the training data lay does not matter."""
    return config.model_dump_json(include={"system", "network", "data", "inference"}, exclude={"data": {"root"}})


def still_holding(
    file: Path, entries: str, about: Mapping[str, str], states: Mapping[str, str], parse: Callable[[Any, str], FoundT]
) -> dict[str, FoundT]:
    """What a JSON file of results says of images that have not changed since; nothing if it was made otherwise.

    Args:
        file: It has ``states`` of its images too.
        entries: The key under which it has what was found.
        about: Further keys, and what they must hold.
        states: Of the images now.
        parse: Reads what was found in the image of a name.
    """
    try:
        before = read_json(file)
        if any(before[key] != value for key, value in about.items()):
            return {}
        said, then = before[entries], before["states"]
        return {id: parse(said[id], id) for id, state in states.items() if id in said and then.get(id) == state}
    except (InputError, KeyError, TypeError, AttributeError):  # none, cut off or changed: done again
        return {}
