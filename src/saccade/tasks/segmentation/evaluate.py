"""Score predicted label maps against true ones: files in, one dictionary out, whatever tool made the predictions."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.data.layout_labels import parse_label_names
from saccade.data.layouts import Case
from saccade.errors import InputError, unknown_name
from saccade.metrics import METRICS, aggregate, confidence_intervals, froc, summarise_lesions
from saccade.metrics.inputs import Real
from saccade.metrics.intervals import LEVEL, RESAMPLES
from saccade.metrics.lesion_summary import check_edges
from saccade.metrics.lesions import OVERLAP, check_overlap
from saccade.tasks.segmentation.pairs import Pairs, find_pairs, find_probabilities
from saccade.tasks.segmentation.score_case import (
    CaseJob,
    CaseLesions,
    CaseResult,
    Scores,
    as_json,
    evaluate_arrays,
    score_case,
)
from saccade.workers import run_jobs

__all__ = ["ALL", "MISSING", "LesionSettings", "evaluate_arrays", "evaluate_folders", "summarise"]

MISSING = ("fail", "worst", "skip")
ALL = "all"


@dataclass(frozen=True)
class LesionSettings:
    """Which organs' connected components are scored one by one, and how.

    Args:
        organs: Names, or numbers of unnamed labels; ``("all",)`` for every organ.
        overlap: The IoU from which a predicted and a true component belong together; 0 asks for one common voxel.
        edges_ml: Of the size classes; None for the quartiles of each organ's lesions.
        probabilities: Folder of probability maps ``<case>/<organ>.nii.gz``, for a FROC curve.

    Raises:
        InputError: If the overlap is not in 0..1, or the edges are not above zero and ascending.
    """

    organs: Sequence[str] = (ALL,)
    overlap: Real = OVERLAP
    edges_ml: Sequence[Real] | None = None
    probabilities: Path | None = None

    def __post_init__(self) -> None:
        check_overlap("lesions", self.overlap)
        check_edges("lesions", self.edges_ml or ())


def evaluate_folders(
    predictions: Path | str,
    truth: Path | str,
    *,
    label_names: Mapping[int, str] | None = None,
    tolerance_mm: Real = 1.0,
    missing: str = "fail",
    lesions: LesionSettings | None = None,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Scores of every case and organ, their summary, and what is certain about it.

    Cases are paired by id. A prediction stored in another axis order of the truth's own grid is turned; one on another
    grid is refused. The scores and their rules are those of docs/metrics.md. Organs that were not labelled in a case,
    as the truth's list or a ``partial.json`` beside it says, are not scored there.

    Args:
        predictions: Folder of label maps, or one label map.
        truth: Folder of label maps, a data set in a known layout, or one label map.
        label_names: Label value -> organ; default what labels.json or dataset.json beside the truth say.
        tolerance_mm: Of the surface Dice.
        missing: What a truth without a prediction is: an error (``"fail"``), a prediction of nothing (``"worst"``), or
            left out (``"skip"``).
        lesions: Score lesions one by one; default not at all.
        seed: Of the draws of the intervals.
        workers: Most processes at a time; the result does not depend on it.
        progress: Called after each case with the number done, the number in all, and the case.
        say: Gets a line on each thing left out.

    Returns:
        ``{"cases": {case: {organ: {metric: value}}}, "summary": {organ: {metric: {"mean", "std", "n", "n_missed",
        "n_spurious"}}}, "intervals": {organ: {metric: {"low", "high"}}}, "extents": {case: {"diagonal_mm",
        "volume_ml"}}, "settings": {...}}``, and ``"lesions": {organ: {"summary", "cases", "froc"}}`` where wanted.
        Organs stand in label order: those named and those found in any case, the unnamed under their number as text.
        What is not scored is nan (null in JSON).

    Raises:
        InputError: If files cannot be read or paired, lie on different grids, or hold no labels, or a setting is none.
        RunError: If a case failed for another reason; the message names it.
    """
    if missing not in MISSING:
        raise unknown_name("evaluate_folders", "choice for missing", missing, list(MISSING))
    pairs = find_pairs(Path(predictions), Path(truth), label_names)
    names = pairs.label_names if label_names is None else parse_label_names("label_names", label_names)
    _report_unpaired(pairs, Path(predictions), missing, say)
    jobs = _jobs(pairs, names, tolerance_mm, missing, lesions)
    found: dict[str, CaseResult] = {}
    with closing(run_jobs(score_case, jobs, workers=workers)) as results:
        for done, (id, result) in enumerate(results, start=1):
            found[id] = result
            if progress is not None:
                progress(done, len(jobs), id)
    cases = {id: found[id] for id in jobs}
    settings = {
        "tolerance_mm": tolerance_mm,
        "missing": missing,
        "intervals": {"method": "percentile bootstrap over cases", "level": LEVEL, "draws": RESAMPLES, "seed": seed},
    }
    scored = summarise({id: case.scores for id, case in cases.items()}, names, seed=seed)
    scored["extents"] = {id: {"diagonal_mm": c.diagonal_mm, "volume_ml": c.volume_ml} for id, c in cases.items()}
    scored["settings"] = settings
    if lesions is not None:
        settings["lesions"] = {"overlap": lesions.overlap, "edges_ml": lesions.edges_ml or "quartiles"}
        scored["lesions"] = _summarise_lesions(cases, names, lesions, seed)
    return scored


