"""The table of systems: each can be built, planned and has every preset; wrong names and settings are refused."""

import importlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import saccade
from saccade.errors import InputError
from saccade.systems import SYSTEMS, find_system
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.settings import merge

SMALL = {
    "attention-unet": {"channels": (2, 4, 8)},
    "unet": {"channels": (2, 4, 8)},
    "homework-unet-2d": {"width": 2},
    "homework-unet-3d": {"width": 2},
}


def test_the_table() -> None:
    systems = saccade.list_systems()
    assert [system.name for system in systems][:4] == list(SMALL)
    for system in systems:
        assert system.task == "segmentation" or system.name not in SMALL
        assert system.summary
        assert "arXiv:" in system.paper or "doi:" in system.paper
        assert system.control != system.name
        assert find_system(system.name) is SYSTEMS[system.name]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("attention-unet", {"in_channels": 1, "out_channels": 4}),
        ("unet", {"in_channels": 1, "out_channels": 4}),
        ("homework-unet-2d", {}),
        ("homework-unet-3d", {}),
    ],
)
def test_the_parameters_of_the_table_are_those_of_the_network(name, given) -> None:
    with torch.device("meta"):
        network = saccade.build(name, **given)
    assert sum(p.numel() for p in network.parameters()) == find_system(name).parameters


@pytest.mark.parametrize("name", SMALL)
def test_every_network_takes_its_sizes(name) -> None:
    network = saccade.build(name, in_channels=2, out_channels=3, **SMALL[name]).eval()
    shape = (16, 24) if name.endswith("2d") else (16, 8, 24)
    assert network(torch.zeros(1, 2, *shape)).shape == (1, 3, *shape)


@pytest.mark.parametrize("name", SMALL)
def test_every_preset_is_a_whole_configuration(name) -> None:
    module = importlib.import_module(find_system(name).module)
    assert set(module.PRESETS) == {"default", "paper", "tiny"}
    planned = {
        "root": ".", "label_names": {1: "a"}, "patch_size": [32, 32, 1 if name.endswith("2d") else 16],
        "spacing_mm": [1.0, 1.0, 3.0], "intensity": {"kind": "z_score"},
    }  # fmt: skip
    for preset in module.PRESETS.values():
        values = {key: value for key, value in preset.items() if key != "plan"}
        config = SegmentationConfig.parse(merge({"system": name, "data": planned}, values), name)
        network = module.plan_network(config.data.model_dump(), config.network)
        module.Network.parse(network, name)
        assert set(preset.get("plan", {})) <= {"patch_voxels", "volume_voxels", "slices"}


def test_the_paper_is_the_paper() -> None:
    from saccade.systems.attention_unet import PAPER

    assert PAPER["data"]["spacing_mm"] == [2.0, 2.0, 2.0]
    assert PAPER["data"]["patch_size"] == [160, 160, 96]
    assert (PAPER["training"]["loss"], PAPER["training"]["optimiser"]) == ("squared_dice", "adam")
    assert PAPER["augmentation"]["flip_axes"] == [0, 1]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("unt", {}, "saccade: unknown system 'unt'. Did you mean 'unet'? "
         f"Known: {', '.join(SYSTEMS)}."),
        ("homework-unet-2d", {"widht": 3}, "homework-unet-2d: unknown setting 'widht'. Did you mean 'width'? "
         "Known: in_channels, out_channels, width."),
        ("unet", {"out_channels": 0}, "unet: out_channels: Input should be greater than or equal to 1, got 0."),
        ("attention-unet", {"channels": (8,)}, "AttentionUNet: channels must name at least 3 levels, got 1."),
    ],
)  # fmt: skip
def test_wrong_names_and_settings(name, given, message) -> None:
    with pytest.raises(InputError) as error:
        saccade.build(name, **given)
    assert str(error.value) == message


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(*[st.integers(1, 40)] * 3),
    st.tuples(*[st.floats(0.3, 6.0)] * 3),
    st.sampled_from(["unet", "attention-unet"]),
)
def test_a_network_planned_for_a_patch_takes_it(patch, spacing, name) -> None:
    module = importlib.import_module(find_system(name).module)
    planned = module.plan_network({"patch_size": patch, "spacing_mm": spacing}, {})
    narrow = {**planned, "channels": [2 + n for n in range(len(planned["channels"]))]}
    network = saccade.build(name, **narrow).eval()
    size = patch[: planned["spatial_dims"]]
    assert network(torch.zeros(1, 1, *size)).shape == (1, 2, *size)
