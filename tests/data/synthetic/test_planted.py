"""Planted evidence: its place is known, the decoy says nothing, and trivial classifiers find nothing."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from saccade.cli.main import main
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.classification.read import read_image
from saccade.data.synthetic import planted
from saccade.data.synthetic.class_shortcuts import class_shortcuts
from saccade.errors import InputError


@pytest.mark.parametrize("dims", [2, 3])
def test_objects_fill_equally_many_pixels_and_are_unlike(dims) -> None:
    shapes = [planted.shape(name, dims) for name in planted.OBJECTS]
    assert {int(one.sum()) for one in shapes} == {planted.FILLED[dims]}
    for one, other in itertools.combinations(shapes, 2):
        assert (one & other).sum() < 0.7 * planted.FILLED[dims]


@pytest.mark.parametrize("dims", [2, 3])
def test_everything_is_where_the_masks_say(dims) -> None:
    generator = np.random.default_rng(0)
    made = [planted.plant(generator, ["plus", "frame"], dims=dims) for _ in range(300)]
    for one in made[:20]:
        assert one.objects.shape == (2, *one.image.shape)
        assert not (one.objects[0] & one.objects[1]).any()
        assert not (one.objects.any(0) & one.decoy).any()
        assert set(np.unique(one.truth)) == {0, 1, 2}
    for number, name in enumerate(("plus", "frame")):
        mean = np.mean([one.image[one.objects[number]] for one in made], 0)
        np.testing.assert_allclose(mean, planted.shape(name, dims).ravel(), atol=6 * planted.NOISE / np.sqrt(300))
    dust = np.mean([one.image[one.decoy] for one in made], 0)  # has no form
    assert np.ptp(dust) < 1
    part = planted.FILLED[dims] / planted.SIDE**dims
    assert dust.mean() == pytest.approx(planted.DECOY * part, abs=0.02)
    rest = np.concatenate([one.image[one.truth == 0] for one in made[:20]])
    assert rest.mean() == pytest.approx(0, abs=0.02)
    assert rest.std() == pytest.approx(planted.NOISE, rel=0.03)


def test_without_a_decoy_and_with_copies() -> None:
    one = planted.plant(np.random.default_rng(1), ["cross", "cross"], decoy=False)
    assert not one.decoy.any()
    assert one.objects.sum() == 2 * planted.SIDE**2


@pytest.mark.parametrize("dims", [2, 3])
def test_the_command_line_writes_a_set_that_shortcuts_fail_on(tmp_path: Path, capsys, dims) -> None:
    for seed in (0, 1):
        words = ["--cases", "90", "--seed", str(seed), "--dims", str(dims)]
        assert main(["data", "make", "planted", str(tmp_path / str(seed)), *words]) == 0
    assert main(["data", "check", str(tmp_path / "0")]) == 0
    dataset = find_image_dataset(tmp_path / "0")
    assert [case.values[0] for case in dataset.cases[:3]] == list(planted.OBJECTS)
    assert len(dataset.cases) == 90
    case = dataset.cases[4]
    truth = read_image(tmp_path / "0" / "truth" / case.file.name).array[..., 0]
    assert truth.shape == read_image(case.source).space == (planted.SIZE[dims],) * dims
    assert (truth == 1).sum() == (truth == 2).sum() == planted.SIDE**dims
    assert max(class_shortcuts(tmp_path / "0", tmp_path / "1").values()) < 0.55  # chance is a third, of 90


def test_wishes_that_cannot_be_met(tmp_path: Path, capsys) -> None:
    assert main(["data", "make", "planted", str(tmp_path), "--dims", "4"]) == 2
    assert capsys.readouterr().err == "saccade: planted: dims must be 2 or 3, got 4.\n"
    with pytest.raises(InputError, match=r"^planted: objects must be cross, frame, plus, got 'star'\.$"):
        planted.plant(np.random.default_rng(0), ["star"])
    with pytest.raises(InputError, match=r"^planted: 30 objects find no place in 32 pixels along 2 axes\.$"):
        planted.plant(np.random.default_rng(0), ["plus"] * 29)
