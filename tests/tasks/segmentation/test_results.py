"""Labels equal the plain way's; probabilities and entropy are those of the softmax, on the scan's own grid."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_path import plain_labels, plain_scores
from torch import nn

from saccade.attention.tap import Tap
from saccade.data.orient import from_canonical
from saccade.data.volume import Volume
from saccade.errors import InputError
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.ensemble import ensemble_of
from saccade.tasks.segmentation.predictor import SegmentationPredictor

NAMES = {1: "liver", 4: "left kidney", 300: "spleen"}


class Mixed(nn.Module):
    """Scores that depend on the voxel, its neighbours, and its place in the window; nothing random."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(0, 1, x.shape[2]).reshape(-1, *[1] * (x.ndim - 3))
        beside = x.roll(1, 2) * 0.7
        return torch.cat([x * 0.5 + beside, x * x - ramp * 0.3, beside * x + ramp * 0.1, (x - ramp).abs()], 1)


class Constant(nn.Module):
    """The same scores everywhere; a gate of a half."""

    def __init__(self, scores) -> None:
        super().__init__()
        self.scores, self.map = torch.tensor(scores), Tap("spatial")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.map(torch.full_like(x, 0.5))
        return self.scores.reshape(1, -1, *[1] * (x.ndim - 2)).expand(len(x), -1, *x.shape[2:])


def predictor(network: nn.Module, patch=(4, 4, 4), spacing=None, names=None, data=None, **inference):
    values = {
        "root": ".",
        "label_names": names or NAMES,
        "patch_size": patch,
        "spacing_mm": spacing,
        "intensity": {"kind": "ct_window", "low": -5, "high": 5},
        **(data or {}),
    }
    training = {"precision": "32-true"}
    config = SegmentationConfig.parse(
        {"system": "unet", "data": values, "inference": inference, "training": training}, ""
    )
    return SegmentationPredictor(network, config)


def scan(shape, seed=0, spacing=(0.9, 1.3, 2.1), order=(0, 1, 2), signs=(1, 1, 1)) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(spacing) * signs)[list(order)]
    return Volume(np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32), affine)


@settings(max_examples=50, deadline=None)
@given(
    st.tuples(*[st.integers(2, 11)] * 3),
    st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(1, 6)),
    st.sampled_from([0.0, 0.3, 0.5, 0.7]),
    st.sampled_from([None, (0.9, 1.3, 2.1), (1.2, 1.2, 1.2), (0.7, 2.0, 3.0), (2.0, 0.8, 1.5)]),
    st.sampled_from([(), (0,), (0, 1, 2)]),
    st.permutations([0, 1, 2]),
    st.sampled_from(list(itertools.product((1, -1), repeat=3))),
    st.integers(0, 99),
)
def test_labels_equal_those_of_the_plain_way(shape, patch, overlap, spacing, mirror, order, signs, seed) -> None:
    volume = scan(shape, seed, order=order, signs=signs)
    if patch[2] == 1:
        mirror = tuple(axis for axis in mirror if axis < 2)
    made = predictor(Mixed(), patch=patch, spacing=spacing, overlap=overlap, mirror_axes=mirror)
    found = made.segment(volume, probabilities=["spleen"], uncertainty=True)
    scores = plain_scores(made, volume)
    wanted = plain_labels(made, volume)
    # where the processor rounds twice the last bit may differ: then two classes must be as good as equal
    top = scores.topk(2, dim=0).values
    clear = from_canonical(((top[0] - top[1]) > 1e-5).numpy(), volume)
    np.testing.assert_array_equal(found.labels.array[clear], wanted[clear])
    if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512"):
        np.testing.assert_array_equal(found.labels.array, wanted)
    shares = scores.softmax(0)
    entropy = -(shares * shares.log()).sum(0)
    np.testing.assert_allclose(
        found.probabilities["spleen"].array, from_canonical(shares[3].numpy(), volume), atol=1e-5
    )
    np.testing.assert_allclose(found.uncertainty.array, from_canonical(entropy.numpy(), volume), atol=1e-5)


def test_probabilities_and_entropy_by_hand() -> None:
    # softmax of 0, ln 2, ln 4, ln 1: 1/8, 2/8, 4/8, 1/8
    made = predictor(Constant([0.0, math.log(2), math.log(4), 0.0]), spacing=(1.0, 1.0, 1.0))
    volume = scan((5, 7, 3))
    found = made.segment(volume, probabilities=["left kidney", "liver", "background"], uncertainty=True)
    assert list(found.probabilities) == ["left kidney", "liver", "background"]
    for name, share in (("left kidney", 4 / 8), ("liver", 2 / 8), ("background", 1 / 8)):
        map_ = found.probabilities[name]
        assert map_.array.dtype == np.float32
        np.testing.assert_allclose(map_.array, share, atol=1e-6)
        np.testing.assert_array_equal(map_.affine, volume.affine)
    assert found.uncertainty.array.dtype == np.float32
    bits = (1 / 8) * 3 + (2 / 8) * 2 + (4 / 8) * 1 + (1 / 8) * 3
    np.testing.assert_allclose(found.uncertainty.array, bits * math.log(2), atol=1e-5)
    assert set(np.unique(found.labels.array)) == {4}
    nothing = made.segment(volume)
    assert (nothing.probabilities, nothing.uncertainty) == ({}, None)
    certain = predictor(Constant([0.0, 200.0, 0.0, 0.0])).segment(volume, uncertainty=True)
    assert certain.uncertainty.array.max() == 0.0


