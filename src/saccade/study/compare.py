"""Is one system better than another? All of them on the same cases at the same budget, and what their scores say."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saccade.data.classification.case import ImageDataset
from saccade.data.detection.case import BoxDataset
from saccade.data.layouts import Dataset
from saccade.errors import InputError, SaccadeError
from saccade.files import check_folder, read_json, write_json, write_text
from saccade.study.compare_cases import compare_arms
from saccade.study.compare_detections import compare_detection_arms, score_detection_arm
from saccade.study.compare_plan import AnyDataset, Plan, plan_folds
from saccade.study.compare_runs import Say, do_step, is_done
from saccade.study.compare_scores import score_arm
from saccade.study.compare_settings import check_settings, task_of_all
from saccade.study.compare_tables import study_markdown
from saccade.study.compare_targets import compare_target_arms, score_target_arm, targets_of_all
from saccade.study.protocols import plan_protocol
from saccade.tasks.environment import describe_environment
from saccade.tasks.settings import merge
from saccade.tasks.task import Task, find_task

FORMAT = 1
FOLDS = 5
# what a study's plan.json holds, and what it is called where it differs; data before splits, which follow from them
KEPT = {
    "version": "version of Saccade's format",
    "protocol": "protocol",
    "systems": "systems",
    "preset": "preset",
    "settings": "settings",
    "seeds": "number of seeds",
    "folds": "number of folds",
    "files": "data",
    "splits": "splits",
}


def compare_systems(
    systems: Sequence[str],
    data: Path | str,
    out: Path | str,
    *,
    folds: int | None = None,
    first_folds: int | None = None,
    seeds: int = 1,
    preset: str = "default",
    settings: Mapping[str, Any] | None = None,
    protocol: str | None = None,
    pretrain: Path | str | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Train systems on the same splits at the same budget, score the held-out cases, and compare case by case.

    Each training runs in a process of its own, after the other. Called again it goes on where it was stopped.

    Args:
        systems: Names of `saccade.list_systems`, or ``package.module:Network``.
        data: The data set's folder.
        out: The study's folder, made if it is not there: ``plan.json`` (splits and files), ``runs/``, ``study.json``
            and ``study.md``.
        folds: Parts that the cases are dealt out to, each held out once; default 5.
        first_folds: Do only so many of them; the others can follow later.
        seeds: Trainings of each system on each split; a case's score is their mean.
        preset: Of every system.
        settings: Nested, as in ``config.yaml``; for every system.
        protocol: In place of folds one of the paper's: ``ct150-120-30``, ``ct150-30-120`` or ``ct82``.
        pretrain: For ``ct82``, the data set that is learnt from first.
        say: Gets a line at each step.

    Returns:
        What ``study.json`` holds: ``"arms"`` with the scores of each case, their summary, intervals and cost;
        ``"comparisons"`` as `compare_results` or, of classes and numbers, `compare_targets`, or, of boxes,
        `compare_detection_arms` gives them; ``"notes"``, and what the study was made with.

    Raises:
        InputError: If a name, a setting or the data cannot be used, or ``out`` holds something else.
        RunError: If a training fails; what is finished stays.
    """
    out = Path(out)
    check_folder(out)
    _check_numbers(folds, first_folds, seeds, protocol)
    kind = task_of_all(systems, data)
    if kind == "landmarks":
        raise InputError("compare: not for landmarks; compare two sets of predictions with saccade evaluate --against.")
    shared = check_settings(systems, preset, settings or {}, kind)
    does, own = find_task(kind), shared.get("data", {})
    dataset = does.open_dataset(data, own)
    # the same classes in every fold
    if isinstance(dataset, ImageDataset):
        shared = merge(shared, {"data": targets_of_all(dataset, own)})
    if isinstance(dataset, BoxDataset):
        shared = merge({"data": {"classes": list(dataset.names)}}, shared)
    plan = _plan(
        dataset,
        systems,
        kind,
        folds=folds or FOLDS,
        first_folds=first_folds,
        seeds=seeds,
        protocol=protocol,
        pretrain=None if pretrain is None else does.open_dataset(pretrain, own),
    )
    for note in plan.notes:
        say(f"note   {note}")
    about = {"version": FORMAT, "protocol": protocol, "systems": list(systems), "preset": preset, "settings": shared}
    about |= {"seeds": seeds, "folds": None if protocol else folds or FOLDS}
    fresh = _open_study(out, about, plan, does)
    try:
        _do_steps(plan, out, preset, shared, say)
    except SaccadeError:
        if fresh and not any(path.is_file() for path in (out / "runs").rglob("*")):  # a setting that no run can have
            shutil.rmtree(out / "runs", ignore_errors=True)
            (out / "plan.json").unlink()
        raise
    score = {"classification": score_target_arm, "detection": score_detection_arm}.get(kind, score_arm)
    arms = {arm.name: score(arm, plan, out / "runs") for arm in plan.arms}
    study = {
        **about,
        "task": kind,
        "notes": list(plan.notes),
        "splits": _splits(plan),
        "arms": arms,
        "comparisons": _compare(kind, arms, plan, out / "runs"),
        "environment": describe_environment(),
    }
    write_json(out / "study.json", study)
    write_text(out / "study.md", study_markdown(study))
    return study


