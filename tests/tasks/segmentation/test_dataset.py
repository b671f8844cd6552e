"""Which patches are trained on is decided by seed, epoch, position and case alone."""

import numpy as np
import pytest
import torch
from patches import cases, config, same
from tiny import save

from saccade.data.layouts import Case
from saccade.errors import InputError
from saccade.tasks.sampler import EpochSampler
from saccade.tasks.segmentation.dataset import Patches, PreparedCases


def test_an_item_is_the_same_whoever_asks_and_when(pairs) -> None:
    one, other = (Patches(PreparedCases(cases(pairs), config())) for _ in range(2))
    other[(9, 1, 2)]  # asked for something else before
    first = one[(3, 1, 2)]
    assert same(first, other[(3, 1, 2)])
    assert first[0].shape == (1, 5, 3, 7)
    assert first[1].dtype == torch.int64
    for key in [(4, 1, 2), (3, 0, 2), (3, 1, 3)]:
        assert not same(first, one[key])
    assert not same(first, Patches(PreparedCases(cases(pairs), config(seed=1)))[(3, 1, 2)])


def test_keeping_cases_in_memory_changes_nothing_but_the_time(pairs, monkeypatch) -> None:
    kept, made_anew = (PreparedCases(cases(pairs), config(cache_memory_gb=size)) for size in (1, 0))
    assert all(same(Patches(kept)[(0, n, n)], Patches(made_anew)[(0, n, n)]) for n in range(5))
    monkeypatch.setattr("saccade.tasks.segmentation.dataset.load_case", None)
    assert kept[3][0].shape == (1, 17, 13, 11)
    with pytest.raises(TypeError):
        made_anew[3]


@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_the_wanted_part_of_the_patches_holds_a_labelled_voxel(tmp_path, fraction) -> None:
    label = np.zeros((41, 37, 43), np.uint8)
    label[3, 5, 7] = 1
    image = np.random.default_rng(0).normal(size=label.shape)
    save(tmp_path / "images/a.nii.gz", image)
    save(tmp_path / "labels/a.nii.gz", label)
    patches = Patches(PreparedCases(cases(tmp_path), config(foreground_fraction=fraction)))
    hits = sum(bool(patches[(0, position, 0)][1].any()) for position in range(100))
    # by chance a patch of 105 voxels meets the one voxel of 65231 in 0.2 % of the draws
    assert 100 * fraction - 16 <= hits <= 100 * fraction + 16
    assert hits == 100 or fraction < 1


def test_every_class_is_as_likely_to_be_looked_at(tmp_path) -> None:
    label = np.zeros((41, 37, 43), np.uint8)
    label[:20, :20, :20], label[38, 35, 40] = 1, 2
    save(tmp_path / "images/a.nii.gz", np.random.default_rng(0).normal(size=label.shape))
    save(tmp_path / "labels/a.nii.gz", label)
    settings = config(foreground_fraction=1.0)
    data = settings.data.model_copy(update={"label_names": {1: "large", 2: "small", 5: "absent"}})
    patches = Patches(PreparedCases(cases(tmp_path), settings.model_copy(update={"data": data})))
    small = sum(bool((patches[(0, position, 0)][1] == 2).any()) for position in range(100))
    assert 35 <= small <= 65


def test_unlabelled_cases_and_wrong_channels_are_refused(pairs, tmp_path) -> None:
    (first, *_) = cases(pairs)
    with pytest.raises(ValueError, match=r"^PreparedCases: case 'x' has no label\.$"):
        PreparedCases([Case("x", first.images, None)], config())[0]
    save(tmp_path / "images/a.nii.gz", np.random.default_rng(0).normal(size=(5, 7, 3, 2)))
    save(tmp_path / "labels/a.nii.gz", np.ones((5, 7, 3), np.uint8))
    with pytest.raises(InputError) as error:
        PreparedCases(cases(tmp_path), config())[0]
    assert str(error.value) == "a: must have 1 channel(s), got 2."


def test_an_epoch_shows_every_case_before_any_twice() -> None:
    sampler = EpochSampler(5, 12, seed=3)
    first = list(sampler)
    assert len(sampler) == len(first) == 12
    assert [position for _, position, _ in first] == list(range(12))
    order = [index for _, _, index in first]
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    assert {epoch for epoch, _, _ in second} == {1}
    assert [index for _, _, index in second] != order
    assert [index for _, _, index in EpochSampler(5, 12, seed=4)] != order
    again = EpochSampler(5, 12, seed=3)
    again.set_epoch(1)
    assert list(again) == second
