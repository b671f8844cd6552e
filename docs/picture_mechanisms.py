"""Draws the pictures of the pages on attention mechanisms: docs/images/attention-*.

python docs/picture_mechanisms.py [NAME ...]
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import mechanism_abdomens as abdomens
import mechanism_captions as captions
import mechanism_digits as digits
import mechanism_words as words
import torch
from mosaic import save_mosaic

IMAGES = Path(__file__).parent / "images"
PROCESSES = 2
Drawing = tuple[Callable[[], list[abdomens.Row]], *tuple[int, ...]]

# File: what draws it, and how high its rows are in pixels. Those of one group share a trained network.
PICTURES: Sequence[Mapping[str, Drawing]] = (
    {
        "attention-non-local.jpg": (abdomens.draw_non_local, 300),
        "attention-project-excitation.jpg": (abdomens.draw_project, 240),
    },
    {
        "attention-bam.jpg": (abdomens.draw_bam, 240),
        "attention-cbam.jpg": (abdomens.draw_cbam, 260),
        "attention-concurrent-squeeze.jpg": (abdomens.draw_scse, 260),
    },
    {"attention-unet.jpg": (abdomens.draw_unet, 260)},
    {"attention-visual.png": (captions.draw_visual, 160)},
    {"attention-sca.png": (captions.draw_sca, 150, 260)},
    {"attention-glimpse.png": (digits.draw_glimpse, 300, 165)},
    {"attention-alignment.png": (words.draw_alignment, 420)},
    {"attention-multi-head.png": (words.draw_heads, 330)},
    {"attention-spatial-transformer.png": (digits.draw_transformer, 200)},
    {"attention-eca.png": (digits.draw_eca, 270), "attention-squeeze-excitation.png": (digits.draw_squeeze, 260)},
)


def draw_mechanisms(names: Sequence[str] = ()) -> None:
    """Draw and write the pictures of these names, or all, in two processes of one thread each."""
    chosen = [[name for name in group if not names or name in names] for group in PICTURES]
    jobs = [job for job in enumerate(chosen) if job[1]]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, context, initializer=_prepare) as pool:
        for said in pool.map(_draw_group, jobs):
            print(said, flush=True)


def _prepare() -> None:
    """One thread: these networks are small, and what is drawn is then the same on any number of cores."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def _draw_group(job: tuple[int, list[str]]) -> str:
    number, names = job
    began = time.perf_counter()
    for name in names:
        make, *heights = PICTURES[number][name]
        save_mosaic(IMAGES / name, make(), heights=heights)
    return f"{', '.join(names)}: {time.perf_counter() - began:.0f} s"


def main() -> None:
    """Read the options and draw."""
    known = [name for group in PICTURES for name in group]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"files to draw; all if none: {', '.join(known)}")
    names = parser.parse_args().names
    unknown = set(names) - set(known)
    if unknown:
        parser.error(f"no picture is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    draw_mechanisms(names)


if __name__ == "__main__":
    main()