def _compare(kind: str, arms: Mapping[str, Any], plan: Plan, runs: Path) -> list[dict[str, Any]]:
    if kind == "detection":  # whose scores are none of single images
        return compare_detection_arms(plan, runs)
    compared = compare_target_arms if kind == "classification" else compare_arms
    return compared(arms, plan.pairs)


def _check_numbers(folds: int | None, first_folds: int | None, seeds: int, protocol: str | None) -> None:
    if protocol is not None and (folds, first_folds) != (None, None):
        raise InputError(f"compare: folds must be left out with --protocol {protocol}, which has a split of its own.")
    if folds is not None and folds < 2:
        raise InputError(f"compare: folds must be 2 or more, got {folds}.")
    if first_folds is not None and not 1 <= first_folds <= (folds or FOLDS):
        raise InputError(f"compare: the first folds must be 1 to {folds or FOLDS}, got {first_folds}.")
    if seeds < 1:
        raise InputError(f"compare: seeds must be 1 or more, got {seeds}.")


def _plan(
    dataset: AnyDataset,
    systems: Sequence[str],
    task: str,
    *,
    folds: int,
    first_folds: int | None,
    seeds: int,
    protocol: str | None,
    pretrain: AnyDataset | None,
) -> Plan:
    if protocol is not None:
        if not isinstance(dataset, Dataset) or not isinstance(pretrain, Dataset | None):
            raise InputError(f"compare: --protocol {protocol} is one of segmentations.")
        return plan_protocol(protocol, dataset, systems, pretrain=pretrain, seeds=seeds)
    if pretrain is not None:
        raise InputError("compare: --pretrain must have --protocol ct82 with it.")
    return plan_folds(dataset, systems, task=task, folds=folds, first_folds=first_folds or folds, seeds=seeds)


def _open_study(out: Path, about: Mapping[str, Any], plan: Plan, does: Task) -> bool:
    """Write a new study's plan, or see that the one in the folder is the same; whether it is new."""
    wanted = {**about, "splits": _splits(plan), "files": _hashes(plan, does)}
    wanted = json.loads(json.dumps(wanted, default=str))  # as it will be read
    path = out / "plan.json"
    if path.is_file():
        before = read_json(path)
        for key, what in KEPT.items():
            if before.get(key) != wanted[key]:
                raise InputError(
                    f"{out}: is a study with another {what}. Give the same again, or choose another --out."
                )
        return False
    if out.is_dir() and any(not entry.name.startswith(".") for entry in out.iterdir()):
        raise InputError(f"{out}: must be new, empty or a study, holds something else. Choose another --out.")
    write_json(path, wanted)
    return True


def _do_steps(plan: Plan, out: Path, preset: str, settings: Mapping[str, Any], say: Say) -> None:
    for number, step in enumerate(plan.steps, start=1):
        done = is_done(out / "runs" / step.name, step)
        say(f"[{number}/{len(plan.steps)}] {step.name}{': finished before' if done else ''}")
        if not done:
            do_step(plan, step, out / "runs", preset, settings, lambda text: say(f"  {text}"))


def _splits(plan: Plan) -> dict[str, Any]:
    return {
        name: {"data": part.data, "train": list(part.split.train), "validation": list(part.split.validation)}
        for name, part in plan.parts.items()
    }


def _hashes(plan: Plan, does: Task) -> dict[str, Any]:
    """SHA-256 of the files of every case that the study uses; a data set that has moved is still the same."""
    found: dict[str, Any] = {}
    for part in plan.parts.values():
        dataset, known = plan.datasets[part.data], found.setdefault(part.data, {})
        for id in (*part.split.train, *part.split.validation):
            if id not in known:
                known[id] = does.describe_case(dataset.case(id))["sha256"]
    return found
