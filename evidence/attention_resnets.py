"""The ResNets with attention against the plain one, and that one against MONAI's, on two sets of real chest X-rays.

One study fills six records. All networks are ResNets of four stages with one block each, trained by the same settings
for the same number of steps; the tests are the sets' own held-out part (pneumoniamnist) and patients kept apart
(hannover_cxr_view). Nothing is chosen by looking at a test part. The small experiments that the papers' mechanisms
have to pass are in `channel_sheets` and `read_out_sheets`.
"""

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import channel_sheets
import numpy as np
import read_out_sheets
from common import once, write_record
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from targets import Result, against, arm, run

from saccade.data.classification.case import Case
from saccade.data.classification.folds import deal_folds
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.classification.prepare import resize
from saccade.data.classification.read import read_image, with_channels
from saccade.metrics.classification import score_classes
from saccade.metrics.ranking import auroc, bootstrap
from saccade.systems import find_system

SOURCE = "pneumoniamnist of MedMNIST v2, and the COVID-19 Image Repository (doi:10.25835/0090041), in folders so called"
SEEDS = range(3)
WIDTHS = "[8,16,32,64]"
SHARED = (
    "training.epochs=4", "training.validate_every=4", "training.class_weights=balanced", "training.loggers=[csv]",
    "training.precision=32-true", "training.batch_size=32",
)  # fmt: skip
OURS = (f"network.channels={WIDTHS}", "network.blocks=[1,1,1,1]")
MONAI = "monai.networks.nets:ResNet"
NETWORKS: dict[str, tuple[str, ...]] = {
    "resnet": OURS,
    "se-resnet": (*OURS, "network.reduction=4"),
    "cbam-resnet": (*OURS, "network.reduction=4"),
    "eca-resnet": OURS,
    "sca-resnet": (*OURS, "network.inner_channels=16"),
    "nonlocal-resnet": OURS,
    MONAI: (
        "network.block=basic", "network.layers=[1,1,1,1]", f"network.block_inplanes={WIDTHS}",
        "network.n_input_channels=1", "network.num_classes=2", "network.conv1_t_size=3", "network.conv1_t_stride=1",
        "network.no_max_pool=true", "network.bias_downsample=false",
    ),
}  # fmt: skip
CONTROLS = {name: MONAI if name == "resnet" else "resnet" for name in NETWORKS if name != MONAI}
# The small experiment of each mechanism, the name it is kept under, and what holds without any training.
SHEETS: dict[str, tuple[str, Callable[[], dict[str, Any]], Callable[[], dict[str, bool]]]] = {
    "se-resnet": ("sheet-means-of-channels", channel_sheets.means, channel_sheets.exact_se),
    "eca-resnet": ("sheet-means-of-channels", channel_sheets.means, channel_sheets.exact_eca),
    "cbam-resnet": ("sheet-dots", channel_sheets.dots, channel_sheets.exact_cbam),
    "sca-resnet": ("sheet-read-out-by-query", read_out_sheets.by_query, read_out_sheets.exact_sca),
    "nonlocal-resnet": ("sheet-corners", read_out_sheets.corners, read_out_sheets.exact_non_local),
}
NOTES = [
    "All networks: one block in each of four stages of 8, 16, 32 and 64 channels, 400 steps of 32 images on "
    "pneumoniamnist, 160 on hannover_cxr_view (at 40 x 48 pixels), balanced class weights, preset tiny; nothing was "
    "tuned, neither to the sets nor to a network.",
    "torchvision has no build beside this torch without its compiled operators; MONAI's ResNet is the independent "
    "control of resnet: same widths, stem and shortcuts, made by other code.",
    "Held-out images of one patient (hannover_cxr_view) are not independent: intervals over images are too narrow "
    "there, those over patients are not.",
    "One thread for each run, another job beside it: seconds are upper bounds.",
    "Widths are an eighth of ResNet-18's and every stage has one block, so that 42 trainings take minutes.",
]


@dataclass(frozen=True)
class Data:
    """One set: where it lies, what is told apart, and how long every network learns from it.

    Attributes:
        positive: The class whose probability is ranked.
        settings: On the command line.
        grouped: Whether several images are of one patient, who then counts once.
    """

    name: str
    path: Path
    positive: str
    settings: tuple[str, ...]
    grouped: bool = False


