"""`saccade compare` on detectors: every image held out once, seeds averaged, arms compared over the same images."""

import json

import pytest
from box_sets import FOUND, TRUTH, Rows, make_table, write_ours

from saccade.data.detection.layouts import find_box_dataset
from saccade.files import write_json
from saccade.report.study_report import write_study_report
from saccade.study import compare_detections
from saccade.study.compare import compare_systems
from saccade.study.compare_detections import compare_detection_arms, score_detection_arm
from saccade.study.compare_plan import DATA, Arm, Plan
from saccade.study.compare_tables import study_markdown, study_tables

COST = {
    "parameters": 7, "training_seconds": [1.0], "forward_pass": {"seconds": 0.1}, "peak_memory_bytes": 1e9,
}  # fmt: skip
NOTHING: dict[str, Rows] = {id: [] for id in TRUTH}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Two arms of two folds; the first has two seeds, of which the second finds nothing."""
    monkeypatch.setattr(compare_detections, "cost_of", lambda *_: COST)
    dataset = find_box_dataset(make_table(tmp_path / "set"))
    seeds = {"good": [FOUND, NOTHING], "poor": [NOTHING]}
    arms = []
    for name, each in seeds.items():
        steps = []
        for seed, found in enumerate(each):
            folds = [("a", "b"), ("c",)]
            steps.append(tuple(f"{name}-{fold}-{seed}" for fold in range(2)))
            for run, ids in zip(steps[-1], folds, strict=True):
                write_ours(tmp_path / "runs" / run / "validation/predictions.json", {id: found[id] for id in ids})
        arms.append(Arm(name, "ssd", tuple(steps)))
    return Plan({DATA: dataset}, {}, [], arms, [("good", "poor")]), tmp_path / "runs"


def test_arms_are_scored_over_all_folds_and_seeds_averaged(study) -> None:
    plan, runs = study
    good, poor = (score_detection_arm(arm, plan, runs) for arm in plan.arms)
    assert list(good["cases"]) == ["a", "b", "c"]
    assert good["runs"] == ["good-0-0", "good-1-0", "good-0-1", "good-1-1"]
    # 0.75 as worked out for `saccade evaluate`, and 0 of the seed that found nothing
    assert good["summary"]["ap50"]["value"] == pytest.approx(0.375)
    assert good["summary"]["per_class"]["white"]["ap50"]["value"] == 0.5
    assert poor["summary"]["ap50"]["value"] == 0
    assert poor["cases"]["a"]["missed"] == 2


def test_comparisons_tables_and_page(study, tmp_path) -> None:
    plan, runs = study
    (pair,) = compare_detection_arms(plan, runs)
    assert (pair["arm"], pair["against"], pair["cases"]) == ("good", "poor", 3)
    assert pair["scores"]["ap50"]["difference"] == pytest.approx(0.375)
    assert pair["scores"]["ap50"]["verdict"] == "not tested: at least 5 images are needed"
    content = {
        "task": "detection",
        "arms": {arm.name: score_detection_arm(arm, plan, runs) for arm in plan.arms},
        "comparisons": [pair],
        "notes": [],
        "protocol": None,
        "systems": ["good", "poor"],
    }
    text = study_markdown(content)
    assert "| good | 3 | 0.375 (-) |" in text
    assert "| good | poor | AP50 | 3 | +0.375 | - | not tested: at least 5 images are needed |" in text
    assert len(study_tables(content)) == 2


def test_a_whole_study(tmp_path, monkeypatch) -> None:
    """Runs are those of `saccade train`; here each finds what its seed says, so that nothing is learnt."""
    truth = {f"i{n}": [("red", [5.0, 5, 15, 15])] for n in range(6)}
    data = make_table(tmp_path / "set", truth)

    def do_step(plan, step, runs, preset, settings, say) -> None:
        ids = plan.parts[step.part].split.validation
        assert settings["data"]["classes"] == ["red"]
        good = step.system == "ssd"
        found = {id: [("red", 0.9, [5, 5, 15, 15])] if good else [] for id in ids}
        write_ours(runs / step.name / "validation/predictions.json", found, ("red",))
        write_json(runs / step.name / "validation/metrics.json", {})
        write_json(runs / step.name / "summary.json", {})

    monkeypatch.setattr("saccade.study.compare.do_step", do_step)
    monkeypatch.setattr(compare_detections, "cost_of", lambda *_: COST)
    settings = {"training": {"epochs": 1, "batch_size": 2, "steps_per_epoch": 1}}
    out = tmp_path / "study"
    found = compare_systems(["ssd", "retinanet"], data, out, folds=3, preset="tiny", settings=settings)
    assert sorted(found["arms"]["ssd"]["cases"]) == sorted(truth)
    pairs = {(pair["arm"], pair["against"]): pair["scores"]["ap50"] for pair in found["comparisons"]}
    (((arm, _), pair),) = pairs.items()
    assert pair["difference"] == (1 if arm == "ssd" else -1)
    assert pair["verdict"] == ("better" if arm == "ssd" else "worse")
    assert json.loads((out / "study.json").read_text())["task"] == "detection"
    page = write_study_report(out).read_text("utf-8")
    assert "Missed objects and false positives of each case" in page
    assert "AP50" in (out / "study.md").read_text()
