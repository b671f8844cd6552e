"""Attention U-Net and U-Net on 217 real MR volumes of the hippocampus, five folds, equal seconds of training.

Fills attention-unet.json (against the U-Net of the same widths and one widened to the same number of parameters, the
paper's own comparison) and unet.json (against MONAI's residual UNet in a plain MONAI pipeline, three folds).
What each finished run gave is kept in parts/, so a study that was stopped goes on where it was.
"""

import argparse
from typing import Any

import ladder
from common import Scores, comparison, mean_per_case, once, run_script, saccade, write_record
from profile_step import profile_step

from saccade.files import read_json
from saccade.networks import UNet
from saccade.study.cost import measure_cost
from saccade.study.statistics import bootstrap_interval, compare_paired
from saccade.systems import build
from saccade.tasks.settings import read_yaml

DATA = {
    "name": "hippocampus, Medical Segmentation Decathlon Task04",
    "source": "http://medicaldecathlon.com (Antonelli et al. 2022, Nat Commun 13:4128; Simpson et al. 2019, "
    "arXiv:1902.09063); the 217 labelled volumes of github.com/udacity/nd320-c3-3d-imaging-starter",
    "licence": "CC-BY-SA 4.0",
    "cases": 217,
}
# Weights are the latest, not the best on the held-out fold: nothing is chosen by looking at it.
EQUAL = {"training.keep": "last", "training.epochs": 100000, "training.validate_every": 100000}
FOLDS, FOLDS_AGAINST_MONAI = 5, 3
ARMS = ("attention-unet", "unet", "unet-widened")


def widened_channels(channels: list[int], parameters: int, **settings: Any) -> list[int]:
    """Widths of a plain U-Net with as near as possible to so many parameters, in the proportions of ``channels``."""
    scaled = [[round(width * (1 + step / 200)) for width in channels] for step in range(100)]

    def distance(widths: list[int]) -> int:
        return abs(sum(p.numel() for p in UNet(1, 3, channels=widths, **settings).parameters()) - parameters)

    return min(scaled, key=distance)


def run_arm(options: argparse.Namespace, arm: str, fold: int, seconds: float) -> dict[str, Any]:
    """Train one arm on one fold (unless it is there) and give its scores and summary."""
    part = f"hippocampus-{seconds:.0f}s-fold{fold}-{arm}"
    run = options.work / part
    settings = {**EQUAL, "training.max_seconds": seconds}
    if arm == "unet-widened":
        attended = run_arm(options, "attention-unet", fold, seconds)
        network = attended["network"]
        widths = widened_channels(network["channels"], attended["summary"]["parameters"], pooling=network["pooling"])
        settings["network.channels"] = widths

    def train() -> dict[str, Any]:
        system = arm.removesuffix("-widened")
        resume = ["--resume"] if (run / "last.ckpt").is_file() else []
        given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        saccade(
            "train", system, "--data", options.data, "--out", run, "--fold", fold, "--folds", FOLDS, *given, *resume
        )
        return {
            "cases": read_json(run / "validation" / "metrics.json")["cases"],
            "summary": read_json(run / "summary.json"),
            "network": read_yaml(run / "config.yaml")["network"],
        }

    return once(part, train)


def dice_of(result: dict[str, Any]) -> Scores:
    """Case -> structure -> Dice."""
    return {
        case: {organ: float(metrics["dice"]) for organ, metrics in organs.items()}
        for case, organs in result["cases"].items()
    }


def run_folds(options: argparse.Namespace) -> dict[str, tuple[Scores, list[dict[str, Any]]]]:
    """All folds of all arms, fold by fold: every case scored by the network that has not seen it."""
    arms: dict[str, tuple[Scores, list[dict[str, Any]]]] = {arm: ({}, []) for arm in ARMS}
    for fold in range(options.first_folds):
        for arm, (scores, summaries) in arms.items():
            result = run_arm(options, arm, fold, options.seconds)
            scores |= dice_of(result)
            summaries.append(result["summary"])
    return arms


def against_monai(options: argparse.Namespace, network: str, seconds: float, fold: int = 0) -> dict[str, Any]:
    """MONAI's network on a fold, trained as long."""
    given = {"data": options.data, "network": network, "seconds": seconds, "fold": fold, "folds": FOLDS}
    return once(
        f"hippocampus-{seconds:.0f}s-fold{fold}-monai-{network}", lambda: run_script("monai_pipeline.py", **given)
    )


