"""The systems for classification: each can be built, planned for pictures and volumes, has its presets, and learns."""

import pytest
import torch
from image_sets import QUICK, class_folders
from torch import nn

import saccade
from saccade.cli.main import main
from saccade.errors import InputError
from saccade.systems import SYSTEMS, find_implementation, find_system
from saccade.tasks.classification.config import ClassificationConfig
from saccade.tasks.settings import merge

NAMES = ["resnet", "se-resnet", "cbam-resnet", "eca-resnet", "sca-resnet", "nonlocal-resnet", "lenet", "alexnet", "vgg",
         "densenet", "learn-to-pay-attention", "stn", "sononet", "ag-sononet", "subject2vec"]  # fmt: skip
WITH_ATTENTION = NAMES[1:6]
SMALL = {
    **{name: {"channels": (4, 8), "blocks": (1, 1), "stem": "small"} for name in NAMES[:6]},
    "lenet": {"channels": (2, 3, 4)},
    "alexnet": {"channels": (2, 3, 4, 3, 2), "hidden": 5, "stem": "small"},
    "vgg": {"channels": (2, 3), "convolutions": (1, 1), "hidden": 4},
    "densenet": {"growth": 2, "blocks": (1, 1), "width": 4, "stem": "small"},
    "learn-to-pay-attention": {"channels": (2, 3, 4), "convolutions": (1, 1, 1)},
    "stn": {"channels": (2, 3, 4), "hidden": 4, "localisation_channels": 2},
    **{name: {"width": 2, "convolutions": (1, 1, 1)} for name in ("sononet", "ag-sononet")},
    "subject2vec": {"patch_size": 4, "overlap": 1, "channels": (2, 3), "hidden": 4},
}
MECHANISM = {"se-resnet": {"reduction": 2}, "cbam-resnet": {"reduction": 2}, "sca-resnet": {"inner_channels": 3}}


def small(name: str) -> dict:
    return {**SMALL[name], **MECHANISM.get(name, {})}


def test_they_are_in_the_table() -> None:
    for name in NAMES:
        assert SYSTEMS[name].task == "classification"
    assert {SYSTEMS[name].control for name in WITH_ATTENTION} == {"resnet"}


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_of_the_table_are_those_of_the_network(name) -> None:
    with torch.device("meta"):
        network = saccade.build(name)
    assert sum(p.numel() for p in network.parameters()) == find_system(name).parameters


@pytest.mark.parametrize("size", [(19, 17), (17, 16, 18)])
@pytest.mark.parametrize("name", NAMES)
def test_a_network_planned_for_images_takes_them(name, size) -> None:
    planned = find_implementation(name).plan_network({"size": size}, small(name))
    network = saccade.build(name, **planned, in_channels=2, out_channels=3).eval()
    assert network(torch.zeros(2, 2, *size)).shape == (2, 3)


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_a_whole_configuration(name) -> None:
    module = find_implementation(name)
    assert set(module.PRESETS) == {"default", "paper", "tiny"}
    planned = {"root": ".", "columns": ["class"], "kind": "classes", "classes": ["a", "b"], "size": [64, 64],
               "intensity": {"kind": "z_score"}}  # fmt: skip
    for preset in module.PRESETS.values():
        values = {key: value for key, value in preset.items() if key != "plan"}
        config = ClassificationConfig.parse(merge({"system": name, "data": planned}, values), name)
        module.Network.parse(module.plan_network(config.data.model_dump(), config.network), name)
        assert set(preset.get("plan", {})) <= {"pixels"}


@pytest.mark.parametrize("name", WITH_ATTENTION)
def test_attention_is_the_only_difference_from_the_control(name) -> None:
    plain, attending = (saccade.build(system, **small(system)) for system in ("resnet", name))
    own = set(attending.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) < set(attending.state_dict())
    assert all("attention" in key for key in own)
    with saccade.record(attending.eval()) as maps:
        attending(torch.randn(1, 3, 19, 17))
    assert maps


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("se-resnet", {"reduction": 1}),
        ("cbam-resnet", {"kernel_size": 3}),
        ("eca-resnet", {"kernel_size": 5}),
        ("sca-resnet", {"inner_channels": 7}),
        ("nonlocal-resnet", {"pairwise": "concatenation"}),
        ("nonlocal-resnet", {"behind": {1: [0], 2: [0]}}),
    ],
)
def test_settings_of_the_mechanism_count(name, changes) -> None:
    def shapes(network: nn.Module) -> list[tuple[int, ...]]:
        return [tuple(value.shape) for value in network.state_dict().values()]

    assert shapes(saccade.build(name, **small(name))) != shapes(saccade.build(name, **{**small(name), **changes}))


def test_keys_of_a_non_local_block_can_be_halved() -> None:
    network = saccade.build("nonlocal-resnet", **small("nonlocal-resnet"), subsample=True).eval()
    with saccade.record(network) as maps:
        network(torch.randn(1, 3, 8, 8))
    (found,) = maps.values()
    assert found.tensor.shape[-2:] == (64, 16)


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"behind must name stages from 1 to 2, got 3"):
        saccade.build("nonlocal-resnet", **small("nonlocal-resnet"), behind={3: [0]})


@pytest.mark.parametrize("name", WITH_ATTENTION + NAMES[6:])
def test_they_train_from_the_command_line(name, tmp_path, short_check) -> None:
    data = class_folders(tmp_path / "set", 4)
    settings = {key: value for key, value in QUICK.items() if not key.startswith("network.")} | {"training.epochs": 1}
    settings |= {f"network.{key}": list(v) if isinstance(v, tuple) else v for key, v in small(name).items()}
    if name == "alexnet":  # needs 15 pixels
        settings["data.size"] = [16, 16]
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    out = tmp_path / "run"
    assert (
        main(["train", name, "--data", str(data), "--out", str(out), "--preset", "tiny", "--folds", "2", *words]) == 0
    )
    assert saccade.load(out).predict(data / "cat/00.png").label in ("cat", "dog")
