"""RAM on MNIST's digits, at rest (28 x 28) and anywhere on 60 x 60, against networks that see the whole image at once
and against itself with random locations.

Digits come from MNIST's 10,000 test digits, of which even seeds of ``saccade data make digits-translated`` draw from
8,000 and odd ones from the other 2,000: nothing is trained on what is scored. Settings were chosen on a part of the
8,000 that was held out then.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from common import once, saccade, write_record
from targets import Result, against, arm, run
from torch import Tensor
from torch.nn import functional as F

import saccade as library
from saccade.attention import GlimpseSensor, LocationPolicy
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.synthetic.class_shortcuts import class_shortcuts
from saccade.data.synthetic.digits import SIDE
from saccade.losses.hybrid import decision_loss
from saccade.systems.ram import RAM
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.classification.targets import encode

SOURCE = "MNIST's idx files of 10,000 digits, in a folder mnist_t10k"
SEEDS = range(3)
CASES = {"train": (0, 20_000), "test": (1, 1_000)}  # seed of the data (even and odd ones share no digit), and how many
SHORTCUT_CASES = 3_000
BATCHES = 40  # of the two variances
STEPS, BATCH = 2_000, 64
SHARED = (
    "training.epochs=4", f"training.steps_per_epoch={STEPS // 4}", f"training.batch_size={BATCH}",
    "training.validate_every=4", "training.precision=32-true", "training.loggers=[csv]", "training.learning_rate=1e-3",
    "training.cache_memory_gb=1", "augmentation.probability=0",
)  # fmt: skip
CONTROLS = "evidence.ram_controls"
NOTES = [
    "The paper trains on 60,000 digits and makes translated ones anew for every step, for as long as it takes; here "
    f"16,000 images of 8,000 digits and {STEPS} steps of {BATCH}: errors are larger for all networks and "
    "are to be held against one another, not against the paper's.",
    "Four glimpses on 60 x 60 (the paper has rows for 4, 6 and 8), six on 28 x 28, one drawn pass an image and step.",
    "AdamW with one rate for all networks in place of SGD with a rate found by random search for each.",
    "RAM and its random control answer with the mean of 8 drawn passes, as the preset has it; the others see the image "
    "once. What a single pass gives is under errors_percent_of_one_pass.",
    "Rate and std were chosen from two each in 800 to 1,000 steps on 1,500 of the training digits that were held out.",
    "One thread for each run, up to three other jobs beside it on two cores: seconds are upper bounds.",
]


@dataclass(frozen=True)
class Setting:
    """One kind of picture: pixels of its side, and how often RAM looks at it."""

    canvas: int
    glimpses: int

    @property
    def networks(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Name -> system and its settings."""
        looks, side = (f"network.glimpses={self.glimpses}",), (f"network.side={self.canvas}",)
        return {
            "ram": ("ram", looks),
            "random locations": ("ram", (*looks, "network.locations=random")),
            "fully connected": (f"{CONTROLS}:FullyConnected", side),
            "convolutional": (f"{CONTROLS}:Convolutional", side),
        }


SETTINGS = (Setting(28, 6), Setting(60, 4))
# Errors in per cent that notes on the paper and its reproductions tell; which of the two published versions it is from.
PAPER = {
    "source": "Mnih et al. 2014; two published versions circulate, these are version A's, recalled and not verified",
    "28": {"ram, 6 glimpses": 1.29, "fully connected": 1.35},
    "60": {"ram, 4 glimpses": 2.29, "ram, 8 glimpses": 1.84, "fully connected": 3.7, "convolutional": 2.31},
    "version B, 28": {"ram, 6 glimpses": 1.12, "fully connected": 1.69, "convolutional": 1.21},
    "version B, 60": {"ram, 4 glimpses": 1.54, "fully connected": 2.63, "convolutional": 1.62},
}


