"""Boxes from the user's units to the pixels of a prepared image and back."""

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from saccade.data.detection.case import Object
from saccade.data.volume import Volume
from saccade.errors import InputError
from saccade.losses import Objects
from saccade.tasks.detection.config import Data
from saccade.tasks.detection.dataset import prepare_objects
from saccade.tasks.detection.detections import Located, detections_of
from saccade.tasks.detection.frame import Frame, read_framed

DATA = Data(
    root=".", classes=("a", "b"), size=(10, 20), intensity={"kind": "z_score"}, descriptors={"tone": ("x", "y")}
)
PICTURE = Frame((30, 40), (10, 20))  # rows shrink to a third, columns to a half


def test_boxes_of_pictures_are_scaled_x_first() -> None:
    prepared = PICTURE.to_prepared(np.array([[4.0, 6, 40, 30]]))
    np.testing.assert_allclose(prepared, [[2, 2, 20, 10]])
    np.testing.assert_allclose(PICTURE.to_user(prepared), [[4, 6, 40, 30]])
    assert PICTURE.picture_size == (40, 30)


def test_boxes_of_volumes_go_from_mm_to_voxels_and_back(tmp_path) -> None:
    # voxels of 2 x 3 x 4 mm, the first axis running to the left: stored so, it is turned to the right when read
    affine = np.array([[-2.0, 0, 0, 9], [0, 3, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1]])
    voxels = np.zeros((5, 7, 11), np.float32)
    voxels[1, 2, 3] = 1
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "v.nii")
    image, frame, _ = read_framed(tmp_path / "v.nii", (5, 14, 11))
    # the middle of that voxel lies at x = 9 - 2, y = 6, z = 12; it is half a voxel larger on each side
    world = np.array([[6.0, 4.5, 10, 8, 7.5, 14]])
    prepared = frame.to_prepared(world)
    i, j, k = (int(axis[0]) for axis in np.nonzero(image.array[..., 0]))
    assert (i, j, k) == (3, 2, 3)
    np.testing.assert_allclose(prepared, [[k, 2 * j, i, k + 1, 2 * j + 2, i + 1]])  # the last axis first
    np.testing.assert_allclose(frame.to_user(prepared), world)
    assert frame.picture_size is None


def test_an_oblique_volume_gets_boxes_around_boxes() -> None:
    turn = np.deg2rad(30)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    frame = Frame((20, 20, 20), (20, 20, 20), affine)
    box = np.array([[5.0, 6, 7, 9, 11, 13]])
    around = frame.to_user(frame.to_prepared(box))
    assert (around[0, :3] <= box[0, :3] + 1e-9).all()
    assert (around[0, 3:] >= box[0, 3:] - 1e-9).all()


def test_what_is_read_must_be_of_the_right_kind(tmp_path) -> None:
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "p.png")
    with pytest.raises(InputError, match=r"p\.png: must be a volume, is a picture\.$"):
        read_framed(tmp_path / "p.png", (4, 5, 6))
    with pytest.raises(InputError, match=r"^volume: must be a picture, is a volume\.$"):
        read_framed(Volume(np.zeros((4, 5, 6), np.float32), np.eye(4)), (4, 5))
    with pytest.raises(InputError, match=r"must be a Volume, which has a place, got an array of shape \(4, 5, 6\)"):
        read_framed(np.zeros((4, 5, 6)), (4, 5, 6))
    with pytest.raises(InputError, match="volume: values must be finite numbers"):
        read_framed(Volume(np.full((4, 5, 6), np.nan, np.float32), np.eye(4)), (4, 5, 6))


def test_difficult_objects_and_crowds_are_ignored_and_boxes_cut() -> None:
    objects = [
        Object((4.0, 6.0, 8.0, 12.0), "b", more={"tone": "y"}),
        Object((0.0, 0.0, 10.0, 9.0), "a", difficult=True),
        Object((20.0, 0.0, 40.0, 30.0), "a", crowd=True),
        Object((36.0, 24.0, 60.0, 99.0), "a"),  # sticks out
        Object((5.0, 5.0, 5.0, 9.0), "a"),  # empty
        Object((50.0, 5.0, 60.0, 9.0), "a"),  # outside
    ]
    found = prepare_objects(objects, PICTURE, DATA, "here")
    assert isinstance(found, Objects)
    torch.testing.assert_close(found.boxes, torch.tensor([[2.0, 2, 4, 4], [18, 8, 20, 10]]))
    assert found.classes.tolist() == [1, 0]
    assert found.more["tone"].tolist() == [1, -1]
    torch.testing.assert_close(found.ignored, torch.tensor([[0.0, 0, 5, 3], [10, 0, 20, 10]]))


@pytest.mark.parametrize(
    ("box", "name", "message"),
    [
        ((8, 6, 4, 12), "a", r"^here: a box must have its lower corner first, got \(8, 6, 4, 12\)\. See: "),
        ((8, 6, 9), "a", r"^here: a box must be 4 finite numbers, got \(8, 6, 9\)\.$"),
        ((8, 6, 9, float("nan")), "a", r"^here: a box must be 4 finite numbers, got \(8, 6, 9, nan\)\.$"),
        ((8, 6, 9, 9), "c", r"^here: an object must be one of a, b, got 'c'\.$"),
    ],
)
def test_bad_objects_are_refused(box, name, message) -> None:
    with pytest.raises(InputError, match=message):
        prepare_objects([Object(tuple(map(float, box)), name)], PICTURE, DATA, "here")


def test_detections_end_at_the_image() -> None:
    located = Located(torch.tensor([[-3.0, 2, 4, 12]]), torch.tensor([0.5]), torch.tensor([1]))
    found = detections_of(located, PICTURE, ("a", "b"))
    np.testing.assert_allclose(found.boxes, [[0, 6, 8, 30]])
    assert (found.names, found.size, len(found)) == (("b",), (40, 30), 1)
