"""Which files a prediction makes, what is done again and what is not, and several processes at one folder."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fake_predictor import Fake
from tiny import files, save

from saccade.data.volume import Volume
from saccade.errors import InputError
from saccade.tasks.segmentation.cleanup import CleanUp
from saccade.tasks.segmentation.output import Wanted, find_scans, organ_volumes_ml, predict_scans

AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])  # a voxel is 0.02 ml
DESCRIPTIONS = {"labels.ctbl", "labels.json", "labels.label", "volumes.csv"}


def scan(path: Path, seed: int = 0) -> Path:
    return save(path, np.random.default_rng(seed).integers(0, 3, (5, 7, 3)).astype(np.int16), AFFINE)


@pytest.fixture
def three(tmp_path) -> Path:
    for seed, name in enumerate("abc"):
        scan(tmp_path / f"in/{name}.nii.gz", seed)
    return tmp_path


def predict(folder: Path, *wanted: object, predictor=None, **options) -> tuple[list[str], list[str]]:
    """Names of what was segmented, and what was said, of the scans in ``in/`` with results in ``out/``."""
    said: list[str] = []
    scans = find_scans([folder / "in"])
    done = predict_scans(predictor or Fake(), scans, folder / "out", *wanted, say=said.append, **options)
    return [path.name.split(".")[0] for path in done], said


def table(out: Path) -> list[list[str]]:
    return list(csv.reader((out / "volumes.csv").open()))


def test_everything_a_prediction_leaves(tmp_path) -> None:
    scans = find_scans([scan(tmp_path / "in/a.nii.gz", 1), scan(tmp_path / "in/b.nii.gz", 2)])
    out, told, said, fake = tmp_path / "deep" / "out", [], [], Fake()
    wanted = Wanted(attention=True, probabilities=("a b", "liver"), uncertainty=True, max_memory=7)
    done = list(predict_scans(fake, scans, out, wanted, progress=lambda *n: told.append(n), say=said.append))
    assert done == [out / "a.nii.gz", out / "b.nii.gz"]
    assert files(out) == DESCRIPTIONS | {
        f"{kind.format(case=case)}" for case in "ab" for kind in (
            "{case}.nii.gz", "attention/{case}_gate_0.nii.gz", "probabilities/{case}/liver.nii.gz",
            "probabilities/{case}/a_b.nii.gz", "uncertainty/{case}.nii.gz", "records/{case}.json",
        )
    }  # fmt: skip
    assert told == [("a", 1, 2, 0), ("b", 1, 2, 1)]
    assert fake.memory == [7, 7]
    assert [line.partition(": ")[2][:34] for line in said[:2]] == ["memory expected at most 5.00 GB", said[1][3:37]]
    assert said[1].startswith("a: read 0.0 s, network 2.0 s, write 0.")
    given = np.asarray(nib.load(tmp_path / "in/b.nii.gz").dataobj)
    expected = {
        "b": given == 1, "attention/b_gate_0": given / 3, "probabilities/b/a_b": given / 10,
        "probabilities/b/liver": given / 20, "uncertainty/b": np.full(given.shape, 0.5),
    }  # fmt: skip
    for name, values in expected.items():
        found = nib.load(out / f"{name}.nii.gz")
        assert found.get_data_dtype() == (np.uint8 if name == "b" else np.float32)
        np.testing.assert_allclose(found.get_fdata(), values, rtol=1e-6)
        np.testing.assert_array_equal(found.affine, AFFINE)
    rows = table(out)
    assert rows[0] == ["case", "liver (ml)", "a b (ml)"]
    assert [row[0] for row in rows[1:]] == ["a", "b"]
    assert float(rows[2][1]) == pytest.approx((given == 1).sum() * 0.02)
    assert rows[2][2] == "0.0"
    record = json.loads((out / "records/b.json").read_text("utf-8"))
    assert record["volumes_ml"]["liver"] == float(rows[2][1])
    assert (record["seconds"]["network"], record["expected_peak_bytes"]) == (2.0, 5 * 10**9)
    assert '"liver"' in (out / "labels.label").read_text("utf-8")


def test_all_probabilities_and_the_organ_that_is_none(three) -> None:
    predict(three, Wanted(probabilities=("all", "liver", "background")))
    assert {path.name for path in (three / "out/probabilities/a").iterdir()} == {
        "liver.nii.gz", "a_b.nii.gz", "background.nii.gz",
    }  # fmt: skip
    with pytest.raises(InputError) as error:
        predict(three, Wanted(probabilities=("livre",)))
    assert str(error.value) == (
        "predict: unknown organ 'livre'. Did you mean 'liver'? Known: liver, a b, background, all."
    )


def test_organs_make_files_of_their_own_below_the_folder(three) -> None:
    names = {1: "../../evil", 2: "L/R", 3: "l r", 4: "..", 5: "Größe.1"}
    predict(three, Wanted(probabilities=("all",)), predictor=Fake(names=names))
    assert {path.name for path in (three / "out/probabilities/b").iterdir()} == {
        "_.._evil.nii.gz", "L_R_2.nii.gz", "l_r_3.nii.gz", "_4.nii.gz", "Größe.1.nii.gz",
    }  # fmt: skip
    assert all(name.startswith(("in/", "out/")) for name in files(three))


def test_a_bad_scan_stops_at_its_turn_and_what_was_finished_stays(tmp_path) -> None:
    scan(tmp_path / "in/a.nii.gz"), save(tmp_path / "in/b.nii.gz", np.full((5, 7, 3), 99, np.int16))
    with pytest.raises(InputError, match=r"^bad scan\.$"):
        predict(tmp_path)
    assert files(tmp_path / "out") == DESCRIPTIONS | {"a.nii.gz", "records/a.json"}
    scan(tmp_path / "in/b.nii.gz")
    done, said = predict(tmp_path)
    assert done == ["b"]
    assert said[0] == "1 of 2 scans: finished before, skipped; --overwrite does them again"
    assert [row[0] for row in table(tmp_path / "out")] == ["case", "a", "b"]


def test_nothing_is_left_where_nothing_came_of_it(tmp_path) -> None:
    save(tmp_path / "in/b.nii.gz", np.full((5, 7, 3), 99, np.int16))
    with pytest.raises(InputError):
        predict(tmp_path)
    assert not (tmp_path / "out").exists()


def test_finished_scans_are_skipped(three) -> None:
    assert predict(three)[0] == ["a", "b", "c"]
    before = {path: path.stat().st_mtime_ns for path in (three / "out").glob("*.nii.gz")}
    (three / "out/volumes.csv").unlink()
    done, said = predict(three)
    assert (done, said) == ([], ["3 of 3 scans: finished before, skipped; --overwrite does them again"])
    assert before == {path: path.stat().st_mtime_ns for path in (three / "out").glob("*.nii.gz")}
    assert len(table(three / "out")) == 4
    assert predict(three, overwrite=True)[0] == ["a", "b", "c"]
    assert all(path.stat().st_mtime_ns > time_ns for path, time_ns in before.items())


RULES = CleanUp.parse({"organs": {"liver": {"keep_largest": True}}}, "t")


@pytest.mark.parametrize(
    "change", ["weights", "settings", "clean-up", "scan", "label file", "more wanted", "map", "record", "nothing"]
)
def test_a_scan_is_finished_only_if_all_that_is_asked_for_is_there(three, change) -> None:
    out, wanted, predictor = three / "out", Wanted(uncertainty=True), Fake()
    predict(three, wanted)
    if change == "weights":
        predictor = Fake(weights=1.0)
    elif change == "settings":
        predictor.config = predictor.with_inference({"overlap": 0.25}).config
    elif change == "clean-up":
        wanted = Wanted(uncertainty=True, clean_up=RULES)
    elif change == "scan":
        scan(three / "in/b.nii.gz", 17)
    elif change == "label file":
        (out / "b.nii.gz").unlink()
    elif change == "more wanted":
        wanted = Wanted(probabilities=("liver",))
    elif change == "map":
        (out / "uncertainty/b.nii.gz").unlink()
    elif change == "record":
        (out / "records/b.json").write_text('{"case": "b"}')
    whole = change in ("weights", "settings", "clean-up", "more wanted")
    expected = {"nothing": []}.get(change, ["a", "b", "c"] if whole else ["b"])
    assert predict(three, wanted, predictor=predictor)[0] == expected
    assert predict(three, wanted, predictor=predictor)[0] == []
    assert predict(three, Wanted(clean_up=wanted.clean_up), predictor=predictor)[0] == []  # less is there as well
    if change == "more wanted":
        assert predict(three, Wanted(uncertainty=True), predictor=predictor)[0] == []  # as is what was there before


def test_maps_of_other_weights_do_not_stay_beside_new_labels(three) -> None:
    predict(three, Wanted(uncertainty=True, attention=True))
    (three / "precious.nii.gz").write_text("keep me")
    record = three / "out/records/a.json"
    content = json.loads(record.read_text("utf-8"))
    record.write_text(json.dumps({**content, "files": [*content["files"], "../precious.nii.gz"]}))
    predict(three, predictor=Fake(weights=1.0))
    assert files(three / "out") == DESCRIPTIONS | {f"{n}.nii.gz" for n in "abc"} | {f"records/{n}.json" for n in "abc"}
    assert (three / "precious.nii.gz").exists()


def test_a_folder_that_was_moved_is_continued(three, tmp_path_factory) -> None:
    predict(three)
    moved = tmp_path_factory.mktemp("moved")
    (three / "in").rename(moved / "in"), (three / "out").rename(moved / "out")
    assert predict(moved)[0] == []


def test_stray_pieces_are_removed_and_counted_no_more(tmp_path) -> None:
    array = np.zeros((5, 7, 3), np.int16)
    array[0, :4, 0] = array[4, 6, 2] = 1
    save(tmp_path / "in/a.nii.gz", array, AFFINE)
    predict(tmp_path, Wanted(clean_up=RULES, probabilities=("liver",)))
    found = np.asarray(nib.load(tmp_path / "out/a.nii.gz").dataobj)
    assert (found.sum(), found[0, :4, 0].sum()) == (4, 4)
    assert table(tmp_path / "out")[1] == ["a", "0.08", "0.0"]
    assert np.count_nonzero(nib.load(tmp_path / "out/probabilities/a/liver.nii.gz").get_fdata()) == 5


def test_each_process_begins_with_its_share(three) -> None:
    assert predict(three, share=(1, 3))[0] == ["b", "c", "a"]
    assert [row[0] for row in table(three / "out")] == ["case", "a", "b", "c"]


CHILD = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fake_predictor import Fake
import saccade.data.volume as volume
from saccade.cli.processes import share_of_process
from saccade.tasks.segmentation.output import Wanted, find_scans, predict_scans
folder, write, (rank, _) = Path(sys.argv[2]), volume.write_nifti, share_of_process()

def stuck(array, affine, header, path):
    if rank == 0 and path.parent.name == "out":
        path.write_bytes(b"half a file")
        (folder / "stuck").touch()
        time.sleep(600)
    write(array, affine, header, path)

class Logging(Fake):
    def segment(self, scan, **options):
        with open(folder / "log", "a") as log:
            log.write(f"{scan.source.name[:2]} {rank}\\n")
        return super().segment(scan, **options)

volume.write_nifti = stuck
while rank == 1 and not (folder / "stuck").exists():
    time.sleep(0.01)
scans = find_scans([folder / "in"])
for _ in predict_scans(Logging(), scans, folder / "out", Wanted(uncertainty=True), share=share_of_process()):
    pass
"""


