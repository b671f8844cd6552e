"""The steps of a study, done one after the other: what is finished is skipped, what was begun goes on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.layouts import load_case
from saccade.data.volume import write_volume
from saccade.errors import InputError
from saccade.files import write_json
from saccade.runs import load_segmentation, read_config, start_run
from saccade.study.compare_plan import Plan, Train, Transfer
from saccade.study.compare_process import alone
from saccade.systems import is_own
from saccade.tasks.begin import Split, split_cases
from saccade.tasks.devices import Devices
from saccade.tasks.segmentation.begin import open_dataset
from saccade.tasks.segmentation.evaluate import evaluate_folders
from saccade.tasks.settings import merge

FINE_TUNING = 0.1  # a trained network's learning rate, as a part of that from scratch
METRICS = Path("validation") / "metrics.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainJob:
    """All that a process needs for one training."""

    system: str
    data: Path
    run: Path
    split: Split
    preset: str
    overrides: Mapping[str, Any]
    resume: bool


@dataclass(frozen=True)
class TransferJob:
    """All that a process needs to try a network on other data."""

    system: str
    run: Path
    data: Path
    split: Split
    label_names: Mapping[int, str]
    out: Path


def do_step(plan: Plan, step: Train | Transfer, runs: Path, preset: str, settings: Mapping[str, Any], say: Say) -> None:
    """Do a step, or the rest of one that was begun.

    Raises:
        InputError: If the data or a setting cannot be used.
        RunError: If the training fails.
    """
    alone(work, _job(plan, step, runs, preset, settings), say)


def is_done(run: Path, step: Train | Transfer) -> bool:
    """Whether a step has been finished: its last file is there."""
    return (run / METRICS).is_file() and (isinstance(step, Transfer) or (run / "summary.json").is_file())


def work(job: TrainJob | TransferJob, say: Say) -> None:
    """Do one piece of a study, in whatever process."""
    if isinstance(job, TransferJob):
        transfer(job)
        return
    start_run(
        job.system,
        job.data,
        job.run,
        preset=job.preset,
        split=job.split,
        resume=job.resume,
        overrides={} if job.resume else job.overrides,  # a run that goes on has its own, wherever the study lies now
        say=say,
    )


def transfer(job: TransferJob) -> None:
    """Predict and score the held-out cases of another data set; organs are those of the same name.

    Raises:
        InputError: If a case cannot be read.
    """
    own = job.system if is_own(job.system) else None
    predictor = load_segmentation(job.run, device=Devices().kind, system=own)
    values = {name: value for value, name in job.label_names.items()}
    meant = np.zeros(max(predictor.config.classes) + 1, np.uint16)
    for value, name in predictor.config.data.label_names.items():
        meant[value] = values.get(name, 0)
    folder = job.out / METRICS.parent
    for case in split_cases(open_dataset(job.data, job.label_names), job.split)[1]:
        volume, label = load_case(case)
        if label is None:
            raise InputError(f"case {case.id}: must have a label to be scored.")
        found = predictor.segment(volume).labels
        write_volume(found.like(meant[found.array]), folder / f"{case.id}.nii.gz")
        asked = np.where(np.isin(label.array, list(job.label_names)), label.array, 0)
        write_volume(label.like(asked.astype(label.array.dtype)), folder / "truth" / f"{case.id}.nii.gz")
    write_json(job.out / METRICS, evaluate_folders(folder, folder / "truth", label_names=job.label_names))


def _job(
    plan: Plan, step: Train | Transfer, runs: Path, preset: str, settings: Mapping[str, Any]
) -> TrainJob | TransferJob:
    part = plan.parts[step.part]
    data = plan.datasets[part.data].root
    if isinstance(step, Transfer):
        system = read_config(runs / step.of).system
        return TransferJob(system, runs / step.of, data, part.split, plan.labels[part.data], runs / step.name)
    training = settings["training"]
    own: dict[str, Any] = {"training": {"seed": training.get("seed", 0) + step.seed}}
    if part.data in plan.labels:
        own["data"] = {"label_names": dict(plan.labels[part.data])}
    if step.after is not None:
        own = merge(_going_on(runs / step.after), own)
    resume = (runs / step.name / "config.yaml").is_file()
    return TrainJob(step.system, data, runs / step.name, part.split, preset, merge(settings, own), resume)


def _going_on(run: Path) -> dict[str, Any]:
    """Settings of a training that starts from another one's weights, at a lower rate, and sees data as that one did."""
    config = read_config(run)
    preparation = config.data.model_dump(mode="json", include={"spacing_mm", "patch_size", "intensity"})
    rate = config.training.learning_rate * FINE_TUNING
    return {
        "data": preparation,
        "network": config.network,
        "training": {"init_from": str(run), "learning_rate": rate},
    }
