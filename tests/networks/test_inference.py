"""A network rearranged for inference gives what the network gives, and leaves it alone."""

import copy

import pytest
import torch
from torch import nn

import saccade
from saccade.networks import AttentionUNet, HomeworkUNet2D, UNet
from saccade.networks.inference import for_inference


def trained(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """With running statistics and biases that matter, as after training."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network.eval()


class Backwards(nn.Sequential):
    """Its parts run in another order than they are listed in, so nothing may be folded."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in reversed(self):
            x = part(x)
        return x


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: AttentionUNet(1, 4, channels=(4, 8, 16)), (2, 1, 13, 11, 7)),
        (lambda: AttentionUNet(2, 3, channels=(4, 8, 16), gates="multi", norm="instance"), (1, 2, 12, 8, 8)),
        (lambda: AttentionUNet(1, 3, channels=(4, 8, 16), gates="grid", deep_supervision=False), (1, 1, 12, 8, 9)),
        (lambda: UNet(1, 3, spatial_dims=2, channels=(4, 8, 16)), (3, 1, 17, 12)),
        (lambda: UNet(1, 3, channels=(4, 8), upsampling="transposed"), (1, 1, 9, 8, 8)),
        (lambda: UNet(1, 3, spatial_dims=1, channels=(4, 8, 16)), (2, 1, 31)),
        (lambda: HomeworkUNet2D(1, 2, width=4), (1, 1, 16, 16)),
        (lambda: nn.Sequential(nn.ConvTranspose3d(1, 4, 2, 2), nn.BatchNorm3d(4), nn.ReLU()), (1, 1, 4, 5, 6)),
        (lambda: Backwards(nn.Conv3d(2, 2, 3, padding=1), nn.BatchNorm3d(2)), (1, 2, 4, 5, 6)),
    ],
)
def test_outputs_are_equal(make, shape) -> None:
    torch.manual_seed(0)
    network, x = trained(make(), shape), torch.randn(shape)
    before = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        expected, found = network(x), for_inference(network)(x)
        assert torch.equal(network(x), expected)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_batch_norm_is_gone_and_instance_norm_is_not() -> None:
    def kinds(network: nn.Module) -> set[type]:
        return {type(module) for module in for_inference(network).modules()}

    assert nn.BatchNorm3d not in kinds(AttentionUNet(1, 4, channels=(4, 8, 16)))
    assert nn.InstanceNorm3d in kinds(UNet(1, 4, channels=(4, 8), norm="instance"))


def test_maps_keep_their_names() -> None:
    network, x = trained(AttentionUNet(1, 4, channels=(4, 8, 16)), ()), torch.randn(1, 1, 12, 12, 12)
    with saccade.record(network) as expected, torch.no_grad():
        network(x)
    fast = for_inference(network)
    with saccade.record(fast) as found, torch.no_grad():
        fast(x)
    assert list(found) == list(expected)
    for name, attention in expected.items():
        torch.testing.assert_close(found[name].tensor, attention.tensor, rtol=1e-4, atol=1e-5)
