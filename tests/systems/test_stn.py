"""`stn`: its settings count, it shows where it looks, and every command works on a run of it."""

import json
import re

import numpy as np
import pytest
import torch
from image_sets import class_folders
from torch import nn

import saccade
from saccade.cli.main import main
from saccade.errors import InputError
from saccade.systems import stn

SMALL = {"channels": (2, 3, 4), "hidden": 4, "localisation_channels": 2}


def points(element: str) -> np.ndarray:
    """Of an SVG line."""
    found = re.search(r'points="([^"]+)"', element)
    assert found
    return np.array([[float(v) for v in pair.split(",")] for pair in found[1].split()])


def lines(overlay: str, colour: str) -> list[np.ndarray]:
    return [points(line) for line in re.findall("<polyline[^>]+>", overlay) if colour in line]


@pytest.mark.parametrize(
    ("size", "seen"),
    [((28, 30), [28, 30]), ((42, 60), [32, 32]), ((96, 40, 20), [48, 32, 20]), ((224, 224), [112] * 2)],
)
def test_the_classifier_sees_half_of_the_input_but_as_much_as_it_can_use(size, seen) -> None:
    assert stn.plan_network({"size": size}, {}) == {"spatial_dims": len(size), "size": seen}
    assert stn.plan_network({"size": size}, {"size": [9] * len(size)})["size"] == [9] * len(size)


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({"transform": "attention"}, ("transformer.head.weight", (3, 20))),
        ({"transform": "projective"}, ("transformer.head.weight", (8, 20))),
        ({"transform": "thin_plate_spline"}, ("transformer.head.weight", (32, 20))),
        ({"localisation_channels": 7}, ("transformer.localisation.layers.1.weight", (7, 1, 5, 5))),
        ({"channels": (3, 4, 5)}, ("classifier.features.6.weight", (5, 4, 5, 5))),
        ({"hidden": 9}, ("classifier.classifier.0.weight", (9, 4))),
        ({"channels": None, "size": (8, 6), "in_channels": 2, "hidden": 5}, ("classifier.0.weight", (5, 96))),
        ({"channels": None, "size": (8, 6), "hidden": 5}, ("classifier.2.weight", (5, 5))),
    ],
)
def test_settings_count(changes, shape) -> None:
    network = saccade.build("stn", **{**SMALL, "out_channels": 3, **changes})
    name, expected = shape
    assert network.state_dict()[name].shape == expected
    assert network(torch.zeros(2, changes.get("in_channels", 1), 28, 31)).shape == (2, 3)


def test_padding_and_size_are_those_of_the_transformer() -> None:
    part = saccade.build("stn", **SMALL, padding="reflection", size=(9, 11)).transformer
    assert (part.padding, part.size) == ("reflection", (9, 11))


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match=r"size must be given where channels are null: linear layers take images of"):
        saccade.build("stn", channels=None)
    with pytest.raises(InputError, match=r"^SpatialTransformer: projective exists for spatial_dims 2, got 3\.$"):
        saccade.build("stn", spatial_dims=3, transform="projective")


def zoomed(dims: int, *theta: float) -> nn.Module:
    """A network that looks where theta says: the scale, then the shift, x first."""
    size = (8, 8, 4)[:dims]
    network = saccade.build("stn", **SMALL, transform="attention", spatial_dims=dims, size=size).eval()
    with torch.no_grad():
        network.transformer.head.bias.copy_(torch.tensor(theta))
    return network


def test_the_grid_is_drawn_where_the_network_looks() -> None:
    x = torch.linspace(0, 1, 16 * 20).reshape(1, 1, 16, 20)
    # Half the size, and a quarter of the image (5 columns) further right: rows 4 to 12, columns 10 to 20 of 20.
    where, seen = stn.illustrate(zoomed(2, 0.5, 0.5, 0.0), x)
    assert (where.picture.shape, seen.picture.shape) == ((16, 20), (8, 8))
    top, bottom, left, right = lines(where.overlay, stn.OUTLINE)
    # Outermost of 8 centres: half of an eighth of those 8 rows and 10 columns further inside.
    np.testing.assert_allclose(top[[0, -1]], [(10.625, 4.5), (19.375, 4.5)], atol=0.01)
    np.testing.assert_allclose(bottom[[0, -1]], [(10.625, 11.5), (19.375, 11.5)], atol=0.01)
    np.testing.assert_allclose(left[[0, -1]], [(10.625, 4.5), (10.625, 11.5)], atol=0.01)
    np.testing.assert_allclose(right[[0, -1]], [(19.375, 4.5), (19.375, 11.5)], atol=0.01)
    assert len(lines(where.overlay, stn.GRID)) == 12
    assert where.overlay.rindex(stn.GRID) < where.overlay.index(stn.OUTLINE)  # the outline lies on top
    # In the same window: what is sampled halfway between pixels 4 and 5 of the picture has their mean level.
    assert abs(int(seen.picture[0, 0]) - where.picture[4, 10:12].mean()) < 3
    assert seen.picture[7, 7] > seen.picture[0, 0]


def test_of_a_volume_it_is_the_slice_that_the_middle_of_the_output_lies_in() -> None:
    x = torch.zeros(1, 1, 10, 12, 8)
    x[..., 6] = 1  # the only bright slice
    # The output's slices lie at k of -0.75, -0.25, 0.25, 0.75 times 0.5, plus 0.5: the third at 6.5 of 8, in slice 6.
    where, seen = stn.illustrate(zoomed(3, 0.5, 0.5, 0.0, 0.0), x)
    assert where.picture.shape == (12, 10)  # rows: the second axis; columns: the first
    assert (where.picture == 255).all()
    assert seen.picture.shape == (8, 8)
    top = lines(where.overlay, stn.OUTLINE)[0]
    # First output position: i of -0.875 * 0.5 -> 2.8125 of 10 from the left, so 7.1875 from the picture's left, where
    # the patient's right is; the line runs along the second axis, from behind (below) to the front.
    np.testing.assert_allclose(top[[0, -1]], [(7.19, 8.62), (7.19, 3.38)], atol=0.01)


@pytest.mark.usefixtures("short_check")
def test_every_command_on_a_run(tmp_path) -> None:
    data, out = class_folders(tmp_path / "set", 6), tmp_path / "run"
    settings = ["network.channels=[2,3,4]", "network.hidden=4", "network.localisation_channels=2", "data.size=[28,28]",
                "training.epochs=1", "training.batch_size=6", "training.precision=32-true", "training.loggers=[csv]",
                "training.validate_every=1"]  # fmt: skip
    words = [word for setting in settings for word in ("--set", setting)]
    assert (
        main(["train", "stn", "--data", str(data), "--out", str(out), "--preset", "tiny", "--folds", "2", *words]) == 0
    )
    config = saccade.load(out).config
    assert (config.network["size"], config.network["padding"]) == ([28, 28], "border")
    assert config.training.rates == stn.DEFAULT["training"]["rates"]
    assert main(["predict", str(out), str(data), "--out", str(tmp_path / "said")]) == 0
    table = tmp_path / "said" / "predictions.csv"
    assert main(["evaluate", str(table), str(data), "--out", str(tmp_path / "scores.json")]) == 0
    assert "balanced_accuracy" in json.loads((tmp_path / "scores.json").read_text())["summary"]
    picture, maps = str(data / "cat" / "00.png"), str(tmp_path / "maps")
    assert main(["explain", str(out), picture, "--method", "input_gradient", "--verify", "--out", maps]) == 0
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text("utf-8")
    assert page.count("Where it looks") == page.count("What its classifier sees") > 0
    assert "<polyline" in page
