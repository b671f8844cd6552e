import numpy as np
import pytest
import torch

from saccade.networks import PatchGrid, pad_sets

SPACES = [(13,), (13, 11), (13, 11, 7)]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("size", "overlap"), [(5, 0), (5, 2), (7, 3), (4, 1)])
def test_every_voxel_lies_in_one_cell_with_its_patch_around_it(space, size, overlap):
    grid, image = PatchGrid(size, overlap), np.random.default_rng(0).normal(size=(2, *space)).astype(np.float32)
    cells = grid.cells(space)
    assert all((count - 1) * grid.step < n <= count * grid.step for count, n in zip(cells, space, strict=True))
    views = grid.views(torch.from_numpy(image)[None])
    assert views.shape == (1, *cells, 2, *[size] * len(space))
    number = torch.arange(1.0, 1 + int(np.prod(cells))).reshape(1, *cells)
    painted = grid.paint(number, space)[0].numpy()
    begin = [(count * grid.step - n) // 2 for count, n in zip(cells, space, strict=True)]
    for place in np.ndindex(*cells):
        # by hand: the voxels of the cell, the half overlap before it, and the image's nearest voxel beyond its end
        starts = [p * grid.step - b for p, b in zip(place, begin, strict=True)]
        axes = [np.clip(np.arange(size) + s - overlap // 2, 0, n - 1) for s, n in zip(starts, space, strict=True)]
        expected = image[(slice(None), *np.ix_(*axes))]
        np.testing.assert_array_equal(views[(0, *place)], expected)
        inside = tuple(slice(max(0, s), min(n, s + grid.step)) for s, n in zip(starts, space, strict=True))
        assert (painted[inside] == number[(0, *place)].item()).all()
        painted[inside] = 0
    assert not painted.any()


def test_the_share_of_a_cell_that_lies_in_a_mask():
    # Cells of 4 on 10 voxels reach one voxel over each end: 3, 4 and 3 voxels of the image in them.
    mask = torch.tensor([[1, 1, 1, 0, 0, 0, 1, 1, 0, 0]], dtype=torch.bool)
    assert PatchGrid(4).share(mask).tolist() == [[0.75, 0.25, 0.25]]
    assert PatchGrid(6, 2).share(mask).tolist() == [[0.75, 0.25, 0.25]]


def test_sets_of_any_number_become_one_batch():
    sets = [torch.randn(3, 2, 4, 5), torch.randn(1, 2, 4, 5), torch.randn(2, 2, 4, 5)]
    patches, mask = pad_sets(sets)
    assert mask.tolist() == [[True, True, True], [True, False, False], [True, True, False]]
    for got, there, given in zip(patches, mask, sets, strict=True):
        assert torch.equal(got[there], given)
        assert not got[~there].any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PatchGrid(4, 4), r"^PatchGrid: overlap must be from 0 to less than patch_size \(4\), got 4\.$"),
        (lambda: PatchGrid(4, -1), r"^PatchGrid: overlap must be from 0 to less than patch_size \(4\), got -1\.$"),
        (lambda: PatchGrid(4).cells((9, 3)),
         r"^PatchGrid: patch_size must be at most 3 for images of 9 x 3, got 4\.$"),
        (lambda: pad_sets([]), r"^pad_sets: every subject must have at least one patch, got one without\.$"),
        (lambda: pad_sets([torch.zeros(2, 1, 3), torch.zeros(0, 1, 3)]),
         r"^pad_sets: every subject must have at least one patch, got one without\.$"),
        (lambda: pad_sets([torch.zeros(2, 1, 3), torch.zeros(2, 1, 4)]),
         r"^pad_sets: all patches must have the same channels and size, got \(1, 3\) and \(1, 4\)\.$"),
    ],
)  # fmt: skip
def test_what_cannot_be_cut_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
