"""Pictures of the mechanisms that look into scans: small networks learn for seconds to find organs in simulated CT."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

import saccade
from saccade.attention import BAM, CBAM, AttentionMap, ConcurrentSqueezeExcitation, NonLocal, ProjectExcitation
from saccade.data.labels import label_colour
from saccade.data.layout_labels import BTCV_LABELS
from saccade.data.orient import to_canonical
from saccade.data.synthetic import simulate_abdomen
from saccade.data.volume import Volume
from saccade.explain import Picture, draw
from saccade.explain.draw_picture import draw_page, make_scene
from saccade.explain.render import draw_contours, grey_window, planes
from saccade.layers.dimensions import BATCH_NORM, CONV
from saccade.networks import AttentionUNet

Row = list[tuple[str, Figure]]

CASES = range(1, 8)  # the last one is not trained on; its slices are what is drawn
WINDOW_HU = (-160.0, 240.0)
CLASSES = 1 + len(BTCV_LABELS)
LIVER, SPLEEN, AORTA = 6, 1, 8


class Abdomen(NamedTuple):
    """One case in canonical axes: grey levels 0..1 and labels, (i, j, k), and the size of a voxel."""

    grey: np.ndarray
    labels: np.ndarray
    spacing_mm: tuple[float, ...]


@cache
def abdomens() -> list[Abdomen]:
    """The simulated cases."""
    found = []
    for case in CASES:
        image, label, affine = simulate_abdomen(seed=0, case=case)
        scan = to_canonical(Volume(image, affine))
        found.append(
            Abdomen(grey_window(scan.array, *WINDOW_HU), to_canonical(Volume(label, affine)).array, scan.spacing_mm)
        )
    return found


def axial(volume: np.ndarray, k: int) -> np.ndarray:
    """An axial plane as it is looked at: (rows, columns), the patient's front up."""
    return planes(volume, (0, 0, k)).axial