@pytest.mark.process
def test_torchrun_shares_the_scans_and_the_first_process_is_killed_while_it_writes(tmp_path) -> None:
    for number in range(6):
        scan(tmp_path / f"in/c{number}.nii.gz", number)
    command = [sys.executable, "-c", CHILD, Path(__file__).parents[2], tmp_path]
    both = [subprocess.Popen(command, env={**os.environ, "RANK": rank, "WORLD_SIZE": "2"}) for rank in "01"]
    end = time.monotonic() + 90
    while not (tmp_path / "log").exists() or len((tmp_path / "log").read_text("utf-8").splitlines()) < 6:
        assert time.monotonic() < end
        time.sleep(0.05)
    both[0].kill()
    assert [child.wait(90) for child in both] == [-signal.SIGKILL, 0]
    started = [line.split() for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    assert [case for case, rank in started if rank == "0"] == ["c0"]  # the first of its share
    assert [case for case, rank in started if rank == "1"] == ["c3", "c4", "c5", "c1", "c2", "c0"]
    expected = {f"c{n}" for n in range(6)}
    assert files(tmp_path / "out") == DESCRIPTIONS | {
        pattern.format(n) for n in expected for pattern in ("{}.nii.gz", "uncertainty/{}.nii.gz", "records/{}.json")
    }
    assert {row[0] for row in table(tmp_path / "out")} == {"case", *expected}
    for case in expected:
        given = np.asarray(nib.load(tmp_path / f"in/{case}.nii.gz").dataobj)
        np.testing.assert_array_equal(nib.load(tmp_path / f"out/{case}.nii.gz").get_fdata(), given == 1)
    assert predict(tmp_path, Wanted(uncertainty=True)) == (
        [], ["6 of 6 scans: finished before, skipped; --overwrite does them again"],
    )  # fmt: skip


def test_the_runs_own_pattern_names_the_files(tmp_path) -> None:
    (done,) = predict_scans(Fake("seg/{case}_seg.nii.gz"), find_scans([scan(tmp_path / "a.nii.gz")]), tmp_path / "out")
    assert done == tmp_path / "out/seg/a_seg.nii.gz"
    assert done.is_file()


@pytest.mark.parametrize(
    "pattern", ["x.nii.gz", "../{case}.nii.gz", "/{case}.nii.gz", "{case}{more}.nii.gz", "{case}.png"]
)
def test_patterns_that_would_lose_or_misplace_results(pattern) -> None:
    with pytest.raises(InputError, match=r"^t: inference\.file_pattern: Value error, must "):
        Fake(pattern)


def test_a_result_never_takes_the_place_of_a_scan(three) -> None:
    with pytest.raises(InputError) as error:
        list(predict_scans(Fake(), find_scans([three / "in"]), three / "out" / ".." / "in"))
    assert str(error.value) == (
        f"{three}/out/../in/a.nii.gz: is a scan, a result would replace it. Choose another folder for --out."
    )


@pytest.mark.parametrize("case", ["../a", "a/b", "..", "", "a\\b"])
def test_cases_that_would_lie_elsewhere(three, case) -> None:
    with pytest.raises(InputError, match=r"^predict: a scan's name must be one that a file can have, without / and "):
        list(predict_scans(Fake(), [(case, (three / "in/a.nii.gz",))], three / "out"))
    assert files(three) == {"in/a.nii.gz", "in/b.nii.gz", "in/c.nii.gz"}


def test_maps_are_not_promised_where_there_are_none(three) -> None:
    plain = Fake()
    plain.attends = False
    with pytest.raises(InputError) as error:
        predict(three, Wanted(attention=True), predictor=plain)
    assert str(error.value) == "predict: unet has no attention maps to write; leave --attention out."
    with pytest.raises(InputError) as error:
        predict(three, Wanted(dicom_seg=True))
    assert str(error.value) == f"{three}/in/a.nii.gz: --dicom-seg needs a DICOM series, this is none."
    assert not (three / "out").exists()


def test_volumes_on_a_skewed_grid_by_hand() -> None:
    affine = np.array([[2.0, 1.0, 0, 0], [0, 3.0, 0, 0], [0, 0, -5.0, 0], [0, 0, 0, 1]])  # determinant -30: 0.03 ml
    array = np.zeros((5, 7, 3), np.uint8)
    array[0, :4, 0], array[1, 0, 0] = 2, 9
    assert organ_volumes_ml(Volume(array, affine), {2: "a", 3: "b"}) == {"a": 0.12, "b": 0.0}
