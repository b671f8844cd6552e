"""What every study of classes and numbers shares: a system trained by the command line and scored on other data.

A study calls `run` once for each system and seed (what is finished is kept in ``parts/``), then `arm` for the cost and
`against` for the comparison: each case's scores are averaged over the seeds before systems are held against each other.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import comparison, once, saccade

import saccade as library
from saccade.data.classification.layouts import find_image_dataset
from saccade.files import read_json
from saccade.metrics.intervals import bootstrap_interval
from saccade.study.cost import measure_cost
from saccade.study.statistics import compare_paired
from saccade.tasks.classification.evaluate import score_table
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.classification.rows import Table
from saccade.tasks.settings import read_yaml

# Weights are the latest, not the best on the held-out cases: nothing is chosen by looking at them.
EQUAL = ("training.keep=last", "inference.calibrate=false")
Result = dict[str, Any]


def run(
    system: str,
    train: Path,
    test: Path,
    *,
    work: Path,
    part: str,
    seed: int,
    settings: Sequence[str] = (),
    options: Sequence[object] = (),
    split: str | None = None,
) -> Result:
    """One system trained with one seed and scored on cases that it has not seen.

    Args:
        system: As on the command line.
        train: Data set to train on; its parts called test are left alone.
        test: Data set to score.
        work: Folder for the run.
        part: Name under which the result is kept; names the system, the data and the seed.
        seed: Of the training.
        settings: ``name=value``, as behind ``--set``.
        options: What else the command line takes, for example ``("--preset", "tiny")``.
        split: Part of ``test`` that is scored: "test" or "validation" (never chosen or calibrated by here); None for
            all of it, which must then be another data set than ``train``.

    Returns:
        ``summary`` and ``cases`` of the test cases as `score_table` gives them, without each case's probabilities;
        ``training`` (the run's summary), ``forward_pass`` (`measure_cost` of one image) and ``network`` (its settings).
    """
    if split is None and train == test:
        raise ValueError(f"{part}: what was trained on must not be scored: name the split, or another data set")
    command = ["train", system, "--data", train, "--out", work / part, *options]
    command += [word for setting in (f"training.seed={seed}", *EQUAL, *settings) for word in ("--set", setting)]
    return once(part, lambda: _train_and_score(command, work / part, test, split))


def _train_and_score(command: Sequence[object], folder: Path, test: Path, split: str | None) -> Result:
    shutil.rmtree(folder, ignore_errors=True)
    saccade(*command)
    predictor = library.load(folder, system=str(command[1]))
    assert isinstance(predictor, ClassificationPredictor)
    config = predictor.config
    dataset = find_image_dataset(test, list(config.data.columns))
    cases = [case for case in dataset.labelled() if split in (None, case.split)]
    rows = {case.id: values for case, values, _ in predictor.predict_cases(cases)}
    table = Table(config.data.kind, predictor.names, rows)
    result = score_table(table, {case.id: case for case in cases}, dataset)
    kept = ("truth", "prediction", "correct", "loss")
    return {
        "summary": result["summary"],
        "cases": {id: {key: case[key] for key in kept if key in case} for id, case in result["cases"].items()},
        "training": read_json(folder / "summary.json"),
        "forward_pass": measure_cost(predictor.network, (1, *config.input_shape)).as_dict(),
        "network": read_yaml(folder / "config.yaml")["network"],
    }


def per_case(results: Sequence[Result], score: str) -> dict[str, float]:
    """Case -> ``correct``, ``loss`` or another number of a case, averaged over seeds."""
    return {id: float(np.mean([result["cases"][id][score] for result in results])) for id in results[0]["cases"]}


def arm(results: Sequence[Result], score: str = "correct") -> Result:
    """One system over its seeds: mean score with an interval over cases, each seed's scores, and the cost."""
    cases = list(per_case(results, score).values())
    low, high = bootstrap_interval(cases)
    return {
        "score": float(np.mean(cases)),
        "interval_95": [low, high],
        "per_seed": [{name: found["value"] for name, found in result["summary"].items()} for result in results],
        "parameters": results[0]["training"]["parameters"],
        "steps": [result["training"]["steps"] for result in results],
        "training_seconds": [result["training"]["training_seconds"] for result in results],
        "peak_memory_bytes": max(result["training"]["peak_memory_bytes"] for result in results),
        "forward_pass": {
            key: results[0]["forward_pass"][key] for key in ("gflop", "seconds", "input_shape", "threads")
        },
        "network": results[0]["network"],
    }


def against(results: Sequence[Result], control: Sequence[Result], score: str = "correct") -> Result:
    """The part of a record that says who was better: paired over cases, higher is better.

    Args:
        results: Of the system, a seed each.
        control: Of its control on the same cases.
        score: ``correct``, or ``loss``, which is turned round so that higher is better here too.
    """
    sign = -1.0 if score == "loss" else 1.0
    first, second = ({id: sign * value for id, value in per_case(side, score).items()} for side in (results, control))
    return comparison(compare_paired(first, second))
