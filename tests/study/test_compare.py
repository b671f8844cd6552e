"""`compare_systems`: same splits, same budget, every case scored by a network that has not seen it; stop and go on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from fake_study import BOTH, SMALL
from run_files import interrupt
from tiny import make_pairs

import saccade
from saccade.errors import InputError
from saccade.files import read_json
from saccade.metrics.intervals import bootstrap_interval
from saccade.study.statistics import compare_paired
from saccade.tasks.settings import merge


def without_date(study):
    """A study without what differs whenever it is made."""
    return {key: value for key, value in json.loads(json.dumps(study)).items() if key != "environment"}


def scores_of(study):
    return {name: arm["cases"] for name, arm in study["arms"].items()}


def test_every_case_is_scored_once_by_a_network_that_has_not_seen_it(study) -> None:
    out, found = study
    cases = {f"case{number}" for number in range(5)}
    for arm in found["arms"].values():
        assert set(arm["cases"]) == cases
        held_out = []
        for run in arm["runs"]:
            split = read_json(out / "runs" / run / "splits.json")
            assert set(split["train"]) == cases - set(split["validation"])
            held_out += split["validation"]
            scored = read_json(out / "runs" / run / "validation" / "metrics.json")["cases"]
            assert {case: arm["cases"][case] for case in split["validation"]} == scored
        assert sorted(held_out) == sorted(cases)
    folds = [[read_json(out / "runs" / run / "splits.json") for run in arm["runs"]] for arm in found["arms"].values()]
    assert folds[0] == folds[1]


def test_budget_and_settings_are_the_same_and_nothing_is_chosen_on_held_out_cases(study) -> None:
    out, found = study
    first, other = (
        yaml.safe_load((out / "runs" / arm["runs"][0] / "config.yaml").read_text("utf-8"))
        for arm in found["arms"].values()
    )
    assert first["training"] == other["training"]
    assert (first["training"]["keep"], first["training"]["patience"]) == ("last", None)
    assert first["data"] == other["data"]
    assert [arm["cost"]["steps"] for arm in found["arms"].values()] == [[4, 4], [4, 4]]


def test_means_intervals_and_the_comparison_are_those_of_the_cases(study) -> None:
    _, found = study
    dice = {
        name: {case: organs["label 1"]["dice"] for case, organs in arm["cases"].items()}
        for name, arm in found["arms"].items()
    }
    for name, arm in found["arms"].items():
        values = list(dice[name].values())
        assert arm["mean_dice"]["mean"] == pytest.approx(np.mean(values))
        assert (arm["mean_dice"]["low"], arm["mean_dice"]["high"]) == bootstrap_interval(values)
        assert arm["summary"]["label 1"]["dice"]["mean"] == pytest.approx(np.mean(values))
    (pair,) = found["comparisons"]
    assert (pair["arm"], pair["against"], pair["cases"]) == ("attention-unet", "unet", 5)
    expected = compare_paired(dice["attention-unet"], dice["unet"])
    mean = pair["mean_over_organs"]["dice"]
    assert mean["difference"] == pytest.approx(expected.difference)
    assert (mean["low"], mean["high"], mean["p"]) == (expected.low, expected.high, expected.p)


def test_costs(study) -> None:
    out, found = study
    for name, arm in found["arms"].items():
        network = saccade.load(out / "runs" / arm["runs"][0]).network
        assert arm["system"] == name
        assert arm["cost"]["parameters"] == sum(p.numel() for p in network.parameters())
        assert len(arm["cost"]["training_seconds"]) == 2
        assert arm["cost"]["peak_memory_bytes"] > 1e7
        assert arm["cost"]["forward_pass"]["input_shape"] == [1, 1, 8, 8, 8]
        assert arm["cost"]["forward_pass"]["gflop"] > 0


def test_files_hold_what_was_returned(study) -> None:
    out, found = study
    assert sorted(path.name for path in out.iterdir()) == ["plan.json", "runs", "study.json", "study.md"]
    kept = read_json(out / "study.json")
    assert scores_of(kept) == scores_of(found)
    text = (out / "study.md").read_text("utf-8")
    mean = found["arms"]["unet"]["mean_dice"]
    assert f"| unet | 5 | {mean['mean']:.3f} ± {mean['std']:.3f} |" in text
    plan = read_json(out / "plan.json")
    assert set(plan["files"]["data"]["case3"]) == {"image 0", "label"}


def test_a_finished_study_is_not_done_again(study, pairs, compare, monkeypatch) -> None:
    out, _ = study

    def never(*arguments) -> None:
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr("saccade.study.compare_runs.alone", never)
    said = []
    again = compare(pairs, out, folds=2, say=said.append)
    assert without_date(again) == without_date(read_json(out / "study.json"))
    assert said[0] == "[1/4] attention-unet-fold0-seed0: finished before"


def test_a_study_that_was_stopped_goes_on_bit_for_bit(study, pairs, compare, tmp_path, monkeypatch) -> None:
    _, whole = study
    out = tmp_path / "study"
    compare(pairs, out, folds=2, first_folds=1, systems=BOTH)
    first = out / "runs" / "attention-unet-fold0-seed0"
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        interrupt(patch, 1, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            compare(pairs, out, folds=2)
    begun = out / "runs" / "attention-unet-fold1-seed0"
    assert (begun / "last.ckpt").is_file()
    assert not (begun / "summary.json").exists()
    moved = tmp_path / "elsewhere"
    shutil.move(out, moved)
    done = compare(pairs, moved, folds=2)
    assert scores_of(without_date(done)) == scores_of(without_date(whole))
    old = {moved / path.relative_to(out): time for path, time in before.items()}
    assert {path: path.stat().st_mtime_ns for path in old} == old


def test_first_folds_says_how_many_cases_are_scored(pairs, compare, tmp_path) -> None:
    found = compare(pairs, tmp_path / "study", folds=5, first_folds=1, systems=["unet"], seeds=2)
    assert found["notes"] == ["1 of 5 folds: 1 cases scored."]
    arm = found["arms"]["unet"]
    assert arm["runs"] == ["unet-fold0-seed0", "unet-fold0-seed1"]
    seeds = [
        yaml.safe_load((tmp_path / "study/runs" / run / "config.yaml").read_text("utf-8"))["training"]["seed"]
        for run in arm["runs"]
    ]
    assert seeds == [0, 1]
    (case,) = arm["cases"]
    each = [read_json(tmp_path / "study/runs" / run / "validation/metrics.json")["cases"][case] for run in arm["runs"]]
    mean = np.mean([scores["label 1"]["dice"] for scores in each])
    assert arm["cases"][case]["label 1"]["dice"] == pytest.approx(mean)
    assert found["comparisons"] == []


REFUSED = [
    ({"systems": []}, "compare: must have at least one system."),
    ({"systems": ["unet", "unet"]}, "compare: each system must be named once, got unet again."),
    ({"folds": 1}, "compare: folds must be 2 or more, got 1."),
    ({"folds": 3, "first_folds": 4}, "compare: the first folds must be 1 to 3, got 4."),
    ({"seeds": 0}, "compare: seeds must be 1 or more, got 0."),
    ({"folds": 6}, "{data}: must have at least 6 labelled cases for 6 folds, found 5."),
    (
        {"settings": {"training": {"keep": "best"}}},
        "compare: the held-out cases are the test and may choose nothing; "
        "leave training.keep at last and training.patience unset.",
    ),
    ({"settings": {"inference": 3}}, "compare: inference: must hold named settings, got 3."),
    (
        {"systems": ["unet", "homework-unet-3d"], "settings": {}, "preset": "default"},
        "compare: all systems must have the same budget, preset default gives unet: 100 epochs of every case once in "
        "batches of 2; homework-unet-3d: 100 epochs of every case once in batches of 1. "
        "Set training.max_seconds, or training.epochs, training.steps_per_epoch and training.batch_size.",
    ),
    (
        {"folds": 2, "protocol": "ct150-120-30"},
        "compare: folds must be left out with --protocol ct150-120-30, which has a split of its own.",
    ),
    ({"pretrain": "{data}"}, "compare: --pretrain must have --protocol ct82 with it."),
    (
        {"protocol": "ct82"},
        "compare: --pretrain, the data that are learnt from first, must be given with --protocol ct82.",
    ),
    (
        {"protocol": "ct150-30-120", "pretrain": "{data}"},
        "compare: --pretrain, the data that are learnt from first, must be left out with --protocol ct150-30-120.",
    ),
    (
        {"protocol": "ct82", "pretrain": "{data}"},
        "{data}: must name its labels, so that organs are known by name. Add labels.json.",
    ),
]


@pytest.mark.parametrize(("wanted", "line"), REFUSED)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(wanted, line, pairs, compare, tmp_path) -> None:
    if "pretrain" in wanted:
        wanted = {**wanted, "pretrain": pairs}
    with pytest.raises(InputError) as error:
        compare(pairs, tmp_path / "study", **wanted)
    assert str(error.value) == line.format(data=pairs)
    assert not (tmp_path / "study").exists()


def test_seconds_make_budgets_equal_that_presets_set_apart(pairs, compare, tmp_path, monkeypatch) -> None:
    jobs = []
    monkeypatch.setattr("saccade.study.compare_runs.alone", lambda function, job, say: jobs.append(job))
    with pytest.raises(InputError, match="cannot be read as JSON"):  # for nothing has been trained
        compare(
            pairs,
            tmp_path / "study",
            systems=["unet", "homework-unet-3d"],
            folds=2,
            preset="default",
            settings={"training": {"max_seconds": 5}},
        )
    assert {job.overrides["training"]["max_seconds"] for job in jobs} == {5}
    assert {job.overrides["training"]["epochs"] for job in jobs} == {100_000}  # the preset's would end it early
    assert {job.overrides["training"]["keep"] for job in jobs} == {"last"}  # the preset's is best, on held-out cases
    assert [(job.system, job.split.validation) for job in jobs[:2]] == [
        (system, jobs[0].split.validation) for system in ("unet", "homework-unet-3d")
    ]


def test_a_setting_that_no_run_can_have_leaves_nothing_behind(pairs, compare, tmp_path) -> None:
    with pytest.raises(InputError, match="unknown setting 'depth'"):
        compare(pairs, tmp_path / "study", settings=merge(SMALL, {"network": {"depth": 3}}))
    assert list(tmp_path.rglob("*.json")) == []
    compare(pairs, tmp_path / "study", folds=2, first_folds=1, systems=["unet"])  # the folder is free again


def test_another_study_in_the_folder_is_refused(study, pairs, compare, tmp_path) -> None:
    out, _ = study

    def refused(data: Path, **wanted) -> str:
        with pytest.raises(InputError) as error:
            compare(data, out, **{"folds": 2, **wanted})
        return str(error.value)

    said = "{}: is a study with another {}. Give the same again, or choose another --out."
    assert refused(pairs, systems=["unet"]) == said.format(out, "systems")
    assert refused(pairs, folds=3) == said.format(out, "number of folds")
    assert refused(pairs, settings=merge(SMALL, {"training": {"seed": 1}})) == said.format(out, "settings")
    changed = make_pairs(tmp_path / "pairs")
    assert len(compare(changed, out, folds=2)["arms"]) == 2  # the same files elsewhere
    shutil.copy(changed / "images/case0.nii.gz", changed / "images/case1.nii.gz")
    assert refused(changed) == said.format(out, "data")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(InputError) as error:
        compare(pairs, tmp_path / "other", folds=2)
    assert str(error.value) == (
        f"{tmp_path / 'other'}: must be new, empty or a study, holds something else. Choose another --out."
    )