@cache
def field() -> tuple[slice, slice]:
    """The rows and columns of the axial planes in which the bodies lie, a multiple of four of each."""
    tissue = np.stack([axial(case.grey, k) > 0.3 for case in abdomens() for k in range(case.grey.shape[2])]).any(0)
    found = []
    for axis in (1, 0):
        where = np.flatnonzero(tissue.any(axis))
        size = -(-(where[-1] + 1 - where[0]) // 4) * 4
        start = max(0, min(int(where[0]), tissue.shape[1 - axis] - size))
        found.append(slice(start, start + size))
    return found[0], found[1]


@cache
def slices() -> tuple[Tensor, Tensor]:
    """Axial planes with organs in them, of all cases but the last: images (n, 1, h, w) and labels (n, h, w)."""
    images, labels = [], []
    for case in abdomens()[:-1]:
        for k in range(0, case.labels.shape[2], 2):
            if len(np.unique(case.labels[..., k])) > 4:
                images.append(axial(case.grey, k)[field()].copy())
                labels.append(axial(case.labels, k)[field()].copy())
    return torch.tensor(np.stack(images), dtype=torch.float32)[:, None], torch.tensor(np.stack(labels)).long()


def unseen_slice() -> tuple[Tensor, np.ndarray]:
    """The plane of the last case with the most organs: image (1, 1, h, w), labels (h, w)."""
    case = abdomens()[-1]
    k = int(np.argmax([len(np.unique(case.labels[..., k])) for k in range(case.labels.shape[2])]))
    image = axial(case.grey, k)[field()].copy()
    return torch.tensor(image, dtype=torch.float32)[None, None], axial(case.labels, k)[field()]


@cache
def volumes() -> tuple[Tensor, Tensor]:
    """Every case with half the voxels along each axis, without the air: (n, 1, i, j, k) and (n, i, j, k)."""
    rows, columns = field()
    wide = abdomens()[0].grey.shape  # a row is a j from its far end, a column an i
    body = (
        slice(wide[0] - columns.stop, wide[0] - columns.start, 2),
        slice(wide[1] - rows.stop, wide[1] - rows.start, 2),
    )
    most = max(case.grey.shape[2] for case in abdomens())
    size = ((columns.stop - columns.start) // 2, (rows.stop - rows.start) // 2, (most + 1) // 2)
    images, labels = torch.zeros(len(CASES), 1, *size), torch.zeros(len(CASES), *size, dtype=torch.long)
    for number, case in enumerate(abdomens()):
        grey, truth = case.grey[*body, ::2].copy(), case.labels[*body, ::2].copy()
        images[number, 0, ..., : grey.shape[2]] = torch.tensor(grey, dtype=torch.float32)
        labels[number, ..., : grey.shape[2]] = torch.tensor(truth).long()
    return images, labels


def layer(inputs: int, outputs: int, dims: int, *, stride: int = 1, dilation: int = 1) -> nn.Module:
    """A 3x3 convolution, batch norm, ReLU."""
    conv = CONV[dims](inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(conv, BATCH_NORM[dims](outputs), nn.ReLU())


class Segmenter(nn.Sequential):
    """Convolutions and blocks at a coarser grid, then a score for every class, brought back to the input's grid."""

    def forward(self, x: Tensor) -> Tensor:
        mode = "bilinear" if x.ndim == 4 else "trilinear"
        return F.interpolate(super().forward(x), x.shape[2:], mode=mode, align_corners=False)


def train(network: nn.Module, images: Tensor, labels: Tensor, *, steps: int, batch: int, price: float = 0.0) -> float:
    """Train on random items, with background at a fifth of the weight of an organ; gives the last loss.

    ``price`` times the mean of every spatial map is added to the loss, so that attention is spent where it helps.
    """
    weight = torch.ones(CLASSES)
    weight[0] = 0.2
    optimiser = torch.optim.Adam(network.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        chosen = torch.randint(len(images), (batch,), generator=generator)
        with saccade.record(network) if price else nullcontext({}) as maps:
            error = F.cross_entropy(network(images[chosen]), labels[chosen], weight)
        spent = [seen.tensor.mean() for seen in maps.values() if seen.kind == "spatial"]
        optimiser.zero_grad()
        (error + price * sum(spent)).backward()
        optimiser.step()
        schedule.step()
    network.eval()
    return error.item()


@cache
def squeezers() -> tuple[dict[str, AttentionMap], Tensor]:
    """Maps of one network that has CBAM, BAM and scSE behind a convolution each, on the unseen slice, and the slice."""
    torch.manual_seed(0)
    network = Segmenter(
        layer(1, 16, 2, stride=2), layer(16, 32, 2), CBAM(32, reduction=4),
        layer(32, 32, 2, dilation=2), BAM(32, reduction=4, dilation=2),
        layer(32, 32, 2, dilation=4), ConcurrentSqueezeExcitation(32, aggregation="add"), nn.Conv2d(32, CLASSES, 1),
    )  # fmt: skip
    print(f"CBAM, BAM, scSE: loss {train(network, *slices(), steps=150, batch=8, price=0.2):.2f}")
    image, _ = unseen_slice()
    with torch.no_grad(), saccade.record(network) as maps:
        network(image)
    return dict(maps), image


def plain(image: Tensor) -> Figure:
    """The image alone."""
    return draw_page([make_scene(Picture(image, window=(0, 1)), image.ndim - 2, 0, "it").views()], [None])[0]


def spread(values: Tensor) -> tuple[float, float]:
    """From the smallest to the largest value of a map, but for the hundredth at each end."""
    low, high = np.quantile(values.numpy(), [0.01, 0.99])
    return float(low), float(high)


def draw_cbam() -> list[Row]:
    """The slice, the weights of the channels, the map over the slice."""
    maps, image = squeezers()
    picture = Picture(image, window=(0, 1))
    return [
        [
            ("a slice that the network has not seen", plain(image)),
            ("first what: the channels' weights", draw(maps["2.channel.map"])),
            (
                "then where: the positions' weights",
                draw(maps["2.spatial.map"], picture, limits=spread(maps["2.spatial.map"].tensor)),
            ),
        ]
    ]


def draw_bam() -> list[Row]:
    """The slice, the gate's mean over channels, and the two channels whose gates differ most between positions."""
    maps, image = squeezers()
    gate, picture = maps["4.map"], Picture(image, window=(0, 1))
    one, other = liveliest(gate)
    return [
        [
            ("a slice that the network has not seen", plain(image)),
            ("mean over the channels", _bare(draw(gate, picture))),
            (f"the gate of channel {one}", _bare(draw(gate, picture, index=one))),
            (f"the gate of channel {other}", _bare(draw(gate, picture, index=other))),
        ]
    ]


def liveliest(gate: AttentionMap) -> list[int]:
    """The two maps of the first item that differ most between positions."""
    return [int(n) for n in gate.tensor[0].flatten(1).std(1).argsort(descending=True)[:2]]


def draw_scse() -> list[Row]:
    """The slice, the map over it, the weights of the channels."""
    maps, image = squeezers()
    return [
        [
            ("a slice that the network has not seen", plain(image)),
            (
                "where: the positions' weights",
                draw(maps["6.spatial.map"], Picture(image, window=(0, 1)), limits=spread(maps["6.spatial.map"].tensor)),
            ),
            ("what: the channels' weights", draw(maps["6.channel.map"])),
        ]
    ]


@cache
def looked_at_in_3d() -> tuple[AttentionMap, AttentionMap, Picture, list[tuple[int, ...]]]:
    """Of one 3D network the maps of project-excite and of a non-local block, the unseen volume, and the queries."""
    torch.manual_seed(0)
    network = Segmenter(
        layer(1, 16, 3, stride=2), layer(16, 16, 3), ProjectExcitation(16),
        layer(16, 32, 3, stride=2), NonLocal(32, spatial_dims=3), layer(32, 32, 3), nn.Conv3d(32, CLASSES, 1),
    )  # fmt: skip
    images, labels = volumes()
    print(f"project-excite, non-local 3D: loss {train(network, images[:-1], labels[:-1], steps=120, batch=2):.2f}")
    middle = inside(labels[-1].numpy(), LIVER)
    queries = [tuple(v // 4 for v in middle)]
    with torch.no_grad(), saccade.record(network, queries=queries) as maps:
        network(images[-1:])
    spacing = tuple(2 * mm for mm in abdomens()[-1].spacing_mm)
    return maps["2.map"], maps["4.map"], Picture(images[-1:], spacing, (0, 1), middle), queries


def draw_project() -> list[Row]:
    """Two channels of the gate on three planes."""
    gate, _, picture, _ = looked_at_in_3d()
    rows = []
    for channel in liveliest(gate):
        figure = draw(gate, picture, index=channel, limits=spread(gate.tensor[0, channel]))
        rows.append([(f"the gate of channel {channel}", _bare(figure))])
    return rows


def _bare(figure: Figure) -> Figure:
    """Without the title of its own, which the picture's says better."""
    for text in list(figure.texts):
        text.remove()
    return figure


def draw_non_local() -> list[Row]:
    """Three queries in a slice, and one in a volume."""
    torch.manual_seed(0)
    network = Segmenter(
        layer(1, 16, 2, stride=2), layer(16, 32, 2, stride=2), layer(32, 32, 2), NonLocal(32), nn.Conv2d(32, CLASSES, 1)
    )
    print(f"non-local: loss {train(network, *slices(), steps=200, batch=8):.2f}")
    image, labels = unseen_slice()
    queries = [tuple(v // 4 for v in inside(labels, organ)) for organ in (LIVER, SPLEEN, AORTA)]
    with torch.no_grad(), saccade.record(network, queries=queries) as maps:
        network(image)
    _, volume_map, volume, places = looked_at_in_3d()
    return [
        [("queries in liver, spleen and aorta", draw(maps["3.map"], Picture(image, window=(0, 1)), queries=queries))],
        [("a query in the liver of a volume", _bare(draw(volume_map, volume, queries=places)))],
    ]


def inside(labels: np.ndarray, organ: int) -> tuple[int, ...]:
    """A position in the middle of an organ."""
    positions = np.argwhere(labels == organ)
    middle = positions[np.abs(positions - np.median(positions, axis=0)).sum(1).argmin()]
    return tuple(int(v) for v in middle)


def draw_unet() -> list[Row]:
    """What a small attention U-Net found, and its gates."""
    torch.manual_seed(0)
    network = AttentionUNet(
        1, CLASSES, spatial_dims=2, channels=(8, 16, 32, 64), gates="single", deep_supervision=False
    )
    print(f"attention U-Net: loss {train(network, *slices(), steps=150, batch=8):.2f}")
    image, _ = unseen_slice()
    with torch.no_grad(), saccade.record(network) as maps:
        found = network(image)[0].argmax(0).numpy()
    organs = plain(image)
    colours = {int(value): label_colour(int(value)) for value in np.unique(found[found > 0])}
    draw_contours(organs.axes[0], found, (1.0, 1.0), colours)
    picture = Picture(image, window=(0, 1))
    gates = [(f"{name}, on a grid of {_times(seen.grid)}", draw(seen, picture)) for name, seen in sorted(maps.items())]
    return [[("what it finds in an unseen slice", organs), *gates]]


def _times(grid: Sequence[int] | None) -> str:
    return " x ".join(map(str, grid or ()))
