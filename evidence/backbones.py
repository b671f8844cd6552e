"""LeNet, AlexNet, VGG, DenseNet and VGG with attention estimators on real chest X-rays, each against its control.

Data, budget and scores are those of the ResNets' study (`attention_resnets`), whose plain ResNet is the control of
three. VGG with estimators is held against itself without them there and on small digits among pieces of others, whose
places are known. Nothing is chosen by looking at a test part.
"""

import argparse
from collections.abc import Callable
from typing import Any

import attention_resnets
import backbone_sheets
import numpy as np
from attention_resnets import SEEDS, Data, compared, shortcuts, table_row
from common import once, saccade, write_record
from distorted_digits import SOURCE as DIGITS_SOURCE
from distorted_digits import digit_sets, energies
from distorted_digits import shortcuts as digit_shortcuts
from targets import Result, against, arm, run

from saccade.data.synthetic.digits_distorted import DISTORTIONS
from saccade.systems import find_system

SOURCE = "pneumoniamnist of MedMNIST v2 (doi:10.1038/s41597-022-01721-8), in a folder so called"
MONAI, PLAIN = "monai.networks.nets:DenseNet", "evidence.controls:VGGWithoutEstimators"
NAMES = {MONAI: "MONAI's DenseNet, same widths", PLAIN: "the same VGG without estimators"}
BLOCKS = ("network.channels=[16,32,64]", "network.convolutions=[1,1,2]")
# DenseNet with the stem for large pictures, the only one that MONAI has.
NETWORKS: dict[str, tuple[str, ...]] = {
    "lenet": (),
    "alexnet": (),
    "vgg": BLOCKS,
    "densenet": ("network.stem=imagenet", "network.growth=8", "network.blocks=[2,4,4]", "network.width=16"),
    MONAI: ("network.growth_rate=8", "network.block_config=[2,4,4]", "network.init_features=16"),
    "learn-to-pay-attention": BLOCKS,
    PLAIN: BLOCKS,
}
CONTROLS = {
    "lenet": "resnet",
    "alexnet": "resnet",
    "vgg": "resnet",
    "densenet": MONAI,
    "learn-to-pay-attention": PLAIN,
}
DIGITS = (
    "training.epochs=4", "training.steps_per_epoch=100", "training.validate_every=4", "training.batch_size=32",
    "training.precision=32-true", "training.loggers=[csv]", "augmentation.probability=0", "augmentation.noise=0",
    "augmentation.brightness=0", "augmentation.contrast=[1,1]", "data.size=[40,40]",
)  # fmt: skip
NOTES = [
    "Every network: 400 steps of 32 images, balanced class weights, preset tiny (widths of a few dozen channels); "
    "nothing was tuned, neither to the set nor to a network.",
    "torchvision has no build beside this torch without its compiled operators: AlexNet and VGG are held against the "
    "plain ResNet in its place, DenseNet against MONAI's.",
    "One thread for each run, another job beside it: seconds are upper bounds.",
]


def results_of(options: argparse.Namespace, data: Data, system: str) -> list[Result]:
    """Every seed of one network on the X-rays; the plain ResNet's are those of its own study."""
    if system == "resnet":
        return attention_resnets.results_of(options, data, system)
    return attention_resnets.results_of(options, data, system, networks=NETWORKS, short=short(system))


def short(system: str) -> str:
    """A name for files."""
    return {MONAI: "monai-densenet", PLAIN: "vgg-without-estimators"}.get(system, system)


def one_record(system: str) -> Callable[[argparse.Namespace], None]:
    """The study that fills the record of one of the systems."""

    def fill(options: argparse.Namespace) -> None:
        control = CONTROLS[system]
        archive = options.data / "pneumoniamnist" / "pneumoniamnist_trainval.npz"
        data = Data("pneumoniamnist", archive, "1", ("training.steps_per_epoch=100",))
        runs = {name: results_of(options, data, name) for name in (system, control)}
        further = compared(data, runs[system], runs[control])
        main = further.pop("balanced accuracy")
        record = {
            "control": NAMES.get(control, control),
            "task": "classification",
            "paper": find_system(system).paper,
            "data": {
                "name": "pneumoniamnist (3,882 X-rays to learn, 524 to test: pneumonia or none)",
                "source": SOURCE,
                "licence": "CC-BY 4.0",
            },
            "metric": "balanced accuracy, seeds averaged",
            "seeds": len(SEEDS),
            **main,
            "on": further,
            "table": {data.name: {NAMES.get(name, name): table_row(found) for name, found in runs.items()}},
            "arms": {NAMES.get(name, name): arm(found) for name, found in runs.items()},
            **sheet_of(options, system),
            "shortcut_baselines": shortcuts(data),
            "notes": NOTES,
        }
        write_record(system, record)

    return fill


