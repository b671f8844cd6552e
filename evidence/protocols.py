"""Attention U-Net and U-Net under the paper's protocols, on simulated abdomens of two hospitals.

Fills attention-unet-protocols.json. CT-82's protocol: networks trained in hospital a are tested in hospital b before
(BFT) and after fine-tuning there (AFT), beside networks trained there from scratch (SCR). CT-150's: 120/30 is how the
same networks did in hospital a itself, 30/120 is trained anew. Budgets are steps, whatever the machine's load.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from common import write_record

from saccade.data.synthetic import make_abdomen, shortcut_scores
from saccade.study.compare import compare_systems
from saccade.study.compare_cases import mean_dice_of_cases
from saccade.study.compare_tables import study_markdown

SYSTEMS = ("attention-unet", "unet")
SOURCE_CASES, TARGET_CASES = 40, 40  # 32/8 and 8/32 of hospital a; 30/10 of hospital b
SOURCE_SEED, TARGET_SEED = 100, 200  # other patients in each
SEEDS, STEPS, EPOCHS = 3, 60, 5


def say(line: str) -> None:
    """Print at once, so that a log shows where the study is."""
    print(line, flush=True)


def make_data(work: Path, hospital: str, cases: int, seed: int) -> Path:
    """A hospital's abdomens, made once."""
    folder = work / f"hospital-{hospital}-{cases}"
    if not (folder / "labels.json").is_file():  # it is written last
        make_abdomen(folder, cases, seed, hospital=hospital)
    return folder


def attention_unet(options: argparse.Namespace) -> None:
    """Fill attention-unet-protocols.json."""
    source = make_data(options.work, "a", SOURCE_CASES, SOURCE_SEED)
    target = make_data(options.work, "b", TARGET_CASES, TARGET_SEED)
    steps = options.steps or STEPS
    epochs = min(EPOCHS, steps)
    training = {"epochs": epochs, "steps_per_epoch": steps // epochs, "attention_epochs": []}
    shared: dict[str, Any] = {"preset": "tiny", "settings": {"training": training}, "say": say}
    ct82 = compare_systems(
        SYSTEMS, target, options.work / "protocols-ct82", protocol="ct82", pretrain=source, seeds=SEEDS, **shared
    )
    few = compare_systems(SYSTEMS, source, options.work / "protocols-30-120", protocol="ct150-30-120", **shared)
    learnt, tested = (len(ct82["splits"]["ct82"][part]) for part in ("train", "validation"))
    shortcuts = {name: float(np.nanmean(list(organs.values()))) for name, organs in shortcut_scores(target).items()}
    shortcut, best = max(shortcuts.values()), max(arm["mean_dice"]["mean"] for arm in ct82["arms"].values())
    fine_tuned = entry(ct82, "attention-unet AFT", "attention-unet BFT")
    record = {
        "task": "segmentation",
        "paper": "Oktay et al. 2018, arXiv:1804.03999",
        "data": {
            "name": f"simulated abdomens of two hospitals: {SOURCE_CASES} of the one (learnt from first), "
            f"{TARGET_CASES} of the other ({learnt} to fine-tune on, {tested} tested on)",
            "licence": "made by the script",
        },
        "metric": f"Dice, mean of the 13 organs, on the other hospital's test cases, {SEEDS} seeds averaged",
        "seeds": SEEDS,
        **fine_tuned,
        "control": "the same networks before fine-tuning (BFT)",
        "after_fine_tuning_against_from_scratch": entry(ct82, "attention-unet AFT", "attention-unet SCR"),
        "unet_after_fine_tuning_against_before": entry(ct82, "unet AFT", "unet BFT"),
        "unet_after_fine_tuning_against_from_scratch": entry(ct82, "unet AFT", "unet SCR"),
        "against_unet": {
            "trained and tested in the first hospital, 120/30": entry(ct82, "attention-unet source", "unet source"),
            "the same, 30/120": entry(few, "attention-unet", "unet"),
            **{stage: entry(ct82, f"attention-unet {stage}", f"unet {stage}") for stage in ("BFT", "AFT", "SCR")},
        },
        "arms": {**arms(ct82), **{f"{name} 30/120": arm for name, arm in arms(few).items()}},
        "splits": {"ct82": ct82["splits"], "ct150-30-120": few["splits"]},
        "tables": {name: study_markdown(s).splitlines() for name, s in (("ct82", ct82), ("ct150-30-120", few))},
        "accept": {"fine-tuned beats before fine-tuning, by the whole interval": fine_tuned["interval_95"][0] > 0},
        "shortcut_baselines": shortcuts,
        "notes": [
            f"{steps} steps in every training: before fine-tuning, in fine-tuning (a tenth of the rate) and "
            "from scratch; the latest weights are kept, nothing is chosen on tested cases.",
            f"On the second hospital the best network scores {best:.3f} and the best shortcut {shortcut:.3f}: where "
            "the shortcut is ahead, so few steps leave the networks unfinished.",
            "Sizes are the paper's in proportion: 120/30, 30/120 and 61/21.",
            "Shortcuts are fitted on one half of the second hospital's cases and scored on the other.",
            "p values in the record are for each comparison alone; p_holm counts all of a study's.",
            *options.note,
        ],
    }
    write_record("attention-unet-protocols", record)


def entry(study: Mapping[str, Any], arm: str, against: str) -> dict[str, Any]:
    """One comparison of a study, in the words of a record."""
    pair = next(pair for pair in study["comparisons"] if (pair["arm"], pair["against"]) == (arm, against))
    found = pair["mean_over_organs"]["dice"]
    return {
        "control": against,
        "score": found["mean"],
        "control_score": found["mean_other"],
        "difference": found["difference"],
        "interval_95": [found["low"], found["high"]],
        "p_wilcoxon": found["p"],
        "p_holm": found["p_holm"],
        "verdict": found["verdict"],
        "cases": found["n"],
    }


def arms(study: Mapping[str, Any]) -> dict[str, Any]:
    """Scores and costs of each arm."""
    return {
        name: {
            "mean_dice": arm["mean_dice"],
            "dice": {organ: scores["dice"] for organ, scores in arm["summary"].items()},
            "cost": arm["cost"],
            "per_case": mean_dice_of_cases(arm),
        }
        for name, arm in study["arms"].items()
    }
