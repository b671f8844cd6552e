"""`learn-to-pay-attention`: its settings count, its maps are shown, and every command works on a run of it."""

import json

import numpy as np
import pytest
import torch
from image_sets import class_folders

import saccade
from saccade.cli.main import main
from saccade.errors import InputError
from saccade.systems import learn_to_pay_attention as system

SMALL = {"in_channels": 1, "out_channels": 2, "channels": (2, 3, 4), "convolutions": (1, 1, 1)}


@pytest.mark.parametrize(
    ("size", "early"), [((28, 40), False), ((64, 64), True), ((12, 28, 28), False), ((16,) * 3, True)]
)
def test_images_that_are_not_small_are_halved_early(size, early) -> None:
    assert system.plan_network({"size": size}, {}) == {"spatial_dims": len(size), "early_pooling": early}
    assert system.plan_network({"size": size}, {"early_pooling": not early})["early_pooling"] is not early


@pytest.mark.parametrize(
    "changes", [{"compatibility": "dot"}, {"combine": "mean"}, {"convolutions": (1, 2, 1)}, {"channels": (2, 5, 4)}]
)
def test_settings_count(changes) -> None:
    def shapes(**settings) -> dict[str, tuple[int, ...]]:
        state = saccade.build("learn-to-pay-attention", **{**SMALL, **settings}).state_dict()
        return {name: tuple(value.shape) for name, value in state.items()}

    assert shapes(**changes) != shapes()


def test_early_pooling_counts() -> None:
    network = saccade.build(
        "learn-to-pay-attention", **{**SMALL, "channels": (2, 3, 4, 4), "convolutions": (1,) * 4}, early_pooling=True
    )
    with saccade.record(network.eval()) as maps:
        network(torch.zeros(1, 1, 16, 16))
    assert [found.grid for found in maps.values()] == [(8, 8), (4, 4), (2, 2)]


def test_the_mean_of_classes_is_refused_where_there_are_none() -> None:
    data = {"size": (28, 28), "kind": "regression"}
    message = (
        r"^learn-to-pay-attention: network\.combine=mean averages probabilities of classes, but data\.kind is regr"
    )
    with pytest.raises(InputError, match=message):
        system.plan_network(data, {"combine": "mean"})
    system.plan_network({**data, "kind": "classes"}, {"combine": "mean"})
    system.plan_network(data, {"combine": "concat"})


@pytest.mark.parametrize("shape", [(20, 24), (12, 16, 20)])
def test_each_estimators_weights_lie_over_the_image(shape) -> None:
    network = saccade.build("learn-to-pay-attention", **SMALL, spatial_dims=len(shape)).eval()
    with torch.no_grad():  # every block hands its first channel on; a place agrees with the whole as it is bright
        for name, weight in network.named_parameters():
            if weight.ndim > 2:
                weight.zero_()
                weight[:, 0, *(n // 2 for n in weight.shape[2:])] = 1
            elif "agree" in name or "project" in name:
                weight.fill_(1)
    x = torch.zeros(1, 1, *shape)
    place = tuple(n // 4 for n in shape)
    x[0, 0, *place] = 20.0
    with torch.no_grad(), saccade.record(network) as maps:
        network(x)
    image, *shown = system.illustrate(network, x)
    assert [one.title for one in shown] == [
        f"Attention {n} of 3, {' x '.join(map(str, found.grid))}" for n, found in enumerate(maps.values(), 1)
    ]
    rows_columns = shape if len(shape) == 2 else (shape[1], shape[0])
    assert image.picture.shape == rows_columns
    assert all(one.picture.shape == (*rows_columns, 3) for one in shown)
    colour = np.ptp(shown[0].picture.astype(int), axis=-1)
    row, column = place if len(shape) == 2 else (shape[1] - 1 - place[1], shape[0] - 1 - place[0])
    assert np.unravel_index(colour.argmax(), colour.shape) == (row, column)
    assert colour[row, column] > 40
    assert np.delete(colour.ravel(), colour.argmax()).max() < 10


@pytest.mark.usefixtures("short_check")
def test_every_command_on_a_run(tmp_path) -> None:
    data, out = class_folders(tmp_path / "set", 6), tmp_path / "run"
    settings = ["network.channels=[2,3,4]", "network.convolutions=[1,1,1]", "network.combine=mean", "training.epochs=1",
                "training.batch_size=6", "training.precision=32-true", "training.loggers=[csv]",
                "training.validate_every=1"]  # fmt: skip
    words = [word for setting in settings for word in ("--set", setting)]
    command = ["train", "learn-to-pay-attention", "--data", str(data), "--out", str(out), "--preset", "tiny"]
    assert main([*command, "--folds", "2", *words]) == 0
    assert main(["predict", str(out), str(data), "--out", str(tmp_path / "said")]) == 0
    table = tmp_path / "said" / "predictions.csv"
    assert main(["evaluate", str(table), str(data), "--out", str(tmp_path / "scores.json")]) == 0
    assert "balanced_accuracy" in json.loads((tmp_path / "scores.json").read_text())["summary"]
    picture, maps = str(data / "cat" / "00.png"), str(tmp_path / "maps")
    assert main(["explain", str(out), picture, "--method", "attention_maps", "--verify", "--out", maps]) == 0
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text("utf-8")
    assert page.count("Attention 3 of 3") > 0
