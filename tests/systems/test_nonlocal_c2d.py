"""`nonlocal-c2d`: frames meet in its blocks alone, its settings count, it draws where it looks, all commands work."""

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

import saccade
from saccade.cli.main import main
from saccade.data.synthetic.moving_shapes import make
from saccade.errors import InputError
from saccade.systems import SYSTEMS, nonlocal_c2d, video_sheet
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.settings import merge

SMALL = {"in_channels": 1, "out_channels": 2, "channels": (4, 6), "blocks": (1, 2), "bottleneck": False,
         "stem": "small"}  # fmt: skip


def open_block(**settings) -> nn.Module:
    """A network whose one block does something, as after training."""
    torch.manual_seed(0)
    network = saccade.build("nonlocal-c2d", **{**SMALL, "behind": {2: [0]}, **settings}).eval()
    nn.init.ones_(network.get_submodule("layer2.0_attention").transform[1].weight)
    return network


def video(frames: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 1, frames, 12, 16, generator=torch.Generator().manual_seed(seed))


def test_it_is_in_the_table_with_its_parameters() -> None:
    system = SYSTEMS["nonlocal-c2d"]
    with torch.device("meta"):
        network = saccade.build("nonlocal-c2d")
        control = saccade.build("nonlocal-c2d", behind={})
    assert system.task == "classification"
    assert sum(p.numel() for p in network.parameters()) == system.parameters
    own = set(network.state_dict()) - set(control.state_dict())
    assert set(control.state_dict()) < set(network.state_dict())
    assert {name.split(".")[1] for name in own} == {f"{n}_attention" for n in (1, 3, 5)}


def test_every_preset_is_a_whole_configuration_and_leaves_time_alone() -> None:
    planned = {"root": ".", "columns": ["class"], "kind": "classes", "classes": ["a", "b"], "size": [8, 64, 64],
               "intensity": {"kind": "z_score"}}  # fmt: skip
    assert set(nonlocal_c2d.PRESETS) == {"default", "paper", "tiny"}
    for preset in nonlocal_c2d.PRESETS.values():
        values = {key: value for key, value in preset.items() if key != "plan"}
        config = ClassificationConfig.parse(merge({"system": "nonlocal-c2d", "data": planned}, values), "test")
        nonlocal_c2d.Network.parse(nonlocal_c2d.plan_network(planned, config.network), "test")
        assert config.augmentation.probability == 0


def test_the_stem_fits_the_frames_and_pictures_are_refused() -> None:
    assert nonlocal_c2d.plan_network({"size": (100, 63, 80)}, {})["stem"] == "small"
    assert nonlocal_c2d.plan_network({"size": (8, 64, 80)}, {})["stem"] == "imagenet"
    assert nonlocal_c2d.plan_network({"size": (8, 64, 80)}, {"stem": "small"})["stem"] == "small"
    with pytest.raises(
        InputError,
        match=r"^nonlocal-c2d: images must be videos \(frames, rows, columns\), got pictures of 28 x 30\. "
        r"Take nonlocal-resnet\.$",
    ):
        nonlocal_c2d.plan_network({"size": (28, 30)}, {})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"behind": None}, {"layer2.1_attention": "Softmax"}),
        ({"behind": {}}, {}),
        (
            {"behind": {1: [0], 2: [0, 1]}},
            dict.fromkeys([f"layer{n}_attention" for n in ("1.0", "2.0", "2.1")], "Softmax"),
        ),
        ({"pairwise": "dot_product"}, {"layer2.0_attention": "DotProduct"}),
        ({"pairwise": "concatenation"}, {"layer2.0_attention": "Concatenation"}),
    ],
)
def test_number_place_and_form_of_the_blocks(settings, expected) -> None:
    network = (
        open_block() if not settings else saccade.build("nonlocal-c2d", **{**SMALL, "behind": {2: [0]}, **settings})
    )
    found = {name: m for name, m in network.named_modules() if name.endswith("_attention")}
    assert {name: type(m.pairwise).__name__ for name, m in found.items()} == expected


@pytest.mark.parametrize(("subsample", "keys"), [(True, (5, 3, 4)), (False, (5, 6, 8))])
def test_keys_are_halved_in_space_and_never_in_time(subsample, keys) -> None:
    network = open_block(subsample=subsample)
    with saccade.record(network) as maps:
        network(video())
    found = maps["layer2.0_attention.map"]
    assert (found.grid, found.key_grid) == ((5, 6, 8), keys)


def test_frames_meet_in_the_blocks_alone() -> None:
    x = video()
    apart = open_block(behind={2: [0]})
    without = saccade.build("nonlocal-c2d", **SMALL, behind={})
    without.load_state_dict(apart.state_dict(), strict=False)
    each = torch.stack([without.eval()(x[:, :, [t]]) for t in range(5)]).mean(0)
    torch.testing.assert_close(without(x), each)
    assert (apart(x) - each).abs().max() > 1e-3