def describe(scores: Scores, summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Score of one arm with its cost."""
    per_case = mean_per_case(scores)
    low, high = bootstrap_interval(list(per_case.values()))
    return {
        "mean_dice": sum(per_case.values()) / len(per_case),
        "interval_95": [low, high],
        "per_structure": {
            organ: sum(found[organ] for found in scores.values()) / len(scores) for organ in next(iter(scores.values()))
        },
        "parameters": summaries[0]["parameters"],
        "steps_per_fold": [summary["steps"] for summary in summaries],
        "training_seconds_per_fold": [summary["training_seconds"] for summary in summaries],
        "peak_memory_bytes": max(summary["peak_memory_bytes"] for summary in summaries),
    }


def attention_unet(options: argparse.Namespace) -> None:
    """Fill attention-unet.json."""
    arms = run_folds(options)
    scores = {arm: mean_per_case(found) for arm, (found, _) in arms.items()}
    side_by_side = {}
    for seconds in (300.0, 600.0):
        ours = dice_of(run_arm(options, "attention-unet", 0, seconds))
        theirs = against_monai(options, "AttentionUnet", seconds)
        side_by_side[f"{seconds:.0f} s"] = {
            **comparison(compare_paired(mean_per_case(ours), mean_per_case(theirs["cases"]))),
            "control": "MONAI AttentionUnet 16-128, plain MONAI pipeline",
            "control_steps": theirs["steps"],
            "remarks": {"ours": _remark(options, seconds), "control": theirs.get("remark")},
        }
    record = {
        "control": "unet: same widths, no gates",
        "task": "segmentation",
        "paper": "Oktay et al. 2018, arXiv:1804.03999",
        "data": DATA,
        "metric": "Dice, mean of anterior and posterior hippocampus, each case scored by the fold that held it out",
        "folds": options.first_folds,
        **comparison(compare_paired(scores["attention-unet"], scores["unet"])),
        "against_widened_unet": comparison(compare_paired(scores["attention-unet"], scores["unet-widened"])),
        "arms": {arm: describe(found, summaries) for arm, (found, summaries) in arms.items()},
        "remark_on_the_folds": _remark(options, options.seconds),
        "against_monai_on_fold_1": side_by_side,
        f"seconds_to_a_mean_dice_of_{ladder.TARGET}_on_fold_1": _time_to_target(options),
        "forward_pass": {arm: _forward_pass(options, arm) for arm in ("attention-unet", "unet")},
        "profile_of_a_training_step": profile_step(
            "attention-unet", classes=3, patch=(32, 48, 32), batch=2, channels=[16, 32, 64, 128]
        ),
        "shortcut_baselines": "none: the data are real",
        "per_case": {arm: found for arm, (found, _) in arms.items()},
        "notes": [
            f"{options.seconds:.0f} s of training a fold on 2 cores; each schedule ends with its budget; the latest "
            "weights are used, none are chosen on held-out cases.",
            "The set names no subjects (394 crops come from 195 subjects), so folds may share a subject.",
            "Settings of the default preset were chosen on fold 1, which is among the five folds reported, and is all "
            "that the comparison with MONAI stands on; MONAI's pipeline was not tuned. Pipelines are compared there, "
            "with patches and batches of their own, not networks alone.",
            f"Computed in {arms_numbers(options)}. A processor with bfloat16 instructions takes more steps in the same "
            "seconds, ours and MONAI's.",
        ],
    }
    write_record("attention-unet", record)


def arms_numbers(options: argparse.Namespace) -> str:
    """What the runs of the folds were computed in."""
    return " and ".join(
        sorted(
            {
                run_arm(options, arm, fold, options.seconds)["numbers"]
                for fold in range(options.first_folds)
                for arm in ARMS
            }
        )
    )


def unet(options: argparse.Namespace) -> None:
    """Fill unet.json."""
    folds = range(min(FOLDS_AGAINST_MONAI, options.first_folds))
    ours = [run_arm(options, "unet", fold, options.seconds) for fold in folds]
    theirs = [against_monai(options, "UNet", options.seconds, fold) for fold in folds]
    scores = {case: found for result in ours for case, found in dice_of(result).items()}
    control = {case: found for result in theirs for case, found in result["cases"].items()}
    record = {
        "control": "MONAI residual UNet 16-128, plain MONAI pipeline",
        "task": "segmentation",
        "paper": "Ronneberger et al. 2015, arXiv:1505.04597; Cicek et al. 2016, arXiv:1606.06650",
        "data": {**DATA, "cases": len(scores)},
        "metric": "Dice, mean of anterior and posterior hippocampus, each case scored by the fold that held it out",
        "folds": len(folds),
        **comparison(compare_paired(mean_per_case(scores), mean_per_case(control))),
        "arms": {
            "unet": describe(scores, [result["summary"] for result in ours]),
            "monai-unet": describe(control, [_summary_of_monai(result, options.seconds) for result in theirs]),
        },
        "remarks": {"ours": _remark(options, options.seconds), "control": theirs[0].get("remark")},
        "forward_pass": _forward_pass(options, "unet"),
        "shortcut_baselines": "none: the data are real",
        "per_case": {"unet": mean_per_case(scores), "monai-unet": mean_per_case(control)},
        "notes": [
            f"{options.seconds:.0f} s of training a fold on 2 cores; {len(folds)} folds of five. A baseline is held "
            "against a library's; pipelines are compared, with patches and batches of their own, and MONAI's "
            "was not tuned.",
            "The set names no subjects, so training and held-out cases may share one.",
        ],
    }
    write_record("unet", record)


def _time_to_target(options: argparse.Namespace) -> dict[str, Any]:
    """Least training seconds of each pipeline, one fold and one seed."""

    def ours(arm: str) -> dict[str, Any]:
        return ladder.descend(lambda seconds: dice_of(run_arm(options, arm, 0, seconds)), (180.0, 90.0))

    def theirs(network: str, longest: float) -> dict[str, Any]:
        return ladder.descend(lambda seconds: against_monai(options, network, seconds)["cases"], (longest,))

    return {
        "attention-unet": ours("attention-unet"),
        "unet": ours("unet"),
        "MONAI AttentionUnet 16-128": theirs("AttentionUnet", 600.0),
        "MONAI residual UNet 16-128": theirs("UNet", 180.0),
    }


def _remark(options: argparse.Namespace, seconds: float) -> str | None:
    """What a person wrote into a part about how it was run."""
    return run_arm(options, "attention-unet", 0, seconds).get("remark")


def _forward_pass(options: argparse.Namespace, arm: str) -> dict[str, Any]:
    """Cost of the network that was trained, on one volume of about the median size."""
    network = run_arm(options, arm, 0, options.seconds)["network"]
    return measure_cost(build(arm, in_channels=1, out_channels=3, **network), (1, 1, 40, 56, 40)).as_dict()


def _summary_of_monai(result: dict[str, Any], seconds: float) -> dict[str, Any]:
    kept = {name: result[name] for name in ("parameters", "steps", "peak_memory_bytes")}
    return {**kept, "training_seconds": seconds}
