"""Subject2Vec on whole images: cut into a set of patches, judged, and painted back.

Singla et al., 2018, https://arxiv.org/abs/1806.11217.
"""

import copy
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saccade.attention.tap import Tap
from saccade.errors import InputError
from saccade.networks.foreground import FOREGROUNDS, foreground
from saccade.networks.patch_sets import PatchGrid, pad_sets
from saccade.networks.subject2vec import Subject2Vec

WINDOW = 2.5  # deviations of the foreground to either side of its mean


@dataclass(frozen=True)
class PatchSets:
    """The patches of a batch of images: ``patches`` (b, n, c, *patch), ``mask`` (b, n), which of them exist, and
    ``cells`` (b, n), the number of the grid's cell that each stands for."""

    patches: Float[Tensor, "b n c *patch"]
    mask: Bool[Tensor, "b n"]
    cells: Int[Tensor, "b n"]


class ImageSubject2Vec(nn.Module):
    """Scores (b, outputs) of images (b, c, *space), each taken as the set of those patches that lie in its foreground.

    The weight of each patch, as a multiple of the mean weight, is recorded on the image's grid as ``map``, 0 where no
    patch was. ``parts`` gives what each patch adds to the subject's vector on the grid of cells (b, d, *cells): the
    scores are linear in it, so that `saccade.explain.hires_cam` at this layer gives what each patch adds to a score.

    Args:
        network: What judges sets of patches.
        grid: Where they are cut.
        foreground: ``all``, ``bright`` or ``enclosed``; see `saccade.networks.foreground`.
        inside: Part of a cell, above 0 up to 1, that must lie in the foreground. Default 0.7, as in the authors' code.
        most_patches: Of a subject; of more the ones that lie furthest inside are taken. Default 1000, as there.
        window: Whether values are shown to the network in the range of the foreground: mean - 2.5 deviations becomes 0,
            mean + 2.5 deviations 1, each image by its own. Else as they are.
        reconstruction_weight: The paper's lambda_1, for those who train it: see `saccade.losses.subject_loss`.
        spread_weight: The paper's lambda_2, likewise.

    Raises:
        InputError: For an unknown foreground, or numbers out of range; in forward, for an image without a patch in the
            foreground, or smaller than one.

    Differs from the authors' code: lungs are found by their darkness and not by a given mask, and of too many patches
    those furthest inside are kept, where the code raises ``inside`` by 0.09 until there are fewer.

    >>> network = ImageSubject2Vec(Subject2Vec(1, 2, channels=(4, 8, 16)), PatchGrid(8, 2), foreground="all")
    >>> network(torch.randn(3, 1, 18, 12, 24)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        network: Subject2Vec,
        grid: PatchGrid,
        *,
        foreground: str = "all",
        inside: float = 0.7,
        most_patches: int = 1000,
        window: bool = False,
        reconstruction_weight: float = 10.0,
        spread_weight: float = 1e-4,
    ) -> None:
        super().__init__()
        if foreground not in FOREGROUNDS:
            known = ", ".join(FOREGROUNDS)
            raise InputError(f"ImageSubject2Vec: foreground must be one of {known}, got {foreground}.")
        if not 0 < inside <= 1:
            raise InputError(f"ImageSubject2Vec: inside must be above 0 and at most 1, got {inside}.")
        if most_patches < 1:
            raise InputError(f"ImageSubject2Vec: most_patches must be at least 1, got {most_patches}.")
        self.network, self.grid = network, grid
        self.foreground, self.inside, self.most_patches, self.window = foreground, inside, most_patches, window
        self.reconstruction_weight, self.spread_weight = reconstruction_weight, spread_weight
        self.map = Tap("spatial")
        self.parts = nn.Identity()
        self._like: Tensor | None = None  # the image whose foreground counts in place of each one's own

    def cut(self, x: Float[Tensor, "b c *space"]) -> PatchSets:
        """The set of patches of each image.

        Raises:
            InputError: If an image has none in the foreground, or is smaller than a patch.
        """
        chosen = self._chosen(x)
        views = self.grid.views(self._windowed(x) if self.window else x)
        if torch.compiler.is_exporting():  # a graph has no sizes that depend on values: the mask alone tells
            return PatchSets(
                views.flatten(1, x.ndim - 2),
                chosen,
                torch.arange(chosen.shape[1], device=x.device).expand(chosen.shape),
            )
        if bare := [number for number, one in enumerate(chosen) if not one.any()]:
            raise InputError(f"subject2vec: image {bare[0]} of the batch has {self._nothing(x[bare[0]])}")
        counts = chosen.sum(1).tolist()
        patches, mask = pad_sets(views[chosen.reshape(views.shape[: x.ndim - 1])].split(counts))
        cells, _ = pad_sets(chosen.nonzero()[:, 1, None].split(counts))
        return PatchSets(patches, mask, cells[..., 0])

    def check_image(self, image: Float[Tensor, "c *space"], where: str) -> None:
        """Refuse an image without a patch in the foreground.

        Args:
            image: As the network takes it.
            where: What the error is to call it.

        Raises:
            InputError: If it has none.
        """
        if not self._chosen(image[None]).any():
            raise InputError(f"{where}: has {self._nothing(image)}")

    def fixed_to(self, x: Float[Tensor, "1 c *space"]) -> "ImageSubject2Vec":
        """The same network, weights shared, that takes of every image the patches of this one, and its window.

        For those who cover parts of an image to see what changes: the set must not change with them.
        """
        fixed = copy.copy(self)
        fixed._like = x
        return fixed

    def example_input(self, shape: tuple[int, ...]) -> Float[Tensor, "b c *space"]:
        """Images of a shape with foreground in three quarters along each axis, to measure what a pass costs."""
        x = torch.zeros(shape)
        inner = x
        for axis, n in enumerate(shape[2:], start=2):
            inner = inner.narrow(axis, n // 8, n - 2 * (n // 8))
        inner.fill_(1)
        return 1 - x if self.foreground == "enclosed" else x

    def forward(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b outputs"]:
        sets = self.cut(x)
        features, mask = self.network.features(sets.patches, sets.mask)
        _, each, weights = self.network.discriminative.describe(features, mask)
        cells = self.grid.cells(x.shape[2:])
        if self.map.heard:
            relative = weights * mask.sum(1, keepdim=True)
            self.map(self.grid.paint(_on_cells(relative[..., None], sets, cells)[:, 0], x.shape[2:])[:, None])
        parts = self.parts(_on_cells(each, sets, cells))
        return self.network.discriminative.conclude(parts.flatten(2).sum(2))

    def _foreground(self, x: Tensor) -> Bool[Tensor, "b *space"]:
        return foreground((x if self._like is None else self._like).mean(1), self.foreground)

    def _shares(self, x: Tensor) -> Float[Tensor, "b cells"]:
        found = self.grid.share(self._foreground(x)).flatten(1)
        return found.expand(x.shape[0], -1)

    def _windowed(self, x: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        image = x if self._like is None else self._like
        mask, axes = self._foreground(x)[:, None], tuple(range(2, x.ndim))
        count = mask.sum(axes, keepdim=True).clamp_min(1)
        mean = (image * mask).sum(axes, keepdim=True) / count
        spread = (((image - mean) ** 2 * mask).sum(axes, keepdim=True) / count).sqrt().clamp_min(1e-6)
        return ((x - mean) / (2 * WINDOW * spread) + 0.5).clamp(0, 1)

    def _chosen(self, x: Float[Tensor, "b c *space"]) -> Bool[Tensor, "b cells"]:
        shares = self._shares(x)
        chosen = shares >= self.inside
        if shares.shape[1] > self.most_patches:
            best = shares.argsort(dim=1, descending=True, stable=True)[:, : self.most_patches]
            chosen = chosen & torch.zeros_like(chosen).scatter(1, best, torch.ones_like(best, dtype=torch.bool))
        return chosen

    def _nothing(self, image: Tensor) -> str:
        size = " x ".join([str(self.grid.patch_size)] * (image.ndim - 1))
        best = float(self._shares(image[None]).max())
        return (
            f"no patch of {size} whose middle lies {self.inside:.0%} in the foreground ({self.foreground}), at most "
            f"{best:.0%}. Set network.foreground=all, or a lower network.inside or network.patch_size."
        )


def _on_cells(values: Float[Tensor, "b n d"], sets: PatchSets, cells: tuple[int, ...]) -> Float[Tensor, "b d *cells"]:
    """Values of patches on the grid of cells, 0 where there is no patch (padding has zeros)."""
    grid = values.new_zeros(values.shape[0], prod(cells), values.shape[2])
    grid = grid.scatter_add(1, sets.cells[..., None].expand_as(values), values)
    return grid.mT.unflatten(2, cells)