def test_an_unknown_organ_is_refused_before_anything_is_read() -> None:
    with pytest.raises(InputError) as error:
        predictor(Constant([0.0] * 4)).segment("not/there.nii", probabilities=["liver", "splen"])
    assert str(error.value) == (
        "predict: unknown class 'splen'. Did you mean 'spleen'? Known: background, liver, left kidney, spleen."
    )


def test_stage_times_are_told_and_add_up() -> None:
    seconds = predictor(Mixed()).segment(scan((9, 7, 5))).seconds
    assert list(seconds) == ["read", "prepare", "network", "restore"]
    assert all(value >= 0 for value in seconds.values())
    assert seconds["network"] > 0


def test_an_ensemble_averages_probabilities_not_scores() -> None:
    names = {1: "liver"}
    # liver: 0.999, 0.1 and 0.1, on average 0.39967; the mean score would be (6.907 - 2 x 2.197) / 3 > 0
    members = [predictor(Constant([0.0, math.log(p / (1 - p))]), names=names) for p in (0.999, 0.1, 0.1)]
    volume = scan((5, 7, 3))
    made = ensemble_of(members)
    found = made.segment(volume, probabilities=["liver"], uncertainty=True, attention=True)
    share = (0.999 + 0.1 + 0.1) / 3
    np.testing.assert_allclose(found.probabilities["liver"].array, share, atol=1e-5)
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    np.testing.assert_allclose(found.uncertainty.array, entropy, atol=1e-5)
    assert found.labels.array.max() == 0
    assert list(found.attention) == ["member1_map", "member2_map", "member3_map"]
    assert made.attends
    assert made.predict(volume).array.max() == 0
    alone = ensemble_of(members[:1]).segment(volume)
    assert alone.labels.array.min() == 1


def test_an_ensemble_of_one_says_what_its_member_says_and_settings_reach_all() -> None:
    volume = scan((9, 7, 5))
    member = predictor(Mixed(), patch=(9, 7, 5), overlap=0.0)  # one window: nothing is blended
    twice = ensemble_of([member, member])
    np.testing.assert_array_equal(twice.segment(volume).labels.array, member.segment(volume).labels.array)
    changed = twice.with_inference({"mirror_axes": [0], "overlap": 0.5})
    assert [m.config.inference.mirror_axes for m in changed.members] == [(0,), (0,)]
    wanted, before = (
        made.segment(volume, probabilities=["liver"]).probabilities["liver"].array
        for made in (member.with_inference({"mirror_axes": [0], "overlap": 0.5}), member)
    )
    found = changed.segment(volume, probabilities=["liver"]).probabilities["liver"].array
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found - before).max() > 0.01
    assert changed.expected_peak_bytes(volume) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": {1: "liver"}}, "classes; member 1 has {1: liver, 4: left kidney, 300: spleen}, member 2 {1: liver}. "
         "Train them with the same data.label_names."),
        ({"spacing": (1.0, 1.0, 2.0)}, "spacing; member 1 has None, member 2 (1.0, 1.0, 2.0). "
         "Train them with the same data.spacing_mm."),
        ({"data": {"channels": 2}}, "channels; member 1 has 1, member 2 2. Train them with the same data.channels."),
        ({"data": {"intensity": {"kind": "z_score"}}}, "intensity; member 1 has kind='ct_window' low=-5.0 high=5.0 "
         "mean=0.0 std=1.0, member 2 kind='z_score' low=None high=None mean=0.0 std=1.0. "
         "Train them with the same data.intensity."),
        ({"patch": (4, 4, 1)}, "patch size; member 1 has (4, 4, 4), member 2 (4, 4, 1). "
         "Train them with the same data.patch_size."),
    ],
)  # fmt: skip
def test_members_that_do_not_fit_are_refused(changes, message) -> None:
    with pytest.raises(InputError) as error:
        ensemble_of([predictor(Mixed()), predictor(Mixed(), **changes)])
    assert str(error.value) == f"ensemble: all members must have the same {message}"


def test_an_ensemble_of_nobody_is_refused() -> None:
    with pytest.raises(InputError) as error:
        ensemble_of([])
    assert str(error.value) == "ensemble: must have at least one member, got none."
