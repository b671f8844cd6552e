"""Simulated lungs: the truth is what the table says, texture alone tells it, and the same seed gives the same bytes."""

import csv

import numpy as np
import pytest

from saccade.cli.main import main
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.synthetic.lung_shortcuts import TEXTURE, lung_shortcuts
from saccade.data.synthetic.lungs import make, simulate_chest
from saccade.data.volume import read_volume
from saccade.errors import InputError


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two sets of other patients."""
    root = tmp_path_factory.mktemp("lungs")
    for seed, cases in ((1, 26), (2, 26)):
        make(root / str(seed), cases=cases, seed=seed)
    return root / "1", root / "2"


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_says_what_the_truth_shows(sets) -> None:
    table, facts = rows(sets[0] / "lungs.csv"), rows(sets[0] / "truth" / "facts.csv")
    extents = []
    for row, fact in zip(table, facts, strict=True):
        truth = read_volume(sets[0] / "truth" / row["image"])
        image = read_volume(sets[0] / "images" / row["image"])
        assert (image.array.shape, image.array.dtype) == ((64, 48, 56), np.int16)
        np.testing.assert_array_equal(image.affine, truth.affine)
        extent = (truth.array == 2).sum() / (truth.array > 0).sum()
        assert float(row["target_extent"]) == pytest.approx(extent, abs=1e-4)
        assert row["disease"] == ("yes" if extent > 0 else "no")
        assert int(row["stage"]) == sum(extent > above for above in (0, 0.2, 0.4))
        litres = (truth.array > 0).sum() * 5.0**3 / 1e6
        assert float(fact["lung_volume_ml"]) == pytest.approx(1000 * litres, abs=0.1)
        assert 1.5 < litres < 6.5
        extents.append(extent)
    assert 0.15 < np.mean(np.array(extents) == 0) < 0.6
    assert max(extents) > 0.6
    assert {row["stage"] for row in table} == {"0", "1", "2", "3"}


def test_it_is_a_data_set_as_it_is(sets, capsys) -> None:
    assert main(["data", "check", str(sets[0])]) == 0
    assert "table, 26 cases (26 labelled" in capsys.readouterr().out
    dataset = find_image_dataset(sets[0])
    assert dataset.columns == ("target_extent",)
    assert dataset.cases[0].id == "lungs0001"


def test_sick_and_healthy_tissue_have_one_histogram_and_two_textures() -> None:
    values: dict[str, list[np.ndarray]] = {"sick": [], "healthy": []}
    alike: dict[str, list[float]] = {"sick": [], "healthy": []}
    for case in range(40):
        chest = simulate_chest(5, case)
        if 0.25 < chest.facts["extent"] < 0.7:
            base = np.median(chest.image[chest.lungs])
            for name, part in (("sick", chest.disease), ("healthy", chest.lungs & ~chest.disease)):
                values[name].append(chest.image[part] - base)
                both = part[1:] & part[:-1]
                alike[name].append(np.corrcoef(chest.image[1:][both], chest.image[:-1][both])[0, 1])
    assert len(alike["sick"]) > 5
    shares = [np.percentile(np.concatenate(values[name]), (2, 10, 25, 50, 75, 90, 98)) for name in values]
    assert np.abs(shares[0] - shares[1]).max() < 10  # HU, of a spread of 50
    assert min(alike["sick"]) > max(alike["healthy"]) + 0.05


def test_shortcuts_tell_next_to_nothing_and_texture_tells_it(sets) -> None:
    scores = lung_shortcuts(*sets)
    assert scores.pop(TEXTURE)["r2"] > 0.75
    assert set(scores) == {"volume and density", "histogram", "coarse image"}
    for name, found in scores.items():
        assert found["r2"] < 0.2, name
        assert found["auroc"] < 0.75, name


def test_a_case_depends_on_its_seed_and_number_alone(sets, tmp_path) -> None:
    done = []
    ids = make(tmp_path, cases=2, seed=1, progress=lambda number, cases: done.append((number, cases)))
    assert ids == ["lungs0001", "lungs0002"]
    assert done == [(1, 2), (2, 2)]
    for folder in ("images", "truth"):
        for id in ids:
            name = f"{folder}/{id}.nii.gz"
            assert (tmp_path / name).read_bytes() == (sets[0] / name).read_bytes()
            assert (tmp_path / name).read_bytes() != (sets[1] / name).read_bytes()
    assert rows(tmp_path / "lungs.csv") == rows(sets[0] / "lungs.csv")[:2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda out: make(out, cases=0, seed=0), "lungs: cases must be 1 or more, got 0."),
        (lambda out: simulate_chest(-1, 0), "lungs: seed and case must be 0 or more, got -1 and 0."),
        (lambda out: lung_shortcuts(out, out), "shortcuts need healthy and diseased lungs, make more --cases."),
    ],
)
def test_bad_wishes_are_refused(tmp_path, call, message) -> None:
    (tmp_path / "lungs.csv").write_text("image,target_extent\na.nii.gz,0.1\n")
    with pytest.raises(InputError) as error:
        call(tmp_path)
    assert str(error.value).endswith(message)
