"""Studies of classifications and regressions: scores of each arm's held-out cases, and arms against one another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.data.classification.case import ImageDataset
from saccade.files import read_json
from saccade.study.compare_plan import Arm, Plan
from saccade.study.compare_runs import METRICS as SCORES_FILE
from saccade.study.compare_scores import cost_of
from saccade.study.pairs import judged
from saccade.study.statistics import holm
from saccade.study.targets import compare_targets
from saccade.tasks.classification.evaluate import score_said
from saccade.tasks.classification.plan import plan_targets


def targets_of_all(dataset: ImageDataset, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Kind and classes as all cases have them, so that every fold's network gives the same outputs.

    Args:
        dataset: The study's.
        settings: The ``data`` part of the user's.

    Raises:
        InputError: If there is nothing to tell apart.
    """
    cases = [case for case in dataset.labelled() if case.split != "test"]
    found = plan_targets(dataset, cases, settings)
    return {"columns": found["columns"], "kind": found["kind"], **({"classes": c} if (c := found["classes"]) else {})}


def score_target_arm(arm: Arm, plan: Plan, runs: Path) -> dict[str, Any]:
    """An arm's scores and cost.

    Returns:
        ``{"system", "cost", "runs"}`` and what `score_table` gives for the held-out cases of all folds; with several
        seeds of the mean of what their networks say of each case.
    """
    seeds = [[read_json(runs / name / SCORES_FILE) for name in names] for names in arm.steps]
    first = seeds[0][0]
    kind, names = first["kind"], first["classes"]
    cases = [{id: case for result in results for id, case in result["cases"].items()} for results in seeds]
    ids = list(cases[0])
    key = "probabilities" if kind in ("classes", "ordinal") else "prediction"
    said = np.mean([[[found[id][key][name] for name in names] for id in ids] for found in cases], 0)
    truth = np.array([_truth(cases[0][id], kind, names) for id in ids])
    return {
        "system": arm.system,
        **score_said(kind, names, ids, truth, said),
        "cost": cost_of(arm, plan, runs),
        "runs": [name for names in arm.steps for name in names],
    }


def compare_target_arms(
    arms: Mapping[str, Mapping[str, Any]], pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Paired comparisons of arms, each as `compare_targets` gives it, with the names ``arm`` and ``against``.

    ``p_holm`` is corrected over all comparisons of the study, for each score; a difference that does not stand this is
    not called one.
    """
    found = [{"arm": arm, "against": other, **compare_targets(arms[arm], arms[other])} for arm, other in pairs]
    for score in found[0]["scores"] if found else ():
        tested = {str(n): pair["scores"][score]["p"] for n, pair in enumerate(found)}
        corrected = holm({n: p for n, p in tested.items() if not np.isnan(p)})
        for n, pair in enumerate(found):
            pair["scores"][score] = judged(pair["scores"][score], score, corrected.get(str(n), float("nan")))
    return found


def _truth(case: Mapping[str, Any], kind: str, names: Sequence[str]) -> Any:
    """The number of the class, or a value for each target."""
    if kind in ("classes", "ordinal"):
        return list(names).index(case["truth"])
    return [np.nan if (value := case["truth"][name]) is None else value for name in names]
