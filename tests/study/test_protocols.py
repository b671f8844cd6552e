"""The paper's protocols: sizes, stages, what goes from one hospital to the other, and the paper's own figures."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from fake_study import BOTH, make_arm, make_study
from tiny import blob, save

from saccade.data.layouts import Case, Dataset, find_dataset
from saccade.errors import InputError
from saccade.files import read_json, write_json
from saccade.runs import read_config
from saccade.study.compare_plan import Transfer
from saccade.study.compare_runs import TransferJob, transfer
from saccade.study.compare_tables import study_tables
from saccade.study.protocols import plan_protocol
from saccade.study.protocols_paper import paper_figures, paper_organ
from saccade.tasks.begin import Split


def dataset(count: int, names: dict[int, str] | None = None, root: str = "here") -> Dataset:
    cases = tuple(Case(f"c{n:03d}", (Path("image"),), Path("label")) for n in range(count))
    return Dataset(Path(root), "pairs", cases, names or {})


@pytest.mark.parametrize(("protocol", "learn", "test"), [("ct150-120-30", 120, 30), ("ct150-30-120", 30, 120)])
def test_ct150_is_split_as_in_the_paper(protocol, learn, test) -> None:
    plan = plan_protocol(protocol, dataset(150), BOTH, pretrain=None, seeds=1)
    split = plan.parts[protocol].split
    assert (len(split.train), len(split.validation)) == (learn, test)
    assert sorted([*split.train, *split.validation]) == [f"c{n:03d}" for n in range(150)]
    assert list(split.validation) != sorted(f"c{n:03d}" for n in range(150))[:test]  # they are dealt
    assert plan.notes == []
    again = plan_protocol(protocol, replace(dataset(150), cases=dataset(150).cases[::-1]), BOTH, pretrain=None, seeds=1)
    assert set(again.parts[protocol].split.validation) == set(split.validation)
    assert [(step.system, step.seed) for step in plan.steps] == [("attention-unet", 0), ("unet", 0)]


def test_another_number_of_cases_keeps_the_proportion_and_is_said() -> None:
    plan = plan_protocol("ct150-30-120", dataset(40), BOTH, pretrain=None, seeds=1)
    split = plan.parts["ct150-30-120"].split
    assert (len(split.train), len(split.validation)) == (8, 32)
    assert plan.notes == ["here: 40 cases, 8 to learn from and 32 to be tested on; CT-150 has 150, split 30/120."]
    two = plan_protocol("ct150-30-120", dataset(2), BOTH, pretrain=None, seeds=1).parts["ct150-30-120"].split
    assert (len(two.train), len(two.validation)) == (1, 1)


def test_ct82_has_its_stages_on_the_same_test_cases() -> None:
    plan = plan_protocol(
        "ct82", dataset(82, {1: "pancreas"}), BOTH, pretrain=dataset(150, {2: "pancreas"}, "there"), seeds=2
    )
    sizes = {name: (len(part.split.train), len(part.split.validation)) for name, part in plan.parts.items()}
    assert sizes == {"ct82": (61, 21), "pretrain": (120, 30)}
    assert [step.name for step in plan.steps[:4]] == [
        "attention-unet-source-seed0",
        "attention-unet-BFT-seed0",
        "attention-unet-AFT-seed0",
        "attention-unet-SCR-seed0",
    ]
    source, before, after, scratch = plan.steps[:4]
    assert (source.part, before.part, after.part, scratch.part) == ("pretrain", "ct82", "ct82", "ct82")
    assert isinstance(before, Transfer)
    assert (before.of, after.after, scratch.after, source.after) == (source.name, source.name, None, None)
    assert plan.steps[8].name == "attention-unet-source-seed1"
    assert plan.labels == {"data": {1: "pancreas"}, "pretrain": {2: "pancreas"}}
    arms = {arm.name: arm.steps for arm in plan.arms}
    assert arms["unet AFT"] == (("unet-AFT-seed0",), ("unet-AFT-seed1",))
    assert plan.pairs[:2] == [("attention-unet AFT", "attention-unet BFT"), ("unet AFT", "unet BFT")]
    assert ("attention-unet BFT", "unet BFT") in plan.pairs


def test_organs_that_only_one_has_are_left_out_and_said() -> None:
    here, there = (
        dataset(9, {1: "liver", 3: "pancreas", 9: "tumour"}),
        dataset(9, {4: "liver", 5: "bone", 7: "pancreas"}),
    )
    plan = plan_protocol("ct82", here, ["unet"], pretrain=there, seeds=1)
    assert plan.labels == {"data": {1: "liver", 3: "pancreas"}, "pretrain": {4: "liver", 7: "pancreas"}}
    assert plan.notes[-1] == "Only organs that both data sets have: without bone, tumour."


@pytest.mark.parametrize(
    ("there", "line"),
    [
        ({2: "liver", 5: "spleen"}, "the organs of both data sets must come in the same order of label values, got "
         "liver, spleen and spleen, liver. Relabel one of them."),
        ({1: "lung"}, "both data sets must have an organ of the same name, got lung and spleen, liver."),
    ],
)  # fmt: skip
def test_organs_that_do_not_fit_together(there, line) -> None:
    with pytest.raises(InputError) as error:
        plan_protocol("ct82", dataset(9, {1: "spleen", 2: "liver"}), ["unet"], pretrain=dataset(9, there), seeds=1)
    assert str(error.value) == f"compare: {line}"


def test_an_unknown_protocol() -> None:
    with pytest.raises(InputError, match=r"^compare: unknown protocol 'ct83'\. Did you mean 'ct82'\?"):
        plan_protocol("ct83", dataset(9), ["unet"], pretrain=None, seeds=1)


def test_the_papers_figures_and_its_organs() -> None:
    few = paper_figures("ct150-30-120")["rows"]["Attention U-Net"]
    assert few["pancreas"]["surface_distance_mm"] == [3.507, 3.814]
    assert few["kidney"] == {"dice": [0.954, 0.021]}
    assert paper_figures("ct82")["rows"]["U-Net AFT"]["pancreas"]["dice"] == [0.820, 0.043]
    names = ["Pancreas", "left kidney", "portal and splenic vein", "right adrenal gland"]
    assert [paper_organ(name) for name in names] == ["pancreas", "kidney", None, None]


def test_tables_name_the_papers_figures_as_its_own() -> None:
    arms = {"unet": make_arm({"pancreas": [0.5] * 5, "liver": [0.9] * 5})}
    table = study_tables(make_study(arms, [], protocol="ct150-120-30", folds=None))[-1]
    assert table.title.endswith(
        "beside it the paper's figures (Oktay et al. 2018) on CT-150, 120 scans to learn from and 30 to be tested on: "
        "other scans, not these"
    )
    assert table.rows[0] == ["", "unet", "paper, its own data: U-Net", "paper, its own data: Attention U-Net"]
    assert table.rows[1] == ["pancreas DSC", "0.500 ± 0.000", "0.814 ± 0.116", "0.840 ± 0.087"]
    assert table.rows[5] == ["liver DSC", "0.900 ± 0.000", "-", "-"]
    assert table.rows[-2:] == [["Params", "1.23 M", "5.88 M", "6.40 M"], ["Time", "0.250 s", "0.167 s", "0.179 s"]]
    arms = {f"unet {stage}": arms["unet"] for stage in ("BFT", "AFT")}
    rows = study_tables(make_study(arms, [], protocol="ct82", folds=None))[-1].rows
    assert rows[0] == ["Organ", "", "DSC", "Precision", "Recall", "S2S (mm)"]
    assert rows[1][:3] == ["pancreas", "unet BFT", "0.500 ± 0.000"]
    assert rows[3][:2] == ["pancreas", "paper, its own data: U-Net BFT"]
    assert rows[3][2:] == ["0.690 ± 0.132", "0.680 ± 0.109", "0.733 ± 0.190", "6.389 ± 3.900"]
    assert [row[1] for row in rows if row[0] == "liver"] == ["unet BFT", "unet AFT"]


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory) -> tuple[Path, Path]:
    """The same balls under another value, and in scans of another voxel size; one of them has something more."""
    root = tmp_path_factory.mktemp("hospitals")
    other = np.diag([1.5, 1.0, 2.0, 1.0])
    for number in range(5):
        image, label = blob(number)
        save(root / f"there/images/t{number}.nii.gz", image)
        save(root / f"there/labels/t{number}.nii.gz", label)
        image, label = blob(number + 50)
        label *= 3
        label[0, 0, 0] = 7
        save(root / f"here/images/h{number}.nii.gz", image, other)
        save(root / f"here/labels/h{number}.nii.gz", label, other)
    write_json(root / "there/labels.json", {"1": "ball"})
    write_json(root / "here/labels.json", {"3": "ball", "7": "corner"})
    return root / "there", root / "here"


def test_ct82_from_end_to_end(hospitals, compare, tmp_path) -> None:
    there, here = hospitals
    out = tmp_path / "study"
    said = []
    found = compare(here, out, systems=["unet"], protocol="ct82", pretrain=there, say=said.append)
    runs = out / "runs"
    assert "note   Only organs that both data sets have: without corner." in said
    assert list(found["arms"]) == ["unet source", "unet BFT", "unet AFT", "unet SCR"]
    tests = [set(arm["cases"]) for arm in found["arms"].values()]
    assert tests[1] == tests[2] == tests[3] == set(found["splits"]["ct82"]["validation"])
    assert tests[0] == set(found["splits"]["pretrain"]["validation"])
    assert all(set(arm["summary"]) == {"ball"} for arm in found["arms"].values())

    source, after, scratch = (read_config(runs / f"unet-{stage}-seed0") for stage in ("source", "AFT", "SCR"))
    assert after.data.spacing_mm == source.data.spacing_mm != scratch.data.spacing_mm
    assert after.data.label_names == scratch.data.label_names == {3: "ball"}
    assert after.network == source.network
    rate = source.training.learning_rate
    assert (after.training.learning_rate, scratch.training.learning_rate) == (pytest.approx(rate / 10), rate)
    equal = ("epochs", "steps_per_epoch", "batch_size", "max_seconds", "keep", "seed")
    budgets = [[getattr(config.training, name) for name in equal] for config in (source, after, scratch)]
    assert budgets[0] == budgets[1] == budgets[2]
    started = read_json(runs / "unet-AFT-seed0" / "init.json")
    assert Path(started["source"]).parent == runs / "unet-source-seed0"
    assert not started["other_shape"] and not started["not_found"]  # noqa: PT018
    assert not (runs / "unet-BFT-seed0" / "config.yaml").exists()  # nothing is trained
    assert found["arms"]["unet BFT"]["cost"]["parameters"] == found["arms"]["unet source"]["cost"]["parameters"]
    again = compare(here, out, systems=["unet"], protocol="ct82", pretrain=there)
    assert {name: arm["cases"] for name, arm in again["arms"].items()} == {
        name: arm["cases"] for name, arm in read_json(out / "study.json")["arms"].items()
    }


@dataclass
class Threshold:
    """A network of the other hospital that finds every ball and calls it 1."""

    config: object

    def segment(self, volume):
        @dataclass
        class Found:
            labels: object

        return Found(volume.like((volume.array > 3).astype(np.uint8)))


def test_organs_are_carried_over_by_name(hospitals, trained, tmp_path, monkeypatch) -> None:
    _, here = hospitals
    config = read_config(trained)
    config = config.model_copy(update={"data": config.data.model_copy(update={"label_names": {1: "ball"}})})
    monkeypatch.setattr("saccade.study.compare_runs.load_segmentation", lambda run, **options: Threshold(config))
    ids = tuple(case.id for case in find_dataset(here).labelled())
    job = TransferJob("unet", trained, here, Split(ids[:2], ids[2:]), {3: "ball"}, tmp_path / "BFT")
    transfer(job)
    metrics = read_json(tmp_path / "BFT" / "validation" / "metrics.json")
    assert set(metrics["cases"]) == set(ids[2:])
    assert {organ for scores in metrics["cases"].values() for organ in scores} == {"ball"}
    assert metrics["summary"]["ball"]["dice"]["mean"] > 0.95


def test_a_split_by_name_must_be_one(pairs, tmp_path) -> None:
    from saccade.tasks.begin import split_cases

    found = find_dataset(pairs)
    learn, held = split_cases(found, Split(("case3", "case0"), ("case1",)))
    assert ([case.id for case in learn], [case.id for case in held]) == (["case3", "case0"], ["case1"])
    with pytest.raises(InputError) as error:
        split_cases(found, Split(("case0", "case1"), ("case1",)))
    assert str(error.value) == f"{pairs}: a case must be learnt from or held out, got both for case1."
    with pytest.raises(InputError, match="must hold case 'case9'"):
        split_cases(found, Split(("case9",), ("case1",)))
    bare = shutil.copytree(pairs, tmp_path / "bare")
    (bare / "labels" / "case0.nii.gz").unlink()
    with pytest.raises(InputError) as error:
        split_cases(find_dataset(bare), Split(("case0",), ("case1",)))
    assert str(error.value) == f"{bare}: each case of the split must have its truth, got none for case0."


def test_marks_of_the_data_set_are_told() -> None:
    marked = [
        replace(case, split=split)
        for case, split in zip(dataset(7).cases, ("test", "validation", *[None] * 5), strict=True)
    ]
    plan = plan_protocol("ct150-120-30", replace(dataset(7), cases=tuple(marked)), ["unet"], pretrain=None, seeds=1)
    split = plan.parts["ct150-120-30"].split
    assert sorted([*split.train, *split.validation]) == [f"c{n:03d}" for n in range(1, 7)]
    assert plan.notes[:2] == [
        "here: 1 labelled case(s) that the data set marks as test are left out.",
        "here: the data set's own marks for validation are not used; the study deals anew.",
    ]
