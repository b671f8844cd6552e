"""Simulated planes of ultrasound: what they are follows from one small structure alone, whose place is known."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from saccade.cli.main import main
from saccade.data.synthetic import ultrasound
from saccade.data.synthetic.class_shortcuts import class_shortcuts
from saccade.data.synthetic.ultrasound import BACKGROUND, BRIGHT, DARK, DECISIVE, ROUND, Disc, Fan, make, simulate_plane


def rows_of(root) -> list[dict[str, str]]:
    with (root / "table.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def array(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def files(root) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_command_makes_a_set_that_can_be_checked_and_masks_beside_it(tmp_path, capsys) -> None:
    words = ["data", "make", "ultrasound", str(tmp_path / "set"), "--cases", "16", "--seed", "3"]
    assert main(words) == 0
    assert capsys.readouterr().out.endswith("16 cases (plane_0000 to plane_0015).\n")
    assert main(["data", "check", str(tmp_path / "set"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["layout"], found["cases"], found["labelled"], found["faults"]) == ("table", 16, 16, [])
    rows = rows_of(tmp_path / "set")
    assert Counter(row["label"] for row in rows) == {**dict.fromkeys(DECISIVE, 2), BACKGROUND: 4}
    for row in rows:
        image, mask = (array(tmp_path / "set" / folder / row["image"]) for folder in ("images", "truth"))
        assert image.shape == mask.shape == (72, 96)
        assert image.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) == ({0} if row["label"] == BACKGROUND else {0, 255})
        assert not mask.any() or (image[mask > 0] > 0).mean() > 0.97  # it lies within the fan
        assert (image[0, :10] == 0).all()


def test_a_plane_follows_from_its_seed_and_number_alone(tmp_path) -> None:
    for name, cases, seed in (("a", 3, 5), ("b", 3, 5), ("longer", 5, 5), ("other", 3, 6)):
        make(tmp_path / name, cases=cases, seed=seed)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    longer, other = files(tmp_path / "longer"), files(tmp_path / "other")
    for name, content in files(tmp_path / "a").items():
        if name != "table.csv":
            assert longer[name] == content
            assert name.startswith("truth/") or other[name] != content


def test_kinds_differ_in_nothing_but_the_decisive_structure(monkeypatch) -> None:
    """The same plane made to be of each kind: every pixel beyond the mask is the same, and within all kinds differ."""
    for case in range(4):
        planes = []
        for kind in DECISIVE:
            monkeypatch.setattr(ultrasound, "ROUND", (kind,) * len(ROUND))
            planes.append(simulate_plane(1, case))
        masks = [mask for _, mask, _ in planes]
        assert all((mask == masks[0]).all() for mask in masks)
        around = binary_dilation(masks[0], iterations=2)  # what is sampled between radii and angles reaches over
        for number, (image, _, _) in enumerate(planes):
            assert (image[~around] == planes[0][0][~around]).all()
            assert all((image[masks[0]] != other[masks[0]]).mean() > 0.2 for other, _, _ in planes[:number])


def test_small_structures_are_equally_bright_whatever_they_are() -> None:
    y, x = np.mgrid[-1:1:201j, -1:1:201j]
    inside, outside = np.hypot(x, y) < 0.499, np.hypot(x, y) > 0.501
    for form in (*DECISIVE.values(), ultrasound._half):
        drawn = ultrasound._draw_disc(np.full(x.shape, 7.0), Disc(0.0, 0.0, 0.5, 0.3, form), x, y)
        assert set(np.unique(drawn[inside])) == {BRIGHT, DARK}
        assert (drawn[outside] == 7).all()
        assert (drawn[inside] == BRIGHT).mean() == pytest.approx(1 / 3, abs=0.02)


def test_no_structure_lies_behind_bone_or_beyond_the_fan() -> None:
    fan = Fan(0.3, 0.33, 1.28, 0.5, np.array([[0.7, 0.0, 0.05]]))
    assert fan.clear(0.5, 0.0, 0.1)  # in front of the bone
    assert not fan.clear(0.6, 0.0, 0.1)  # on it
    assert not fan.clear(1.0, 0.0, 0.1)  # in its shadow
    assert not fan.clear(1.0, 0.15, 0.1)  # half in its shadow: 0.05 + asin(0.12) = 0.17
    assert fan.clear(1.0, 0.2, 0.1)
    assert not fan.clear(1.0, 0.4, 0.1)  # reaches over the side
    assert not fan.clear(1.2, 0.3, 0.1)  # reaches over the far end
    assert not fan.clear(0.4, 0.2, 0.1)  # reaches over the near end


def test_shadows_are_dark_and_depth_takes_its_part() -> None:
    rng = np.random.default_rng(0)
    fan = Fan(0.3, 0.33, 1.28, 0.5, np.array([[0.6, 0.25, 0.08]]))
    grey = np.mean([ultrasound._scan(rng, fan, [], 72) for _ in range(12)], 0)
    depth, across = grey.shape
    shadow = grey[depth // 2 :, round(across * 0.72) : round(across * 0.78)]
    beside = grey[depth // 2 :, round(across * 0.22) : round(across * 0.28)]
    assert shadow.mean() < beside.mean() - 0.2
    assert grey[-depth // 4 :, : across // 2].mean() < grey[: depth // 4, : across // 2].mean() - 0.03


def test_the_papers_size() -> None:
    image, mask, kind = simulate_plane(0, 2, "full")
    assert image.shape == mask.shape == (208, 272)
    small = simulate_plane(0, 2)
    assert kind == small[2]
    assert mask.mean() == pytest.approx(small[1].mean(), rel=0.1)


def test_shortcuts_know_no_more_than_the_most_common_class(tmp_path) -> None:
    """A quarter of the planes are background; 0.37 is three standard errors above."""
    for name, seed in (("train", 1), ("test", 2)):
        make(tmp_path / name, cases=120, seed=seed)
    scores = class_shortcuts(tmp_path / "train", tmp_path / "test")
    assert max(scores.values()) < 0.37, scores


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda root: make(root, cases=0, seed=0), r"cases must be 1 or more, got 0\.$"),
        (
            lambda root: make(root, cases=1, seed=-1),
            r"^simulate_plane: seed and case must be 0 or more, got -1 and 0\.$",
        ),
        (
            lambda root: make(root, cases=1, seed=0, size="ful"),
            r"^simulate_plane: unknown size 'ful'\. Did you mean 'full'\? Known: small, full\.$",
        ),
    ],
)
def test_what_cannot_be_made(tmp_path, call, message) -> None:
    with pytest.raises(ValueError, match=message):
        call(tmp_path / "set")
