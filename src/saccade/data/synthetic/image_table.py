"""A data set of simulated images on disk: a table of images and their classes."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

from saccade.errors import InputError
from saccade.files import write_text


def write_image_table(
    root: Path | str,
    prefix: str,
    cases: int,
    write_case: Callable[[int, str], tuple[str, str]],
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Let each case be written, then write ``table.csv`` with the image and the class of each.

    Args:
        root: The folder of the data set.
        prefix: Cases are called ``<prefix>_0000`` and so on.
        cases: How many, at least 1.
        write_case: Gets the number and the id of a case, writes its files, and gives the image's name in ``images/``
            and the class.
        progress: Called with (cases done, cases) after each.

    Returns:
        The ids of the cases.

    Raises:
        InputError: If there is to be no case.
    """
    if cases < 1:
        raise InputError(f"{root}: cases must be 1 or more, got {cases}.")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("image", "label"))
    ids = [f"{prefix}_{number:04d}" for number in range(cases)]
    for number, id in enumerate(ids):
        rows.writerow(write_case(number, id))
        if progress:
            progress(number + 1, cases)
    write_text(Path(root) / "table.csv", text.getvalue())
    return ids
