"""A network that finds lesions and says what they are like: proposals, then regions with several heads.

After Kisilev et al. 2016, https://doi.org/10.1007/978-3-319-46976-8_13, whose layers could not be had: the stages are
those that its abstract and the authors' patent US10140709B2 name, each in the form of Faster R-CNN, Ren et al. 2015,
https://arxiv.org/abs/1506.01497.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saccade.errors import InputError
from saccade.layers.anchors import pyramid_anchors
from saccade.layers.boxes import centre_and_size, clip, decode, non_maximum_suppression
from saccade.layers.dimensions import CONV, check_spatial_dims
from saccade.layers.regions import region_align, squares_around
from saccade.networks.checks import refuse_below_one
from saccade.networks.conv_blocks import ConvBlocks
from saccade.networks.ssd import AnchorHead

CELLS = 7  # of a region along each axis, Faster R-CNN's
PROPOSAL_VARIANCE, REGION_VARIANCE = (1.0, 1.0), (0.1, 0.2)  # of offsets, as in `saccade.losses.proposals`
LENGTHS = 4.0  # factor on the logarithms of a region's lengths, which else vary less than what is cut out
FARTHEST = 4.0  # largest offset of a length, so that no box is of endless size
CANDIDATES = 8  # anchors, the surest, among which duplicates are sought, for each box that goes on


@dataclass(frozen=True)
class Maps:
    """What the trunk saw of a batch.

    Attributes:
        for_regions: Of the last blocks, finest first, that regions are cut from.
        for_words: The same, or those of the second trunk, that descriptors are told from.
        scores: (b, a) logits of an object at each anchor.
        offsets: (b, a, 2d) for `decode`.
        size: Of the images, (*space).
    """

    for_regions: list[Tensor]
    for_words: list[Tensor]
    scores: Float[Tensor, "b a"]
    offsets: Float[Tensor, "b a box"]
    size: tuple[int, ...]


@dataclass(frozen=True)
class Regions:
    """What the network says of the regions of a batch, image by image.

    Attributes:
        boxes: Of each image.
        classes: (r, 1 + classes) logits, background first.
        offsets: (r, 2d) from each region to the box of its object, for `decode` with `REGION_VARIANCE`.
        descriptors: For each descriptor (r, values) logits.
    """

    boxes: tuple[Float[Tensor, "_ box"], ...]
    classes: Float[Tensor, "r columns"]
    offsets: Float[Tensor, "r box"]
    descriptors: tuple[Float[Tensor, "r _"], ...]


class RegionReader(nn.Module):
    """Numbers for each region, from what is cut from every map: a linear layer, then one that sees its lengths too.

    A square is cut around each region, so that its proportions, which are part of its shape, stay what they are. The
    logarithms of the lengths are there since what is brought to 7 x 7 cells has lost its size.

    Args:
        in_channels: Of the maps.
        steps: Pixels from one position of each map to the next.
        width: Channels that each map is reduced to before regions are cut from it.
        hidden: Units of both layers.
        around: Side of the square in longest sides of the region: more than 1 shows what lies around.
        spatial_dims: 2 or 3.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        *,
        steps: Sequence[int],
        width: int,
        hidden: int,
        around: float,
        spatial_dims: int,
    ) -> None:
        super().__init__()
        self.steps, self.around = tuple(steps), around
        self.reduce = nn.ModuleList(CONV[spatial_dims](channels, width, 1) for channels in in_channels)
        self.first = nn.Linear(len(in_channels) * width * CELLS**spatial_dims, hidden)
        self.second = nn.Linear(hidden + spatial_dims, hidden)

    def forward(self, maps: Sequence[Tensor], boxes: Sequence[Float[Tensor, "_ box"]]) -> Float[Tensor, "r hidden"]:
        cut = [squares_around(of_image, self.around) for of_image in boxes]
        parts = [
            region_align(torch.relu(reduce(x)), cut, CELLS, step=step).flatten(1)
            for reduce, x, step in zip(self.reduce, maps, self.steps, strict=True)
        ]
        lengths = LENGTHS * (centre_and_size(torch.cat(list(boxes)))[1].clamp_min(1) / self.steps[-1]).log()
        seen = torch.relu(self.first(torch.cat(parts, 1)))
        return torch.relu(self.second(torch.cat([seen, lengths.to(seen)], 1)))


