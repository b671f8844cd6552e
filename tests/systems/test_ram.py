"""RAM as a system: planned as the paper has it, taught by reward, the same answer each time, its path on the page."""

import json
import re
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from image_sets import QUICK, graded, save
from torch.nn import functional as F

import saccade
from saccade.cli.main import main
from saccade.errors import InputError
from saccade.losses import hybrid_loss
from saccade.systems import SYSTEMS, ram
from saccade.systems.pictures import picture_of
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.settings import merge

SMALL = {"size": 4, "scales": 2, "glimpses": 3, "hidden": 12, "out_channels": 3}


def small(**changes) -> ram.RAM:
    """A small network, always the same."""
    torch.manual_seed(0)
    return ram.network(ram.Network.parse({**SMALL, **changes}, "ram"))


def aiming(*bias: float, **changes) -> ram.RAM:
    """One that aims at a place, x first, whatever it sees."""
    network = small(spatial_dims=len(bias), **changes)
    with torch.no_grad():
        network.policy.out.weight.zero_()
        network.policy.out.bias.copy_(torch.tensor(bias))
    return network.eval()


def test_it_is_in_the_table_with_its_parameters() -> None:
    with torch.device("meta"):
        network = saccade.build("ram")
    assert sum(p.numel() for p in network.parameters()) == SYSTEMS["ram"].parameters
    assert SYSTEMS["ram"].task == "classification"


@pytest.mark.parametrize(
    ("size", "glimpse"),
    [
        ((28, 28), (8, 1, 6)),  # the paper's three sets
        ((60, 60), (12, 3, 8)),
        ((100, 100), (12, 4, 8)),
        ((24, 40, 32), (8, 1, 6)),
        ((96, 48, 80), (12, 3, 8)),
    ],
)
def test_glimpses_are_planned_for_the_images(size, glimpse) -> None:
    planned = ram.plan_network({"size": size, "kind": "classes"}, {"hidden": 8})
    assert (planned["size"], planned["scales"], planned["glimpses"]) == glimpse
    assert planned["spatial_dims"] == len(size)
    network = saccade.build("ram", **planned, in_channels=2, out_channels=3).eval()
    assert network(torch.zeros(2, 2, *size)).shape == (2, 3)
    assert ram.plan_network({"size": size}, {"size": 5, "scales": 2})["size"] == 5


def test_every_preset_is_a_whole_configuration() -> None:
    assert set(ram.PRESETS) == {"default", "paper", "tiny"}
    planned = {"root": ".", "columns": ["class"], "kind": "classes", "classes": ["a", "b"], "size": [64, 64],
               "intensity": {"kind": "z_score"}}  # fmt: skip
    for preset in ram.PRESETS.values():
        values = {key: value for key, value in preset.items() if key != "plan"}
        config = ClassificationConfig.parse(merge({"system": "ram", "data": planned}, values), "ram")
        ram.Network.parse(ram.plan_network(config.data.model_dump(), config.network), "ram")


def test_what_has_no_right_answer_is_refused(tmp_path, capsys) -> None:
    root = graded(tmp_path / "set", age=lambda level: 20.5 + 10 * level)
    assert main(["train", "ram", "--data", str(root), "--out", str(tmp_path / "run")]) == 2
    message = "ram: data.kind must be classes, since a right class is its reward, got regression. Take resnet."
    assert capsys.readouterr().err == f"saccade: {message}\n"
    with pytest.raises(InputError, match="samples must be at least 1 with random locations, which aim nowhere, got 0"):
        saccade.build("ram", locations="random")


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_the_loss_is_the_hybrid_one_with_the_run_s_own_loss_of_the_classes(weight) -> None:
    network, x, y = small(reward_weight=weight), torch.randn(6, 1, 16, 16), torch.tensor([0, 1, 2, 0, 1, 2])

    def total(loss) -> torch.Tensor:
        torch.manual_seed(3)
        return ram.training_loss(network, x, y, loss)

    torch.manual_seed(3)
    looks = network.look(x)
    expected = hybrid_loss(looks.scores, y, looks.log_probabilities, looks.baselines, reward_weight=weight)
    torch.testing.assert_close(total(lambda scores: F.cross_entropy(scores, y)), expected)
    without = total(lambda scores: 0 * scores.sum())
    torch.testing.assert_close(expected - without, F.cross_entropy(looks.scores, y))


