"""Small networks to attach attention to, and what attaching must equal: a plain hook."""

import copy
from collections import OrderedDict

import torch
from torch import nn


class Block(nn.Module):
    """A residual block whose channels no weight tells beyond doubt."""

    def __init__(self, channels=8, dims=2):
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        self.conv = conv(channels, channels, 3, padding=1)
        self.act = nn.ReLU()

    def forward(self, x):
        return x + self.act(self.conv(x))


def layers(channels=8, dims=2):
    """A network of torch layers: stem, two stages of two blocks, head."""
    conv, norm = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[dims]
    stage = [nn.Sequential(Block(channels, dims), Block(channels, dims)) for _ in range(2)]
    return nn.Sequential(
        OrderedDict(
            stem=nn.Sequential(conv(1, channels, 3, padding=1), norm(channels), nn.ReLU(inplace=True)),
            layer1=stage[0],
            layer2=stage[1],
            pool=nn.Flatten(),
        )
    )


class Skip(nn.Module):
    """A U-Net of one level: the skip comes after the bottom."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.bottom = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.skip = nn.Identity()
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        x = self.down(x)
        g = self.bottom(torch.relu(x))
        skipped = self.skip(x)
        if self.fails:
            raise ZeroDivisionError
        return self.head(torch.cat([skipped, self.up(g)], 1))

    fails = False


def alike(build, seed=0):
    """Two networks with the same weights, in eval mode, with running statistics that are no identity."""
    torch.manual_seed(seed)
    network = build()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.weight)
    return network.eval(), copy.deepcopy(network).eval()


def hook(plain, place, mechanism):
    """Send the output of a place through a mechanism the plain way."""
    plain.get_submodule(place).register_forward_hook(lambda module, args, output: mechanism(output))
    return plain


def same_state(state, before):
    """Bit for bit the same numbers under the same names in the same order."""
    return list(state) == list(before) and all(torch.equal(state[name], before[name]) for name in before)