def estimators(options: argparse.Namespace) -> None:
    """VGG with and without estimators on small digits among pieces of others, and where its attention lies there."""
    kind, system = "easy", "learn-to-pay-attention"
    train, test = digit_sets(options, kind)

    def results(name: str) -> list[Result]:
        return [
            run(
                name, train, test, work=options.work, part=f"digits-{kind}-{short(name)}-{seed}", seed=seed,
                settings=(*DIGITS, *NETWORKS[name]), options=("--preset", "tiny"),
            )
            for seed in SEEDS
        ]  # fmt: skip

    ours = results(system)
    folders = [options.work / f"digits-{kind}-{system}-{seed}" for seed in SEEDS]
    canvas = DISTORTIONS[kind].canvas
    found = [once(f"{folder.name}-energy", lambda folder=folder: energies(folder, test, canvas)) for folder in folders]
    control = results(PLAIN)
    keys = ("share_in_the_digit_s_box", "peak_in_the_digit_s_box")
    record = {
        "control": NAMES[PLAIN],
        "task": "classification",
        "paper": find_system(system).paper,
        "data": {"name": DIGITS_SOURCE.format(kind=kind)},
        "metric": "accuracy on small digits among pieces of others, seeds averaged",
        "seeds": len(SEEDS),
        **against(ours, control),
        "on": {"log likelihood of a case": against(ours, control, "loss")},
        "arms": {system: arm(ours), NAMES[PLAIN]: arm(control)},
        **{key: {name: float(np.mean([one[key][name] for one in found])) for name in found[0][key]} for key in keys},
        "area_of_the_box": found[0]["area_of_the_box"],
        "shortcut_baselines": digit_shortcuts(options, kind),
        "notes": [NOTES[0].replace(", balanced class weights", "").replace("the set", "the digits"), NOTES[-1]],
    }
    write_record(f"{system}-digits", record)


def sheet_of(options: argparse.Namespace, system: str) -> dict[str, Any]:
    """What the family's small experiments found."""
    if system not in backbone_sheets.FAMILIES:
        return {}
    accept = {
        "parameters and volumes": once(f"backbones-{system}-sheet", lambda: backbone_sheets.checks(system))["accept"]
    }
    if system == "lenet":
        accept["scikit-learn's digits as they are"] = plain_digits(options)
    return {"accept": accept}


def plain_digits(options: argparse.Namespace) -> dict[str, Any]:
    """LeNet's accuracy on digits as they are."""
    sets = [options.work / f"digits-plain-{name}" for name in ("train", "test")]
    for seed, (folder, cases) in enumerate(zip(sets, (6000, 1000), strict=True)):
        if not (folder / "truth" / "places.csv").is_file():
            words = ("--canvas", 28, "--cases", cases, "--seed", seed)
            saccade("data", "make", "digits-translated", folder, *words)
    settings = (*DIGITS[:-1], "training.batch_size=64")
    found = [
        run("lenet", *sets, work=options.work, part=f"digits-plain-lenet-{seed}", seed=seed, settings=settings,
            options=("--preset", "tiny"))
        for seed in SEEDS
    ]  # fmt: skip
    score = arm(found)
    return {
        "accuracy, at least 0.97": round(score["score"], 4),
        "at least 0.97": score["score"] >= 0.97,
        "training seconds, below 60": [round(seconds, 1) for seconds in score["training_seconds"]],
    }


STUDIES = {system: one_record(system) for system in CONTROLS}
DIGIT_STUDIES = {"learn-to-pay-attention-digits": estimators}