def open_sets(data: Path, work: Path) -> list[Data]:
    """Both sets, their test parts called validation in a data set that has no other (it is never looked at)."""
    split = work / "hannover_split"
    write_patients_apart(data / "hannover_cxr_view", split)
    archive = data / "pneumoniamnist" / "pneumoniamnist_trainval.npz"
    return [
        Data("pneumoniamnist", archive, "1", ("training.steps_per_epoch=100",)),
        Data("hannover_cxr_view", split, "pa", ("training.steps_per_epoch=40", "data.size=[40,48]"), grouped=True),
    ]


def write_patients_apart(source: Path, folder: Path) -> None:
    """A table of all images in which two fifths of the patients, with their share of both projections, are held out."""
    with (source / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    cases = [Case(row["file"], source / row["file"], (row["projection"],), None, row["patient"]) for row in rows]
    folds = deal_folds(cases, 5, by_class=True, seed=0)
    test = {id for fold in folds[:2] for id in fold}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "image", "projection", "patient", "split"])
        for row in rows:
            part = "val" if row["file"] in test else "train"
            image = (source / "images" / row["file"]).resolve()
            writer.writerow([Path(row["file"]).stem, image, row["projection"], row["patient"], part])


def results_of(
    options: argparse.Namespace,
    data: Data,
    system: str,
    *,
    networks: Mapping[str, Sequence[str]] = NETWORKS,
    short: str | None = None,
) -> list[Result]:
    """Every seed of one network on one set; ``short`` is its name in the names of files."""
    short = short or ("monai-resnet" if system == MONAI else system)
    return [
        run(
            system,
            data.path,
            data.path,
            work=options.work,
            part=f"{data.name}-{short}-{seed}",
            seed=seed,
            settings=(*SHARED, *data.settings, *networks[system]),
            options=("--preset", "tiny"),
            split="validation",
        )
        for seed in SEEDS
    ]


def balanced(results: Sequence[Result]) -> list[Result]:
    """The same with each case's correctness weighed so that its mean over cases is the balanced accuracy."""
    cases = results[0]["cases"]
    truths = [case["truth"] for case in cases.values()]
    weights = {truth: len(truths) / truths.count(truth) / len(set(truths)) for truth in truths}
    return [
        {"cases": {id: {"correct": weights[c["truth"]] * c["correct"]} for id, c in result["cases"].items()}}
        for result in results
    ]


def by_patient(results: Sequence[Result], patients: Mapping[str, str]) -> list[Result]:
    """The same with a patient's images as one case, the mean of theirs."""
    merged = []
    for result in results:
        images: dict[str, list[Result]] = {}
        for id, case in result["cases"].items():
            images.setdefault(patients[id], []).append(case)
        cases = {
            patient: {
                key: float(np.mean([case[key] for case in found])) for key in found[0] if key in ("correct", "loss")
            }
            for patient, found in images.items()
        }
        merged.append({"cases": cases})
    return merged


def ranking(results: Sequence[Result], control: Sequence[Result], positive: str) -> dict[str, Any]:
    """AUROC of both, seeds averaged, and its difference, with an interval over cases drawn again and again."""
    cases = len(results[0]["cases"])
    of_all = np.ones((1, cases))
    score, other = (float(mean_auroc(side, positive, of_all)[0]) for side in (results, control))
    differences = bootstrap(lambda w: {"": mean_auroc(results, positive, w) - mean_auroc(control, positive, w)}, cases)
    return {"score": score, "control_score": other, "difference": score - other, "interval_95": [*differences[""]]}


def mean_auroc(results: Sequence[Result], positive: str, weights: np.ndarray) -> np.ndarray:
    """The mean over seeds for each row of weights (draws, cases)."""
    ids = list(results[0]["cases"])
    truth = np.array([results[0]["cases"][id]["truth"] == positive for id in ids])
    return np.mean([auroc(truth, _probabilities(result, ids, positive), weights) for result in results], 0)


def _probabilities(result: Result, ids: Sequence[str], positive: str) -> np.ndarray:
    """Of the positive class, from the probability of the true one, which the loss is the logarithm of."""
    of_truth = np.exp([-result["cases"][id]["loss"] for id in ids])
    is_positive = np.array([result["cases"][id]["truth"] == positive for id in ids])
    return np.where(is_positive, of_truth, 1 - of_truth)