def test_locations_learn_from_rewards_and_from_nothing_else() -> None:
    network, x, y = small(), torch.randn(6, 1, 16, 16), torch.zeros(6, dtype=torch.long)
    small_reward = small(reward_weight=0.5)
    gradients = []
    for each in (network, small_reward):
        torch.manual_seed(1)
        ram.training_loss(each, x, y, lambda scores: F.cross_entropy(scores, y)).backward()
        gradients.append({name: p.grad for name, p in each.named_parameters()})
    for name, gradient in gradients[0].items():
        factor = 2 if name.startswith("policy.") else 1
        torch.testing.assert_close(gradient, factor * gradients[1][name])
        assert gradient.abs().sum() > 0
    plain = small(locations="random", samples=1)
    torch.manual_seed(1)
    ram.training_loss(plain, x, y, lambda scores: F.cross_entropy(scores, y)).backward()
    assert all(p.grad is not None for p in plain.parameters())  # and there is no policy among them
    assert not [name for name, _ in plain.named_parameters() if name.startswith("policy.")]


def test_random_locations_are_anywhere_each_time() -> None:
    network = small(locations="random", samples=1, glimpses=4)
    locations = network.look(torch.zeros(3000, 1, 16, 16)).locations.flatten(0, 1)
    torch.testing.assert_close(locations.mean(0), torch.zeros(2), atol=0.04, rtol=0)
    torch.testing.assert_close(locations.var(0), torch.full((2,), 1 / 3), atol=0.02, rtol=0)
    assert locations.abs().max() <= 1


def test_answers_of_several_samples_are_averaged_and_the_same_in_any_batch() -> None:
    network, x = small(samples=5, std=0.4).eval(), torch.randn(4, 1, 16, 16)
    together = network(x)
    torch.testing.assert_close(together, network(x), rtol=0, atol=0)
    torch.testing.assert_close(together, torch.cat([network(image) for image in x.split(1)]))
    torch.testing.assert_close(together.exp().sum(1), torch.ones(4))
    with saccade.record(network) as maps:
        network(x[:1])
    looked = torch.stack(maps["glimpse.sensor.map"].calls).reshape(5, 3, 2)  # samples, glimpses
    assert len({tuple(place.tolist()) for place in looked[:, 0]}) == 5
    spread = looked[:, 1:] - network.policy.mean(torch.zeros(1, 12))
    assert spread.std() > 0.2
    for number, same in ((5, True), (4, False), (0, False)):
        assert torch.allclose(network(x, samples=number), together) == same
        assert torch.allclose(small(samples=number, std=0.4).eval()(x), together) == same
    middle = small().eval()
    with saccade.record(middle) as maps:
        middle(x)
    assert maps["glimpse.sensor.map"].calls[0].abs().max() == 0


def rectangles(overlay: str) -> list[list[tuple[float, ...]]]:
    """Of each glimpse its patches, (x, y, width, height)."""
    groups = ElementTree.fromstring(f"<svg>{overlay}</svg>").findall("g")
    names = ("x", "y", "width", "height")
    return [[tuple(float(rect.attrib[name]) for name in names) for rect in group.findall("rect")] for group in groups]


def test_the_path_lies_where_the_network_looked() -> None:
    x = torch.rand(1, 1, 20, 30)
    (shown,) = ram.illustrate(aiming(0.5, -0.5), x)
    assert shown.title == "Its 3 glimpses"
    assert (shown.picture == picture_of(x[0])).all()
    # first the middle, column 15 and row 10; then x = 0.5 of 30 columns is 22.5 and y = -0.5 of 20 rows is 5
    first, second, third = rectangles(shown.overlay)
    assert first == [(13, 8, 4, 4), (11, 6, 8, 8)]
    assert second == third == [(20, 3, 4, 4), (18, 1, 8, 8)]
    assert 'points="15.00,10.00 22.50,5.00 22.50,5.00"' in shown.overlay
    assert re.findall(r">(\d)</text>", shown.overlay) == ["1", "2", "3"]


def test_of_a_volume_the_path_is_on_the_slice_last_looked_at_the_right_on_the_left() -> None:
    x = torch.rand(1, 1, 10, 12, 14)
    (shown,) = ram.illustrate(aiming(0.5, 0.0, -0.5, scales=1), x)
    assert (shown.picture == picture_of(x[0], at=10)).all()  # 0.75 of 14 slices
    # i = 0.25 of 10 is 2.5: voxels 0 to 4, seen from the left 6 to 10; j = 6 of 12: voxels 4 to 8 from either side
    assert rectangles(shown.overlay)[1] == [(6, 4, 4, 4)]
    assert rectangles(shown.overlay)[0] == [(3, 4, 4, 4)]