class LesionDescriber(nn.Module):
    """Boxes of lesions, and for each a class and a value of every descriptor.

    A trunk of convolutions is shared by all stages. At each position of its last map a 3x3 convolution and two more
    give, for each of some anchors, the chance of an object and the offsets of its box. The surest boxes go on, cut
    from the last maps and brought to 7 x 7 cells; two linear layers and a last one for each question say whether and
    of which class it is, where its box really is, and what it is like.

    Args:
        in_channels: Channels of the input.
        out_channels: Classes and, first, background.
        descriptors: How many values each descriptor has.
        spatial_dims: 2 or 3.
        channels: Width of each block of the trunk; the grid is halved before each but the first.
        convolutions: Number of convolutions of each block.
        cut_from: How many blocks' maps, counted from the last, regions are cut from.
        shared: Whether descriptors are told from the same features as boxes and classes. If not, a second trunk and
            reader of their own tell them: two networks, of which one finds and the other describes.
        sides: Of the anchors, pixels; each once as a square and once for each axis twice as long along it.
        width: Channels that maps are reduced to before regions are cut.
        hidden: Units of both linear layers.
        around: Side of the square that is cut out around a region, in longest sides of the region.
        proposals: Boxes of an image that go on.

    Raises:
        InputError: For numbers below 1, one dimension, or more maps to cut from than blocks.

    Differs from the paper: its layers are not known to us; these are of Faster R-CNN, with a smaller trunk.

    >>> network = LesionDescriber(1, 2, descriptors=(3, 2), channels=(4, 8, 8), convolutions=(1, 1, 1), hidden=16)
    >>> said = network(torch.randn(2, 1, 64, 48))
    >>> len(said.boxes), said.classes.shape[1], [scores.shape[1] for scores in said.descriptors]
    (2, 2, [3, 2])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        descriptors: Sequence[int],
        spatial_dims: int = 2,
        channels: Sequence[int] = (32, 64, 128, 128),
        convolutions: Sequence[int] = (1, 1, 2, 2),
        cut_from: int = 2,
        shared: bool = True,
        sides: Sequence[float | int] = (16.0, 24.0, 36.0),
        width: int = 32,
        hidden: int = 128,
        around: float = 1.25,
        proposals: int = 32,
    ) -> None:
        super().__init__()
        check_spatial_dims("LesionDescriber", spatial_dims)
        refuse_below_one(
            "LesionDescriber",
            out_channels=out_channels,
            width=width,
            hidden=hidden,
            proposals=proposals,
            cut_from=cut_from,
        )
        if spatial_dims == 1 or cut_from > len(channels):
            raise InputError(
                f"LesionDescriber: must have 2 or 3 dimensions and cut from at most {len(channels)} maps, got "
                f"{spatial_dims} and {cut_from}."
            )

        def trunk() -> ConvBlocks:
            return ConvBlocks(
                "LesionDescriber", in_channels, channels=channels, convolutions=convolutions, spatial_dims=spatial_dims
            )

        steps = [2**block for block in range(len(channels))][-cut_from:]

        def reader() -> RegionReader:
            return RegionReader(
                channels[-cut_from:], steps=steps, width=width, hidden=hidden, around=around, spatial_dims=spatial_dims
            )

        self.spatial_dims, self.cut_from, self.step, self.proposals = spatial_dims, cut_from, steps[-1], proposals
        self.sides = tuple(sides)
        last, dims = channels[-1], spatial_dims
        self.trunk = trunk()
        self.look = nn.Sequential(CONV[dims](last, last, 3, padding=1), nn.ReLU())
        self.propose_head = AnchorHead(last, 1, len(self.sides) * (1 + dims), spatial_dims=dims, bias=-2.0)
        self.reader = reader()
        self.classes, self.offsets = nn.Linear(hidden, out_channels), nn.Linear(hidden, 2 * dims)
        self.words = nn.ModuleList(nn.Linear(hidden, values) for values in descriptors)
        self.second_trunk = None if shared else trunk()
        self.second_reader = None if shared else reader()
        for part in (self.propose_head.boxes, self.offsets):  # boxes start where anchors and proposals are
            nn.init.normal_(part.weight, std=0.01)
            nn.init.zeros_(part.bias)

    def forward(self, x: Float[Tensor, "b c *space"]) -> Regions:
        """What is said of the surest proposals."""
        maps = self.see(x)
        return self.read(maps, self.propose(maps))

    def see(self, x: Float[Tensor, "b c *space"]) -> Maps:
        """The trunk's maps, and what each anchor says."""
        found = self.trunk(x)
        words = found if self.second_trunk is None else self.second_trunk(x)
        scores, offsets = self.propose_head(self.look(found[-1]))
        last = self.cut_from
        return Maps(found[-last:], words[-last:], scores[..., 0], offsets, tuple(x.shape[2:]))

    def anchors(self, maps: Maps) -> Float[Tensor, "a box"]:
        """Corners in pixels, for each score."""
        grid = [n * self.step for n in maps.for_regions[-1].shape[2:]]
        scales = [side / self.step for side in self.sides]
        return pyramid_anchors(grid, strides=[self.step], base=1.0, scales=scales).to(maps.offsets.device)

    @torch.no_grad()
    def propose(self, maps: Maps, *, most: int | None = None, overlap: float = 0.7) -> list[Float[Tensor, "_ box"]]:
        """The surest boxes of each image, without duplicates and cut at its border; no gradient goes through them.

        Args:
            maps: What was seen.
            most: Boxes of an image; None for as many as the network was built for.
            overlap: Of two boxes that overlap by more, the surer one stays.
        """
        anchors, found = self.anchors(maps), []
        most = most or self.proposals
        for scores, offsets in zip(maps.scores.float(), maps.offsets.float(), strict=True):
            boxes = self._placed(offsets, anchors, maps, PROPOSAL_VARIANCE)
            kept = non_maximum_suppression(boxes, scores, overlap=overlap, candidates=CANDIDATES * most, limit=most)
            found.append(boxes[kept])
        return found

    def read(self, maps: Maps, boxes: Sequence[Float[Tensor, "_ box"]]) -> Regions:
        """What is said of these regions, in each image its own."""
        seen = self.reader(maps.for_regions, boxes)
        words = seen if self.second_reader is None else self.second_reader(maps.for_words, boxes)
        return Regions(tuple(boxes), self.classes(seen), self.offsets(seen), tuple(head(words) for head in self.words))

    def refine(self, maps: Maps, said: Regions) -> list[Float[Tensor, "_ box"]]:
        """Where the objects of the regions of each image really are."""
        offsets = said.offsets.float().split([len(boxes) for boxes in said.boxes])
        return [self._placed(own, boxes, maps, REGION_VARIANCE) for own, boxes in zip(offsets, said.boxes, strict=True)]

    def _placed(self, offsets: Tensor, starts: Tensor, maps: Maps, variance: tuple[float, float]) -> Tensor:
        """Boxes that offsets lead to, cut at the image's border."""
        offsets = torch.cat([offsets[:, : self.spatial_dims], offsets[:, self.spatial_dims :].clamp(max=FARTHEST)], 1)
        sides = offsets.new_tensor(list(reversed(maps.size)))
        return clip(decode(offsets, starts, variance=variance), sides)
