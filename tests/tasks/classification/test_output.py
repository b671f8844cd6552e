"""`saccade predict` and `saccade evaluate` on images: the table, going on, and scores against every layout of truth."""

import csv
import json
import shutil

import numpy as np
import pytest
from image_sets import class_folders, picture, save, table

import saccade
from saccade.cli.main import main
from saccade.tasks.classification.predictor import ClassificationPredictor


def rows_of(folder) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "predictions.csv").open()))


@pytest.fixture
def unseen(tmp_path):
    return class_folders(tmp_path / "unseen", 4)


def test_predict_then_evaluate(classified, unseen, tmp_path, capfd) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(classified), str(unseen), "--out", str(out)]) == 0
    assert capfd.readouterr().out == f"{out}/predictions.csv\n"
    rows = rows_of(out)
    assert [row["case"] for row in rows][:2] == ["cat/00", "cat/01"]
    assert sum(row["prediction"] == row["case"][:3] for row in rows) >= 7
    assert main(["evaluate", str(out), str(unseen), "--out", str(tmp_path / "m.json"), "--csv", str(tmp_path / "m.csv"),
                 "--markdown", str(tmp_path / "m.md")]) == 0  # fmt: skip
    result = json.loads((tmp_path / "m.json").read_text("utf-8"))
    right = np.mean([row["prediction"] == row["case"][:3] for row in rows])
    assert result["summary"]["accuracy"]["value"] == pytest.approx(right)
    assert result["summary"]["accuracy"]["low"] <= right <= result["summary"]["accuracy"]["high"]
    assert np.sum(result["confusion"]) == 8
    case = result["cases"]["cat/00"]
    assert case["loss"] == pytest.approx(-np.log(float(rows[0]["p_cat"])), rel=1e-4)
    assert (tmp_path / "m.csv").read_text().startswith("score,value,low,high\naccuracy,")
    assert "| Balanced accuracy |" in (tmp_path / "m.md").read_text()


def test_a_stopped_command_goes_on_where_it_was(classified, unseen, tmp_path, monkeypatch, capfd) -> None:
    out, seen = tmp_path / "out", []
    made = ClassificationPredictor.predict_cases

    def failing(self, cases):
        for number, found in enumerate(made(self, cases)):
            if number == 3 and not seen:
                raise KeyboardInterrupt
            yield found
        seen.append(len(cases))

    monkeypatch.setattr(ClassificationPredictor, "predict_cases", failing)
    command = ["predict", str(classified), str(unseen), "--out", str(out)]
    assert main(command) == 130
    assert len(rows_of(out)) == 3
    seen.append(0)
    assert main(command) == 0
    assert seen[-1] == 5
    assert len(rows_of(out)) == 8
    save(unseen / "cat/01.png", picture(77, False))  # a changed image is done again, the others are not
    assert main(command) == 0
    assert seen[-1] == 1
    assert main([*command, "--overwrite"]) == 0
    assert seen[-1] == 8
    capfd.readouterr()
    whole = [tuple(row.values()) for row in rows_of(out)]
    shutil.rmtree(out)
    assert main(command) == 0
    assert [tuple(row.values()) for row in rows_of(out)] == whole
    assert {path.name for path in out.iterdir()} == {"predictions.csv", "predictions.json"}


def test_inputs_of_every_kind(classified, unseen, tmp_path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "pack.npz", images=rng.integers(0, 255, (3, 13, 11), dtype=np.uint8))
    one = save(tmp_path / "one.png", picture(5, True))
    rows = [{"path": str(one), "id": name, "weight": n, "height": 2 - n} for n, name in enumerate("ab")]
    table(tmp_path / "table", rows)  # which of them would be the target does not matter here
    for given, cases in (
        (one, ["one"]),
        (tmp_path / "table", ["a", "b"]),
        (tmp_path / "pack.npz", ["image_00000", "image_00001", "image_00002"]),
    ):
        out = tmp_path / f"out_{given.stem}"
        assert main(["predict", str(classified), str(given), "--out", str(out)]) == 0
        assert [row["case"] for row in rows_of(out)] == cases
    predictor = saccade.load(classified)
    array = picture(5, True)
    told = predictor.predict(array)
    assert told == predictor.predict(one)
    assert predictor.with_inference({"calibrate": False}).predict(array).values != told.values
    mirrored = predictor.with_inference({"mirror_axes": [1]})
    assert mirrored.predict(array[:, ::-1].copy()).values["cat"] == pytest.approx(mirrored.predict(array).values["cat"])


