"""The look before training: what it says of a sound network, and what it refuses."""

import copy

import pytest
import torch
from torch import nn

from saccade.errors import InputError, RunError
from saccade.tasks import check
from saccade.tasks.check import check_training
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.module import SegmentationModule

BATCH = (
    torch.randn(2, 1, 5, 3, 7, generator=torch.Generator().manual_seed(0)),
    torch.randint(0, 2, (2, 5, 3, 7), generator=torch.Generator().manual_seed(0)),
)


def module(network: nn.Module, **training) -> SegmentationModule:
    data = {"root": ".", "label_names": {1: "a"}, "patch_size": (5, 3, 7), "intensity": {"kind": "z_score"}}
    training = {"learning_rate": 0.05, **training}
    parsed = SegmentationConfig.parse({"system": "unet", "data": data, "training": training}, "test")
    return SegmentationModule(network, parsed, steps_per_epoch=1)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ReLU(), nn.Conv3d(8, 2, 3, padding=1))


def test_a_sound_network_learns_a_patch_and_is_left_as_it_was() -> None:
    checked = module(network(), loss="cross_entropy")
    before = copy.deepcopy(checked.state_dict())
    lines = check_training(checked, BATCH)
    assert lines[0] == "shapes: image (1, 1, 5, 3, 7) -> logits (1, 2, 5, 3, 7)"
    assert lines[1].startswith("loss at the start ")
    assert lines[1].endswith(" (chance is 0.6931)")  # log 2
    assert lines[2].startswith("one patch: loss ")
    first, last = (float(lines[2].split()[place].rstrip()) for place in (3, 5))
    assert last < 0.5 * first
    assert len(lines) == 3
    assert all(torch.equal(before[name], value) for name, value in checked.state_dict().items())
    assert all(parameter.grad is None for parameter in checked.parameters())


def test_a_patch_that_is_not_learned_is_a_warning() -> None:
    lines = check_training(module(network(), learning_rate=1e-9), BATCH)
    assert lines[-1] == (
        "warning: the loss on a single patch hardly falls; look at learning rate, labels and intensity"
    )
    assert "chance" not in lines[1]


def test_it_stops_when_its_time_is_over(monkeypatch) -> None:
    monkeypatch.setattr(check, "MAX_SECONDS", 0.0)
    assert " in 3 steps, " in check_training(module(network()), BATCH)[2]


def test_the_wrong_output_shape() -> None:
    with pytest.raises(RunError) as error:
        check_training(module(nn.Conv3d(1, 4, 3)), BATCH)
    assert str(error.value) == ("check: the network must give logits of shape (1, 2, 5, 3, 7), got (1, 4, 3, 1, 5).")


def test_a_network_that_cannot_take_the_image() -> None:
    with pytest.raises(InputError) as error:
        check_training(module(nn.Conv2d(1, 2, 1)), BATCH)
    assert str(error.value).startswith("check: the network cannot take images of shape (1, 1, 5, 3, 7): Expected ")
    assert "\n" not in str(error.value)


def test_a_parameter_without_gradient() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Conv3d(1, 2, 1), nn.Linear(3, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    with pytest.raises(RunError) as error:
        check_training(module(Unused()), BATCH)
    assert str(error.value) == (
        "check: 2 parameter(s) get no gradient, first idle.weight. "
        "Remove what is not used, or leave it out with --freeze."
    )
    frozen = Unused()
    frozen.idle.requires_grad_(False)
    check_training(module(frozen), BATCH)


def test_a_gradient_that_is_no_number() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.scale = nn.Conv3d(1, 2, 1), nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x) + self.scale.sqrt()

    with pytest.raises(RunError) as error:
        check_training(module(Root()), BATCH)
    assert str(error.value) == "check: the gradient of scale must be of finite numbers, has NaN or infinity."


def test_more_than_one_output() -> None:
    class Several(nn.Conv3d):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [super().forward(x)]

    with pytest.raises(RunError) as error:
        check_training(module(Several(1, 2, 1)), BATCH)
    assert str(error.value) == (
        "check: the network must give one tensor of logits, gave a list. Return the finest ones."
    )


def test_a_loss_that_is_no_number() -> None:
    with pytest.raises(RunError) as error:
        check_training(module(network()), (BATCH[0] * torch.nan, BATCH[1]))
    assert str(error.value) == "check: the loss must be a number at the start, got nan. Look at intensity and labels."


@pytest.mark.skipif(torch.cuda.is_available(), reason="about training on a CPU")
@pytest.mark.parametrize(
    ("depth", "precision", "refused"), [(2, "bf16-mixed", True), (2, "32-true", False), (1, "bf16-mixed", False)]
)
def test_bf16_gradients_that_torch_gets_wrong(depth, precision, refused) -> None:
    checked = module(network(), precision=precision)
    batch = BATCH[0][:, :, :depth], BATCH[1][:, :depth]
    if not refused:
        check_training(checked, batch)
        return
    with pytest.raises(InputError) as error:
        check_training(checked, batch)
    assert str(error.value) == (
        "check: on a CPU bf16 needs 1 or more than 2 voxels along the first axis at every level, got 2 at 0. "
        "Use a longer data.patch_size or training.precision=32-true."
    )
