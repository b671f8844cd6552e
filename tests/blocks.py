"""The fenced blocks of README and docs, and what it takes to run them as a reader would."""

import contextlib
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saccade.cli.main import main
from saccade.data.synthetic import simulate_abdomen
from saccade.data.volume import Volume, write_volume
from saccade.files import write_json

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted((DOCS / "foundations").glob("*.md"))]
SET_UP = ["make demo", "make test"]  # the two commands of the README that a test does not run
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_STEP = (6, 6, 4)  # every so many voxels of a simulated abdomen: what is learnt from them is nothing, but quickly


@dataclass(frozen=True)
class Block:
    """A block, and the text block that stands right behind it: its output."""

    language: str
    code: str
    output: str | None


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in order; a text block behind a block that runs is its output."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end = -1
    for match in _FENCE.finditer(text):
        language, code = match.groups()
        if language == "text" and found and not text[end : match.start()].strip() and found[-1].output is None:
            found[-1] = Block(found[-1].language, found[-1].code, code)
        else:
            found.append(Block(language, code, None))
        end = match.end()
    return found


def run_block(block: Block, namespace: dict[str, object]) -> str:
    """What a Python or shell block prints.

    Raises:
        AssertionError: If a shell line is none of `saccade` or fails.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if block.language == "python":
            exec(compile(block.code, "<block>", "exec"), namespace)
        elif block.code.split("\n") != [*SET_UP, ""]:
            for line in block.code.replace("\\\n", " ").strip().split("\n"):
                words = shlex.split(line)
                assert words[0] == "saccade", f"not a command that can be tested: {line}"
                assert main(words[1:]) == 0, line
    return printed.getvalue()


def make_demo(folder: Path) -> None:
    """The folders that ``make demo`` leaves, with abdomens of a few voxels and a network of one epoch."""
    for name, seed, cases in (("abdomens", 0, 5), ("unseen", 1000, 1)):
        for case in range(1, cases + 1):
            image, label, affine = simulate_abdomen(seed, case)
            coarse, every = affine @ np.diag([*_STEP, 1.0]), tuple(slice(None, None, step) for step in _STEP)
            training = folder / name / "Training"
            write_volume(Volume(image[every].copy(), coarse), training / "img" / f"img{case:04d}.nii.gz")
            write_volume(Volume(label[every].copy(), coarse), training / "label" / f"label{case:04d}.nii.gz")
        organs = {str(number): f"organ {number}" for number in range(1, 14)}
        write_json(folder / name / "labels.json", organs)
    data, run = str(folder / "abdomens"), str(folder / "run")
    quick = ["--preset", "tiny", "--set", "training.epochs=1", "--set", "training.steps_per_epoch=2"]
    assert main(["train", "attention-unet", "--data", data, "--out", run, *quick]) == 0