def test_inputs_that_cannot_be_used(classified, unseen, tmp_path, capfd) -> None:
    out = tmp_path / "o"

    def said(*inputs: object) -> str:
        assert main(["predict", str(classified), *map(str, inputs), "--out", str(out)]) == 2
        return capfd.readouterr().err.splitlines()[-1].removeprefix("saccade: ")

    assert said(tmp_path / "gone.png") == f"{tmp_path}/gone.png: there is no such file or folder."
    assert said(unseen, unseen) == "predict: each image must have a name of its own, 2 are called cat/00."
    np.savez(tmp_path / "four.npz", images=np.zeros((2, 9, 8, 4)))
    assert said(tmp_path / "four.npz") == f"{tmp_path}/four.npz[images,0]: must have 1 channel(s), has 4."
    np.savez(tmp_path / "deep.npz", images=np.zeros((2, 5, 6, 7)))
    assert said(tmp_path / "deep.npz") == f"{tmp_path}/deep.npz[images,0]: must have 2 axes, has 3."
    (unseen / "cat/00.png").write_bytes(b"x")
    assert said(unseen) == f"{unseen}/cat/00.png: cannot be read as a picture (cannot identify image file)."
    assert not out.exists()


def written(path, text: str):
    path.write_text(text)
    return path


TRUTH = "path,label\na.png,x\nb.png,y\n"


@pytest.fixture
def truth(tmp_path):
    for name in "ab":
        save(tmp_path / f"{name}.png", picture(0, True))
    return written(tmp_path / "truth.csv", TRUTH)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "case,prediction,p_x,p_y\na,x,1,0\n",
            "must have a row for every case, has none for b. --missing skip leaves them out.",
        ),
        ("case,prediction,p_x,p_y\na,x,1,0\na,x,1,0\n", "line 3: each case must have one row, got a again."),
        ("case,prediction,p_x,p_y\na,x,1,\n", "line 2: p_y must be a number, got ''."),
        ("case,prediction,p_x,p_y\na,x,1,7\n", "line 2: probabilities must be from 0 to 1, got 1.0 to 7.0."),
        ("case,prediction,p_x,p_y\nq,x,1,0\n", "no case is in the truth; predicted are q, true are a, b."),
        ("name,p\na,1\n", "must be a table of predictions, case first, has name, p."),
        ("case,prediction\na,x\n", "must have a column p_CLASS for each class, has case, prediction."),
        ("case,prediction,p_x\n", "must have a row for each case, has none."),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_scored(truth, tmp_path, capfd, text, message) -> None:
    path = written(tmp_path / "p.csv", text)
    assert main(["evaluate", str(path), str(truth), "--out", str(tmp_path / "m.json")]) == 2
    assert capfd.readouterr().err == f"saccade: {path}: {message}\n"


def test_a_true_class_that_nobody_predicts_and_missing_rows(truth, tmp_path, capfd) -> None:
    path = written(tmp_path / "p.csv", "case,prediction,p_x,p_z\na,x,1,0\nb,z,0,1\n")
    where = ("--out", str(tmp_path / "m.json"))
    assert main(["evaluate", str(path), str(truth), *where]) == 2
    assert capfd.readouterr().err == "saccade: case b: its class 'y' must be one of those predicted: x, z.\n"
    some = written(tmp_path / "some.csv", "case,prediction,p_x,p_y\nfolder/a,x,0.75,0.25\n")
    assert main(["evaluate", str(some), str(truth), *where, "--missing", "skip"]) == 0
    result = json.loads((tmp_path / "m.json").read_text("utf-8"))
    assert list(result["cases"]) == ["folder/a"]
    assert result["cases"]["folder/a"]["loss"] == pytest.approx(-np.log(0.75))


def test_numbers_and_a_comparison(tmp_path, capfd) -> None:
    rows = []
    for number in range(6):
        save(tmp_path / f"c{number}.png", picture(number, True))
        rows.append({"path": f"c{number}.png", "age": 10.0 * number + 0.5})
    table(tmp_path, rows)
    for name, error in (("good", 1.0), ("bad", 4.0)):
        lines = "".join(f"c{n},{10 * n + 0.5 + error * (-1) ** n}\n" for n in range(6))
        written(tmp_path / f"{name}.csv", f"case,age\n{lines}")
    given = [str(tmp_path / name) for name in ("good.csv", "table.csv")]
    against = ["--against", str(tmp_path / "bad.csv"), "--out", str(tmp_path / "m.json")]
    assert main(["evaluate", *given, *against]) == 0
    result = json.loads((tmp_path / "m.json").read_text("utf-8"))
    assert result["kind"] == "regression"
    assert result["summary"]["mae"]["value"] == pytest.approx(1)
    pair = result["against"]["scores"]["loss"]
    assert (pair["mean"], pair["mean_other"], pair["n"]) == (pytest.approx(1), pytest.approx(4), 6)
    # all six differences have one sign: two-sided p of Wilcoxon's test is 2 / 2**6
    assert pair["p"] == pytest.approx(2 / 64)
    assert pair["verdict"] == "better"
    assert "correct" not in result["against"]["scores"]
