"""Networks and pictures whose evidence was put there by hand; `conftest.py` puts this on the path."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
SIZES = {1: (41,), 2: (19, 23), 3: (13, 11, 17)}


class PlantedNetwork(nn.Module):
    """Class k answers to brightness in channel k and to nothing else; the other channel speaks against it.

    Each channel is smoothed by a 3-voxel mean, what is above 0.4 counts (noise is not), and the mean over the picture
    is the evidence.
    """

    def __init__(self, dims: int, in_place: bool = False) -> None:
        super().__init__()
        self.conv = CONV[dims](2, 2, 3, padding=1)
        self.relu = nn.ReLU(inplace=in_place)
        self.pool = POOL[dims](1)
        self.fc = nn.Linear(2, 2)
        with torch.no_grad():
            self.conv.weight.zero_()
            for channel in range(2):
                self.conv.weight[channel, channel] = 3.0**-dims
            self.conv.bias.fill_(-0.4)
            self.fc.weight.copy_(torch.tensor([[100.0, -50.0], [-50.0, 100.0]]))
            self.fc.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.relu(self.conv(x))).flatten(1))


def planted(dims: int, items: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pictures (items, 2, *space) with a bright box in each channel, and where they are, as masks of the same shape."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(items, 2, *SIZES[dims], dtype=torch.bool)
    for item in range(items):
        halves = (0, 1) if item % 2 == 0 else (1, 0)  # which end of the first axis each channel's box lies at
        for channel, half in enumerate(halves):
            place = []
            for axis, size in enumerate(SIZES[dims]):
                low, high = (1, size - 6) if axis else (1 + half * (size // 2), (1 + half) * (size // 2) - 5)
                start = int(torch.randint(low, max(high, low) + 1, (), generator=generator))
                place.append(slice(start, start + 5))
            masks[(item, channel, *place)] = True
    return masks + 0.02 * torch.randn(masks.shape, generator=generator), masks


class GoldenNetwork(nn.Module):
    """The network of the stored maps of pytorch-grad-cam, as its ``constructor`` says."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.conv1, self.relu1 = CONV[dims](2, 6, 3, padding=1), nn.ReLU()
        self.conv2, self.relu2 = CONV[dims](6, 8, 3, padding=1, stride=2), nn.ReLU()
        self.pool = POOL[dims](2)
        self.fc = nn.Linear(8 * 2**dims, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.relu2(self.conv2(self.relu1(self.conv1(x))))).flatten(1))


class Functional(nn.Module):
    """`PlantedNetwork` whose ReLU and pooling are functions, the ReLU in place."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        planted_network = PlantedNetwork(dims)
        self.conv, self.fc = planted_network.conv, planted_network.fc

    def forward(self, x: Tensor) -> Tensor:
        features = F.relu(self.conv(x), inplace=True)
        return self.fc(features.mean(tuple(range(2, x.ndim))))


class Segmenter(nn.Module):
    """Scores of three classes for each voxel."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.body = nn.Sequential(CONV[dims](2, 5, 3, padding=1), nn.ReLU(inplace=True), CONV[dims](5, 4, 3, padding=1))
        self.head = CONV[dims](4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu())


def cnn_1(dims: int, bias: bool, seed: int = 0) -> nn.Sequential:
    """CNN-1 of Respond-CAM with few channels, for 8 voxels along each axis; "features" is its target layer."""
    torch.manual_seed(seed)
    conv, pool = CONV[dims], MAX_POOL[dims]
    features = nn.Sequential(
        conv(1, 3, 3, padding=1), nn.ReLU(), conv(3, 3, 3, padding=1), nn.ReLU(), pool(2),
        conv(3, 4, 3, padding=1), nn.ReLU(), conv(4, 4, 3, padding=1), nn.ReLU(), pool(2),
    )  # fmt: skip
    head = nn.Sequential(
        nn.Flatten(), nn.Linear(4 * 2**dims, 10, bias=bias), nn.ReLU(), nn.Linear(10, 6, bias=bias),
    )  # fmt: skip
    network = nn.Sequential()
    network.add_module("features", features)
    network.add_module("head", head)
    return network