def ram(options: argparse.Namespace) -> None:
    """Both kinds of pictures, and the record."""
    parts = {str(setting.canvas): _study(options, setting) for setting in SETTINGS}
    moved = parts["60"]
    headline = moved["against"]["random locations"]
    write_record(
        "ram",
        {
            "data": {
                "name": "MNIST's test digits, translated on 60 x 60 (and as they are, 28 x 28)",
                "source": SOURCE,
                "train": "16,000 of 20,000 pictures of 8,000 digits (seed 0), the others left alone",
                "test": f"{CASES['test'][1]:,} pictures of the other 2,000 digits (seed 1)",
            },
            "control": "ram with random locations",
            "metric": "accuracy",
            **headline,
            "shortcut_baselines": moved["shortcuts"]["accuracy"],
            "canvases": parts,
            "paper": PAPER,
            "accept": _accept(moved, options),
            "notes": NOTES,
        },
    )


def _study(options: argparse.Namespace, setting: Setting) -> Result:
    train, test = (_make(options, setting, part) for part in CASES)
    results = {
        name: [
            run(
                system,
                train,
                test,
                work=options.work,
                part=f"ram-{setting.canvas}-{name.replace(' ', '-')}-{seed}",
                seed=seed,
                settings=(*SHARED, *settings),
                options=("--preset", "default"),
            )
            for seed in SEEDS
        ]
        for name, (system, settings) in setting.networks.items()
    }
    looks = {
        name: [_looks(options, setting, name, seed, test) for seed in SEEDS] for name in ("ram", "random locations")
    }
    return {
        "arms": {name: arm(found) for name, found in results.items()},
        "errors_percent": {
            name: [
                100 - 100 * float(np.mean([case["correct"] for case in result["cases"].values()])) for result in found
            ]
            for name, found in results.items()
        },
        "errors_percent_of_one_pass": {
            name: {how: [look["errors_percent"][how] for look in found] for how in found[0]["errors_percent"]}
            for name, found in looks.items()
        },
        "pixels_from_digit": {
            name: np.mean([look["pixels_from_digit"] for look in found], 0).tolist() for name, found in looks.items()
        },
        "against": {name: against(results["ram"], found) for name, found in results.items() if name != "ram"},
        "shortcuts": once(f"ram-{setting.canvas}-shortcuts", lambda: _shortcuts(options, setting, test)),
    }


def _make(options: argparse.Namespace, setting: Setting, part: str, cases: int | None = None) -> Path:
    """The data set of a part, made if it is not there."""
    seed, count = CASES[part]
    folder = Path(options.work / f"ram-data-{setting.canvas}-{part}-{cases or count}")
    if not (folder / "truth").is_dir():  # it comes last
        digits = options.data / "mnist_t10k"
        sizes = ("--cases", cases or count, "--seed", seed, "--canvas", setting.canvas)
        saccade("data", "make", "digits-translated", folder, "--digits", digits, *sizes)
    return folder


def _shortcuts(options: argparse.Namespace, setting: Setting, test: Path) -> Result:
    return {"accuracy": class_shortcuts(_make(options, setting, "train", SHORTCUT_CASES), test)}


def _opened(
    options: argparse.Namespace, setting: Setting, name: str, seed: int, test: Path
) -> tuple[RAM, Tensor, Tensor]:
    """A trained network with the prepared test images and their classes."""
    predictor = library.load(options.work / f"ram-{setting.canvas}-{name.replace(' ', '-')}-{seed}")
    assert isinstance(predictor, ClassificationPredictor)
    assert isinstance(predictor.network, RAM)
    cases = find_image_dataset(test).labelled()
    images = torch.stack([predictor.prepared(case.source) for case in cases])
    return predictor.network, images, torch.stack([encode(case, predictor.config.data) for case in cases])


