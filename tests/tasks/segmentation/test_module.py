"""One training step, Dice of validation by hand."""

import math

import pytest
import torch
from torch import nn

from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.module import LOSSES, SegmentationModule


def config(patch=(5, 3, 7), names=None, **training) -> SegmentationConfig:
    data = {
        "root": ".",
        "label_names": names or {1: "ball"},
        "patch_size": patch,
        "intensity": {"kind": "z_score"},
    }
    return SegmentationConfig.parse({"system": "unet", "data": data, "training": training}, "test")


class Fixed(nn.Module):
    """Logits that are the image against 0.5 in two or three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([0 * x, self.scale * (x - 0.5)], 1)


def test_every_named_loss_is_what_the_step_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(2, 1, 5, 3, 7, generator=generator), torch.randint(0, 2, (2, 5, 3, 7), generator=generator)
    seen = {}
    for name, function in LOSSES.items():
        module = SegmentationModule(Fixed(), config(loss=name), steps_per_epoch=1)
        loss = module.training_step(batch, 0)
        torch.testing.assert_close(loss, function(Fixed()(batch[0]), batch[1]))
        seen[name] = loss.item()
    assert len({round(value, 4) for value in seen.values()}) == len(LOSSES)
    softer = SegmentationModule(Fixed(), config(loss="homework_dice", logit_scale=1.0), steps_per_epoch=1)
    assert softer.training_step(batch, 0).item() != pytest.approx(seen["homework_dice"])


def test_slices_reach_the_network_in_two_dimensions() -> None:
    class Seen(Fixed):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            shapes.append(tuple(x.shape))
            return super().forward(x)

    shapes: list[tuple[int, ...]] = []
    module = SegmentationModule(Seen(), config(patch=(5, 3, 1)), steps_per_epoch=1)
    module.training_step((torch.rand(2, 1, 5, 3, 1), torch.zeros(2, 5, 3, 1, dtype=torch.long)), 0)
    assert shapes == [(2, 1, 5, 3)]


def test_a_loss_that_is_no_number_stops_with_its_step() -> None:
    module = SegmentationModule(Fixed(), config(), steps_per_epoch=1)
    batch = torch.full((1, 1, 5, 3, 7), torch.nan), torch.zeros(1, 5, 3, 7, dtype=torch.long)
    with pytest.raises(FloatingPointError) as error:
        module.training_step(batch, 0)
    assert str(error.value) == "training: the loss became nan at step 0."


def test_validation_dice_by_hand(monkeypatch) -> None:
    module = SegmentationModule(Fixed(), config(names={7: "second", 3: "first"}), steps_per_epoch=1)
    logged = {}
    monkeypatch.setattr(module, "log", lambda name, value: logged.update({name: float(value)}))
    image, labels = torch.zeros(1, 5, 3, 7), torch.zeros(5, 3, 7, dtype=torch.long)
    image[0, :2, 0, 0] = 1  # two voxels are found
    labels[1:4, 0, 0] = 1  # three are true, one of them found: 2 x 1 / (2 + 3)
    module.validation_step((0, image, labels), 0)
    module.validation_step((1, image * 0, labels * 0), 1)  # nothing there, nothing found: says nothing
    module.on_validation_epoch_end()
    assert logged["val_dice first"] == pytest.approx(0.4)
    assert math.isnan(logged["val_dice second"])
    assert logged["val_dice"] == pytest.approx(0.4)
    assert module.scores == {}


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimisers_take_their_settings(name, kind) -> None:
    module = SegmentationModule(
        Fixed(), config(optimiser=name, learning_rate=0.25, weight_decay=0.125), steps_per_epoch=1
    )
    module.network.register_parameter("frozen", nn.Parameter(torch.ones(1), requires_grad=False))
    optimiser = module.configure_optimizers()
    assert type(optimiser) is kind
    (group,) = optimiser.param_groups
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.25, 0.125, 1)
    assert group.get("momentum", 0.9) == 0.9


def test_progress_is_of_steps_or_of_time_whichever_is_further() -> None:
    module = SegmentationModule(Fixed(), config(max_seconds=20.0), steps_per_epoch=10)
    assert module.progress == 0
    module.seconds_left = 5.0
    assert module.progress == 0.75
    module.seconds_left = -1.0
    assert module.progress == 1.0


def test_the_average_follows_the_weights_slowly() -> None:
    module = SegmentationModule(Fixed(), config(weight_averaging=0.9), steps_per_epoch=10)
    assert module.best_network is not module.network
    module.on_train_batch_end(None, None, 0)  # the first one is a copy
    with torch.no_grad():
        module.network.scale.fill_(3.0)
    module.on_train_batch_end(None, None, 1)
    # at step 0 the decay is min(0.9, 1/10): 0.1 x 1 + 0.9 x 3
    assert module.best_network.scale.item() == pytest.approx(2.8)
    assert SegmentationModule(Fixed(), config(), steps_per_epoch=1).best_network.scale.item() == 1