def compared(data: Data, results: Sequence[Result], control: Sequence[Result]) -> dict[str, Any]:
    """Everything that is compared on one set."""
    found = {
        "balanced accuracy": against(balanced(results), balanced(control)),
        "AUROC": ranking(results, control, data.positive),
        "log likelihood of a case": against(results, control, "loss"),
    }
    if data.grouped:
        patients = {case.id: str(case.group) for case in find_image_dataset(data.path).cases}
        sides = [by_patient(side, patients) for side in (results, control)]
        found["log likelihood of a patient"] = against(sides[0], sides[1], "loss")
    return found


def shortcuts(data: Data) -> dict[str, float]:
    """Balanced accuracy and AUROC of the mean brightness and of thumbnails of 8 x 8 pixels, by logistic regression."""
    cases = [case for case in find_image_dataset(data.path).labelled() if case.split != "test"]
    thumbnails = np.stack([_thumbnail(case) for case in cases])
    held_out = np.array([case.split == "validation" for case in cases])
    truth = np.array([case.values[0] == data.positive for case in cases], int)
    found = {}
    for name, features in {"mean brightness": thumbnails.mean(1, keepdims=True), "8 x 8 thumbnail": thumbnails}.items():
        scaled = StandardScaler().fit(features[~held_out]).transform(features)
        model = LogisticRegression(class_weight="balanced", max_iter=5000).fit(scaled[~held_out], truth[~held_out])
        said = model.predict_proba(scaled[held_out])
        scores = score_classes(truth[held_out], said, ["other", data.positive], ordinal=False)["summary"]
        for score in ("balanced_accuracy", "auroc"):
            found[f"{data.name}, {name}, {score}"] = scores[score]["value"]
    return found


def _thumbnail(case: Case) -> np.ndarray:
    import torch

    image = torch.from_numpy(np.moveaxis(with_channels(read_image(case.source), 1, case.id), -1, 0).copy())
    return np.asarray(resize(image, (8, 8)).flatten())


def table_row(results: Sequence[Result]) -> dict[str, float]:
    """What one network scores and costs: means over the seeds."""
    cost = arm(results)
    mean = {name: float(np.mean([seed[name] for seed in cost["per_seed"]])) for name in cost["per_seed"][0]}
    return {
        "balanced_accuracy": mean["balanced_accuracy"],
        "auroc": mean["auroc"],
        "log_loss": mean["log_loss"],
        "parameters": cost["parameters"],
        "mflop": cost["forward_pass"]["gflop"] * 1e3,
        "seconds_per_image": float(np.median([result["forward_pass"]["seconds"] for result in results])),
        "training_seconds": float(np.mean(cost["training_seconds"])),
    }


def sheet_of(system: str) -> dict[str, Any]:
    """What the mechanism's small experiment found, item by item; nothing for the plain network, which has none."""
    if system not in SHEETS:
        return {}
    part, make, exact = SHEETS[system]
    found = once(part, make)
    figures = {key: value for key, value in found.items() if key not in ("accept", "machine", "date", "numbers")}
    return {"accept": {**found["accept"][system], **exact()}, "small_experiment": figures}


def one_record(system: str) -> Callable[[argparse.Namespace], None]:
    """The study that fills the record of one of the systems."""

    def fill(options: argparse.Namespace) -> None:
        control = CONTROLS[system]
        sets = open_sets(options.data, options.work)
        runs = {data.name: {name: results_of(options, data, name) for name in NETWORKS} for data in sets}
        comparisons = {data.name: compared(data, runs[data.name][system], runs[data.name][control]) for data in sets}
        record = {
            "control": "MONAI's ResNet, same widths" if control == MONAI else control,
            "task": "classification",
            "paper": find_system(system).paper,
            "data": {
                "name": "pneumoniamnist (3,882 X-rays to learn, 524 to test: pneumonia or none) and hannover_cxr_view "
                "(172 X-rays of 53 patients, two fifths of the patients to test: projection ap or pa)",
                "source": SOURCE,
                "licence": "CC-BY 4.0; CC-BY 3.0",
            },
            "metric": "balanced accuracy on pneumoniamnist's held-out part, seeds averaged",
            "seeds": len(SEEDS),
            **comparisons["pneumoniamnist"]["balanced accuracy"],
            "on": comparisons,
            "table": {data.name: {name: table_row(found) for name, found in runs[data.name].items()} for data in sets},
            "arms": {data.name: {name: arm(runs[data.name][name]) for name in (system, control)} for data in sets},
            **sheet_of(system),
            "shortcut_baselines": {name: score for data in sets for name, score in shortcuts(data).items()},
            "notes": NOTES,
        }
        write_record(system, record)

    return fill


STUDIES = {system: one_record(system) for system in CONTROLS}