def _looks(options: argparse.Namespace, setting: Setting, name: str, seed: int, test: Path) -> Result:
    """Errors of a single pass, drawn or without chance, and how far each drawn glimpse is from the digit's middle."""

    def make() -> Result:
        network, images, truth = _opened(options, setting, name, seed, test)
        generator = torch.Generator().manual_seed(seed)
        with torch.inference_mode(), library.record(network) as maps:
            said = {
                "drawn": network(images, samples=1, generator=generator),
                "from the middle": network(images, samples=0),
            }
        path = torch.stack(maps["glimpse.sensor.map"].calls[: network.glimpses])
        with (test / "truth" / "places.csv").open(encoding="utf-8") as file:
            corners = torch.tensor([[float(row["column"]), float(row["row"])] for row in csv.DictReader(file)])
        away = ((path + 1) / 2 * setting.canvas - (corners + SIDE / 2)).norm(dim=2).mean(1)
        return {
            "errors_percent": {
                how: 100 * float((found.argmax(1) != truth).float().mean()) for how, found in said.items()
            },
            "pixels_from_digit": away.tolist(),
        }

    return once(f"ram-{setting.canvas}-{name.replace(' ', '-')}-{seed}-looks", make)


def _accept(moved: Result, options: argparse.Namespace) -> Result:
    """The items of the sheet, with what they came to."""
    learned, drawn = (float(np.mean(moved["errors_percent"][name])) for name in ("ram", "random locations"))
    single = moved["errors_percent_of_one_pass"]
    learned_1, drawn_1 = (float(np.mean(single[name]["drawn"])) for name in ("ram", "random locations"))
    variance = once("ram-60-variance", lambda: _variance(options, SETTINGS[1]))
    return {
        "errors fall by 8 % or more against random locations": (drawn - learned) / drawn >= 0.08,
        "relative fall of the errors": (drawn - learned) / drawn,
        "relative fall of the errors of a single drawn pass": (drawn_1 - learned_1) / drawn_1,
        "variance of the policy's gradient is smaller with the baseline": variance["with"] < variance["without"],
        "variance with, without": [variance["with"], variance["without"]],
        "a point looked at is in the glimpse's middle, for all locations of a grid": _points_are_in_the_middle(),
        "the gradient of log pi is (l - mu) / sigma^2": _policy_is_exact(),
    }


def _variance(options: argparse.Namespace, setting: Setting) -> Result:
    """Summed variance of the gradient of the policy's weights over drawn passes on batches of test images."""
    network, images, truth = _opened(options, setting, "ram", 0, _make(options, setting, "test"))
    gradients: dict[str, list[Tensor]] = {"with": [], "without": []}
    torch.manual_seed(0)
    for batch in range(BATCHES):
        chosen = torch.arange(batch * BATCH, (batch + 1) * BATCH) % len(images)
        looks = network.look(images[chosen])
        right = (looks.scores.argmax(1) == truth[chosen]).float()
        for name, baselines in (("with", looks.baselines), ("without", torch.zeros_like(looks.baselines))):
            loss = decision_loss(right, looks.log_probabilities, baselines)
            gradients[name].append(torch.autograd.grad(loss, network.policy.out.weight, retain_graph=True)[0])
    return {name: float(torch.stack(found).var(0).sum()) for name, found in gradients.items()}


def _points_are_in_the_middle(side: int = 15, size: int = 3) -> bool:
    sensor, places = GlimpseSensor(size), (2 * torch.arange(side) + 1) / side - 1
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    images = F.one_hot((rows * side + columns).flatten(), side**2).reshape(-1, 1, side, side).float()
    seen = sensor(images, torch.stack([places[columns.flatten()], places[rows.flatten()]], 1))
    return bool((seen[:, 0, size // 2, size // 2] == 1).all())


def _policy_is_exact() -> bool:
    policy, state = LocationPolicy(4, std=0.2).double(), torch.randn(50, 4, dtype=torch.double)
    with library.record(policy) as maps:
        location, log_probability = policy(state, generator=torch.Generator().manual_seed(0))
    drawn = (location.abs() < 1).all(1)  # the others were clamped afterwards
    found = torch.autograd.grad(log_probability[drawn].sum(), policy.out.bias)[0]
    expected = (location - maps["aim"].tensor)[drawn].sum(0) / 0.2**2
    return bool(drawn.any()) and torch.allclose(found, expected)
