import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from saccade.cli.data import app
from saccade.data.synthetic.kinds import KINDS, Kind
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError

SHAPE = (5, 7, 11)


def dataset(root: Path, off: float = 0.0, value: int = 1) -> Path:
    """Two cases in BTCV layout; the second label's affine is off, and its class is given."""
    for number in (1, 2):
        array = np.random.default_rng(number).integers(-900, 900, SHAPE).astype(np.int16)
        label = np.resize(np.array([0, value if number == 2 else 1], np.uint8), SHAPE)
        affine = np.diag([0.7, 1.3, 2.9, 1.0])
        write_volume(Volume(array, affine), root / f"img/img000{number}.nii.gz")
        affine[0, 3] = off if number == 2 else 0
        write_volume(Volume(label, affine), root / f"label/label000{number}.nii.gz")
    return root


def test_clean(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(dataset(tmp_path))])
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path}: btcv layout, 2 cases (2 labelled), no faults.\n"


def test_faults_as_table(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(dataset(tmp_path, off=5e-4, value=14))])
    assert result.exit_code == 2
    assert "(--fix)" in result.stdout
    assert "label value" in " ".join(result.stdout.split())
    assert result.stdout.endswith(f"{tmp_path}: btcv layout, 2 cases (2 labelled), 2 faults.\n")


def test_faults_as_json(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(dataset(tmp_path, value=14)), "--json"])
    assert result.exit_code == 2
    content = json.loads(result.stdout)
    assert result.stderr == ""
    assert {key: content[key] for key in ("layout", "cases", "labelled")} == {
        "layout": "btcv",
        "cases": 2,
        "labelled": 2,
    }
    assert content["label_names"]["11"] == "pancreas"
    assert content["faults"] == [
        {
            "case": "img0002",
            "file": f"{tmp_path}/label/label0002.nii.gz",
            "kind": "label value",
            "expected": "0 and 1-13",
            "found": "14",
            "fixable": False,
            "fixed": False,
        }
    ]


def test_fix_says_what_it_did_and_leaves_nothing(tmp_path: Path) -> None:
    dataset(tmp_path, off=5e-4)
    fixed = CliRunner().invoke(app, ["check", str(tmp_path), "--fix"])
    assert fixed.exit_code == 0
    assert fixed.stdout.endswith("1 fault, 1 of them fixed: those labels now have their image's affine.\n")
    assert CliRunner().invoke(app, ["check", str(tmp_path)]).stdout.endswith("no faults.\n")


def test_fix_leaves_the_rest_and_says_so_by_its_code(tmp_path: Path) -> None:
    dataset(tmp_path, off=5e-4, value=14)
    assert CliRunner().invoke(app, ["check", str(tmp_path), "--fix"]).exit_code == 2


def test_names_of_the_classes_can_be_given(tmp_path: Path) -> None:
    dataset(tmp_path, value=14)
    names = tmp_path / "names.json"
    names.write_text('{"1": "spleen", "14": "duodenum"}')
    assert CliRunner().invoke(app, ["check", str(tmp_path), "--labels", str(names)]).exit_code == 0


def test_a_folder_that_is_not_there() -> None:
    result = CliRunner().invoke(app, ["check", "nowhere"])
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == "nowhere: there is no such folder."


def test_unknown_kind(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["make", "abdomn", str(tmp_path / "x")])
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == (
        f"saccade data make: unknown kind of data 'abdomn'. Did you mean 'abdomen'? Known: {', '.join(KINDS)}."
    )
    assert not (tmp_path / "x").exists()


def test_an_option_that_the_kind_does_not_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Kind("plain", "nowhere", "nothing")
    monkeypatch.setitem(KINDS, "plain", plain)
    result = CliRunner().invoke(app, ["make", "plain", str(tmp_path / "x"), "--hospital", "b"])
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == "saccade data make: plain has no --hospital; it takes --cases, --seed."


def test_options_given_reach_the_kind_and_the_others_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def make(out: Path, **options: object) -> list[str]:
        given.update(options, out=out)
        return ["one", "two"]

    monkeypatch.setattr("saccade.data.synthetic.abdomen.make", make)
    made = CliRunner().invoke(app, ["make", "abdomen", str(tmp_path), "--size", "full"])
    assert made.exit_code == 0, made.output
    assert made.stdout == f"{tmp_path}: 2 cases (one to two).\n"
    given.pop("progress")
    assert given == {"out": tmp_path, "cases": 8, "seed": 0, "size": "full"}


def test_help_lists_every_kind_and_who_takes_an_option() -> None:
    said = " ".join(CliRunner().invoke(app, ["make", "--help"], env={"COLUMNS": "4000"}).stdout.split())
    for kind in KINDS.values():
        assert f"{kind.name}: {kind.summary}." in said
        for option in kind.options:
            assert option.help in said


@pytest.mark.parametrize("verb", ["check", "make"])
def test_help_has_an_example(verb: str) -> None:
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert f"Example: saccade data {verb}" in result.stdout


def test_made_abdomens_are_clean(tmp_path: Path) -> None:
    pytest.importorskip("saccade.data.synthetic.abdomen")
    made = CliRunner().invoke(app, ["make", "abdomen", str(tmp_path / "a"), "--cases", "2", "--seed", "3"])
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith(f"{tmp_path}/a: 2 cases (")
    assert CliRunner().invoke(app, ["check", str(tmp_path / "a")]).exit_code == 0