def summarise(scores: Mapping[str, Scores], label_names: Mapping[int, str], *, seed: int = 0) -> dict[str, Any]:
    """Cases, summary and intervals of `evaluate_folders` from the scores of each case.

    Args:
        scores: Case -> what `evaluate_arrays` gives.
        label_names: Label value -> organ.
        seed: Of the draws of the intervals.

    Raises:
        InputError: If there is no case or no label, or two labels would have one name.
    """
    labels = sorted({*label_names, *(label for case in scores.values() for label in case)})
    if not labels:
        raise InputError("evaluate: must have at least one label to score, got only background.")
    organs = {label: label_names.get(label, str(label)) for label in labels}
    if len(set(organs.values())) < len(organs):
        raise InputError(f"evaluate: every label must have its own name, got {', '.join(organs.values())}.")
    unscored = dict.fromkeys(METRICS, float("nan"))
    cases = {
        id: {organ: dict(case.get(label, unscored)) for label, organ in organs.items()} for id, case in scores.items()
    }
    return {"cases": cases, "summary": aggregate(cases), "intervals": confidence_intervals(cases, seed=seed)}


def _jobs(
    pairs: Pairs, names: Mapping[int, str], tolerance_mm: Real, missing: str, lesions: LesionSettings | None
) -> dict[str, CaseJob]:
    """What is to be done for each case, in order of id."""
    sources: dict[str, tuple[Path | None, Case]] = dict(pairs.found)
    if missing == "worst":
        sources |= {case.id: (None, case) for case in pairs.missing}
    wanted = () if lesions is None else _lesion_labels(lesions.organs, names)
    maps: dict[str, dict[int, Path | None]] = {}
    if lesions is not None and lesions.probabilities is not None:
        if wanted is None and not names:
            raise InputError(f"lesions: name the organs whose probabilities lie in {lesions.probabilities}.")
        organs = {label: names.get(label, str(label)) for label in (names if wanted is None else wanted)}
        maps = find_probabilities(lesions.probabilities, {id: path for id, (path, _) in sources.items()}, organs)
    return {
        id: CaseJob(
            case=case,
            predicted=path,
            labels=tuple(names),
            tolerance_mm=tolerance_mm,
            lesions=wanted,
            overlap=OVERLAP if lesions is None else lesions.overlap,
            probabilities=maps.get(id, {}),
        )
        for id, (path, case) in sorted(sources.items())
    }


def _lesion_labels(organs: Sequence[str], names: Mapping[int, str]) -> tuple[int, ...] | None:
    """The labels of these organs in label order; None for all there are."""
    if ALL in organs:
        return None
    labels = {organ: label for label, organ in names.items()}
    for organ in organs:
        if organ not in labels:
            if not organ.isdecimal() or int(organ) < 1 or int(organ) in names:
                raise unknown_name("lesions", "organ", organ, [*labels, ALL])
            labels[organ] = int(organ)
    return tuple(sorted({labels[organ] for organ in organs}))


def _summarise_lesions(
    cases: Mapping[str, CaseResult], names: Mapping[int, str], settings: LesionSettings, seed: int
) -> dict[str, Any]:
    """``{organ: {"summary", "cases", "froc"}}``; a case without the label has no lesion of it and no false alarm.

    A case in which the organ was not labelled does not count.
    """
    result: dict[str, Any] = {}
    for label in sorted({label for case in cases.values() for label in case.lesions}):
        nothing = CaseLesions.nothing()
        found = {
            id: case.lesions.get(label, nothing)
            for id, case in cases.items()
            if case.labelled is None or label in case.labelled
        }
        summary = summarise_lesions({id: c.scores for id, c in found.items()}, edges_ml=settings.edges_ml, seed=seed)
        organ = result[names.get(label, str(label))] = {"summary": summary}
        organ["cases"] = {id: as_json(case) for id, case in found.items()}
        if all(case.counts for case in found.values()):
            organ["froc"] = froc({id: case.counts for id, case in found.items()}, summary["n_lesions"])
    return result


def _report_unpaired(pairs: Pairs, predictions: Path, missing: str, say: Callable[[str], None] | None) -> None:
    absent = ", ".join(case.id for case in pairs.missing)
    if absent and missing == "fail":
        raise InputError(
            f"{predictions}: must hold a prediction for every case, got none for {absent}. "
            "Choose missing=worst to count them as empty, missing=skip to leave them out."
        )
    if say is None:
        return
    if absent:
        say(f"no prediction for {absent}: " + ("counted as empty" if missing == "worst" else "left out"))
    if pairs.extra:
        say(f"no truth for {', '.join(pairs.extra)}: left out")