def test_one_glimpse_after_the_other_is_bright() -> None:
    (shown,) = ram.illustrate(aiming(0.5, -0.5), torch.rand(1, 1, 20, 30))
    changes = ElementTree.fromstring(f"<svg>{shown.overlay}</svg>").findall("g/animate")
    assert len({change.attrib["dur"] for change in changes}) == 1
    bright = []
    for change in changes:
        times, values = ([float(part) for part in change.attrib[name].split(";")] for name in ("keyTimes", "values"))
        assert times[0] == 0  # else browsers play nothing
        assert times == sorted(times)
        ends = [*times[1:], 1.0]
        bright += [(time, end) for time, end, value in zip(times, ends, values, strict=True) if value == 1]
    assert bright == [(0, 0.25), (0.25, 0.5), (0.5, 1.0)]  # the last one longer


def test_drawn_paths_are_called_so() -> None:
    (shown,) = ram.illustrate(small(samples=4).eval(), torch.rand(1, 1, 16, 16))
    assert shown.title == "Its 3 glimpses, the first of 4 passes"
    assert len(rectangles(shown.overlay)) == 3


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Sixty digits of three kinds to learn from, on 32 x 32 pixels."""
    root = tmp_path_factory.mktemp("digits")
    assert main(["data", "make", "digits-translated", str(root), "--cases", "60", "--canvas", "32"]) == 0
    return root


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    """Trained for two epochs."""
    out = tmp_path_factory.mktemp("ram") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saccade.tasks.check.STEPS", 2)
        assert train(digits, out) == 0
    return out


def train(data, out, *more: str) -> int:
    settings = {name: value for name, value in QUICK.items() if not name.startswith("network.")}
    settings |= {"network.hidden": 12, "network.samples": 2, "training.batch_size": 12}
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    return main(["train", "ram", "--data", str(data), "--out", str(out), "--preset", "tiny", *words, *more])


@pytest.mark.usefixtures("short_check")
def test_a_resumed_run_is_the_same(digits, run, tmp_path) -> None:
    def weights(folder) -> bytes:
        return (folder / "model.safetensors").read_bytes()

    assert train(digits, tmp_path / "run", "--set", "training.epochs=1") == 0
    half = weights(tmp_path / "run")
    assert main(["train", "ram", "--data", str(digits), "--out", str(tmp_path / "run"), "--extend", "1"]) == 0
    assert weights(tmp_path / "run") != half
    config = json.loads((run / "summary.json").read_text("utf-8"))
    assert config["steps"] == json.loads((tmp_path / "run/summary.json").read_text("utf-8"))["steps"]


def test_predictions_are_scored_and_honour_the_samples(digits, run, tmp_path) -> None:
    def predict(folder, name: str) -> str:
        assert main(["predict", str(folder), str(digits), "--out", str(tmp_path / name)]) == 0
        return (tmp_path / name / "predictions.csv").read_text("utf-8")

    first = predict(run, "first")
    assert predict(run, "again") == first
    other = shutil.copytree(run, tmp_path / "other")
    text = (other / "config.yaml").read_text("utf-8")
    (other / "config.yaml").write_text(text.replace("samples: 2", "samples: 3"))
    assert predict(other, "third") != first
    table = tmp_path / "first" / "predictions.csv"
    assert main(["evaluate", str(table), str(digits), "--out", str(tmp_path / "scores.json")]) == 0
    assert "balanced_accuracy" in json.loads((tmp_path / "scores.json").read_text("utf-8"))["summary"]


def test_what_it_saw_can_be_explained_and_verified(digits, run, tmp_path, capsys) -> None:
    with np.load(digits / "digits.npz") as file:
        case = save(tmp_path / "digit.png", file["images"][0])
    capsys.readouterr()
    words = ["explain", str(run), str(case), "--out", str(tmp_path / "maps"), "--method", "input_gradient"]
    assert main([*words, "--verify"]) == 0
    assert "faithful: " in capsys.readouterr().out
    assert main(["explain", str(run), str(case), "--out", str(tmp_path / "cam")]) == 2
    assert "convolution" in capsys.readouterr().err


def test_the_report_animates_the_path(run) -> None:
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text("utf-8")
    cards = page.count("<figcaption><b>")
    assert cards == 12
    assert page.count("Its 6 glimpses, the first of 2 passes") == 2 * cards  # as a title and for readers aloud
    assert page.count('<animate attributeName="opacity"') == 6 * cards
    assert "<script" not in page