def test_arrows_lead_from_the_position_that_is_changed_most_to_its_strongest_keys() -> None:
    network, x = open_block(subsample=False), video()
    block, passed = network.get_submodule("layer2.0_attention"), []
    handle = block.register_forward_hook(lambda _, args, out: passed.append((args[0], out)))
    with torch.no_grad(), saccade.record(network) as maps:
        network(x)
    handle.remove()
    ((before, after),) = passed
    query = int((after - before)[0].norm(dim=0).argmax())
    strongest = maps["layer2.0_attention.map"].tensor[0, 0, query].topk(20).indices.numpy()
    (one,) = nonlocal_c2d.illustrate(network, x)
    # 5 frames of 12 x 16: 2 side by side (the square root of 5 * 12 / 16 is 1.9), 3 below one another, a pixel between.
    assert one.picture.shape == (3 * 13 - 1, 2 * 17 - 1)

    def centre(number: int) -> tuple[float, float]:
        t, i, j = np.unravel_index(number, (5, 6, 8))
        return t % 2 * 17 + 2 * j + 1, t // 2 * 13 + 2 * i + 1

    start = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="0.80"', one.overlay)
    assert [tuple(map(float, pair)) for pair in start] == [pytest.approx(centre(query), abs=0.01)]
    heads = np.array(re.findall(r'<polygon points="([\d.]+),([\d.]+) ', one.overlay), float)
    far = np.array([centre(number) for number in strongest if number != query])
    assert len(heads) == len(far) >= 19
    np.testing.assert_allclose(heads, far, atol=0.01)
    frame = query // 48
    assert one.title == f"layer2.0_attention: the 20 positions that weigh most for one in frame {frame} of 0 to 4"
    assert not block._forward_hooks


def test_without_blocks_nothing_is_drawn() -> None:
    assert nonlocal_c2d.illustrate(saccade.build("nonlocal-c2d", **SMALL, behind={}).eval(), video()) == []


def test_of_long_videos_and_large_frames_fewer_are_shown() -> None:
    network = open_block()
    (one,) = nonlocal_c2d.illustrate(network, video(frames=37))
    # Every third frame: 13, across the square root of 13 * 12 / 16, 3, and 5 down.
    assert one.picture.shape == (5 * 13 - 1, 3 * 17 - 1)
    (large,) = nonlocal_c2d.illustrate(network, torch.randn(1, 1, 2, 200, 40))
    assert large.picture.shape == (67, 2 * 14 + 1)  # every third row and column


def test_frames_lie_in_reading_order() -> None:
    sheet = video_sheet.Sheet(2.5, 4, 4)  # 3 shown of 5: 2 side by side
    picture = sheet.paste([np.full((4, 4), level, np.uint8) for level in (10, 20, 30)])
    assert picture[0].tolist() == [10] * 4 + [255] + [20] * 4
    assert picture[5].tolist() == [30] * 4 + [255] * 5
    # Frames 0 to 4 in the middle of their time, in the middle of the picture.
    places = sheet.place(np.array([[(t + 0.5) / 5, 0.5, 0.25] for t in range(5)]))
    assert places.tolist() == [[1, 2], [1, 2], [6, 2], [6, 2], [1, 7]]


def test_arrows_of_negative_weight_are_dashed_and_the_position_itself_is_a_ring() -> None:
    start = np.array([10.0, 10.0])
    ends = np.array([[10.0, 40.0], [40.0, 10.0], [10.5, 10.0]])
    drawn = video_sheet.arrows(start, ends, np.array([0.5, -1.0, 0.25]), 3.0)
    first, second = re.findall("<line[^>]+>", drawn)
    assert ("dasharray" in first, "dasharray" in second) == (False, True)
    assert 'y2="37.00"' in first  # the line ends where the head of 3 pixels begins
    assert [float(o) for o in re.findall(r'<line[^>]+opacity="([\d.]+)"', drawn)] == [0.65, 0.95]
    assert drawn.count("<polygon") == 2
    assert drawn.count("<circle") == 2


@pytest.mark.usefixtures("short_check")
def test_every_command_on_a_run(tmp_path) -> None:
    data, out = tmp_path / "set", tmp_path / "run"
    make(data, cases=12, seed=0)
    settings = ["network.channels=[2,4]", "network.blocks=[1,1]", "training.epochs=1", "training.batch_size=4",
                "training.precision=32-true", "training.loggers=[csv]", "training.validate_every=1"]  # fmt: skip
    words = [word for setting in settings for word in ("--set", setting)]
    command = ["train", "nonlocal-c2d", "--data", str(data), "--out", str(out), "--preset", "tiny", "--folds", "2"]
    assert main([*command, *words]) == 0
    config = saccade.load(out).config
    assert (list(config.data.size), config.network["behind"], config.network["stem"]) == (
        [14, 12, 12], None, "small",
    )  # fmt: skip
    assert main(["predict", str(out), str(data), "--out", str(tmp_path / "said")]) == 0
    table = tmp_path / "said" / "predictions.csv"
    assert main(["evaluate", str(table), str(data), "--out", str(tmp_path / "scores.json")]) == 0
    assert "balanced_accuracy" in json.loads((tmp_path / "scores.json").read_text())["summary"]
    assert main(["explain", str(out), str(data), "--out", str(tmp_path / "maps")]) == 0
    assert len(list((tmp_path / "maps").rglob("*.nii.gz"))) == 12
    assert main(["report", str(out)]) == 0
    page = (out / "report.html").read_text("utf-8")
    assert page.count("positions that weigh most") >= 6
    assert "<polygon" in page
