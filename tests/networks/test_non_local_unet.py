import pytest
import torch
from torch import nn

from saccade import record
from saccade.attention import NonLocal
from saccade.networks import NonLocalUNet, UNet


@pytest.mark.parametrize("space", [(37,), (19, 23), (13, 11, 9)], ids=str)
def test_any_size_is_taken_and_fresh_blocks_leave_the_unet_as_it_is(space):
    torch.manual_seed(0)
    network = NonLocalUNet(2, 3, spatial_dims=len(space), channels=(4, 8, 12, 16)).eval()
    plain = UNet(2, 3, spatial_dims=len(space), channels=(4, 8, 12, 16), deep_supervision=False).eval()
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("blocks.")})
    x = torch.randn(2, 2, *space)
    with record(network) as maps:
        y = network(x)
    assert torch.equal(y, plain(x))
    assert list(maps) == ["blocks.1.map", "blocks.2.map"]


def test_the_published_blocks_are_the_default():
    block = NonLocalUNet(1, 2).blocks["2"]
    assert isinstance(block, NonLocal)
    assert (block.g.out_channels, block.subsample) == (16, (4, 4, 4))


def test_a_block_changes_what_goes_down_and_along_the_skip():
    class Zero(nn.Module):
        def forward(self, x):
            return 0 * x

    network = NonLocalUNet(1, 2, spatial_dims=2, channels=(4, 8, 12), blocks={1: lambda width: Zero()}).eval()
    skips, bottom = network.encode(torch.randn(1, 1, 8, 12))
    assert skips[0].any()
    assert not skips[1].any()
    torch.testing.assert_close(bottom, network.bottom(torch.zeros(1, 8, 2, 3)))


def test_a_level_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"^NonLocalUNet: blocks must be at levels 0 to 1, got 2\.$"):
        NonLocalUNet(1, 2, channels=(4, 8, 16), blocks={2: nn.Identity})
