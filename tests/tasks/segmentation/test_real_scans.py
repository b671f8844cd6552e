"""Real CT, MR and DICOM through a whole prediction: the result must lie on the grid of the expert's label map."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from saccade.data.orient import to_canonical
from saccade.data.volume import read_volume, same_grid, write_volume
from saccade.tasks.segmentation.config import SegmentationConfig
from saccade.tasks.segmentation.predictor import SegmentationPredictor

SHARED = Path(__file__).parents[4] / "shared" / "data"
SCANS = {
    "CT": ("totalseg_ct_abdomen_3mm/ct.nii.gz", "totalseg_ct_abdomen_3mm/label.nii.gz"),
    "MR": ("totalseg_mr_abdomen_3mm/mr.nii.gz", "totalseg_mr_abdomen_3mm/label.nii.gz"),
    "DICOM": ("dicom_ct_thorax_abdomen/series", "dicom_ct_thorax_abdomen/label.nii.gz"),
}
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the real scans are not beside this checkout")


class Bright(nn.Module):
    """Calls everything above zero (after preparation) an organ."""

    def forward(self, x):
        return torch.cat([-x, x], 1)


def predictor(low, high):
    config = SegmentationConfig.parse(
        {
            "system": "unet",
            "data": {
                "root": "unused",
                "label_names": {1: "bright"},
                "spacing_mm": None,
                "patch_size": [64, 64, 16],
                "intensity": {"kind": "ct_window", "low": low, "high": high, "mean": (low + high) / 2},
            },
            "training": {"precision": "32-true"},
        },
        "test",
    )
    return SegmentationPredictor(Bright(), config)


@pytest.mark.parametrize("name", SCANS)
def test_a_prediction_lies_on_the_label_maps_grid(name, tmp_path):
    scan, label = (SHARED / part for part in SCANS[name])
    truth, image = read_volume(label), read_volume(scan)
    values = np.asarray(image.array, dtype=np.float32)
    low, high = (float(v) for v in np.percentile(values, [50, 99]))
    found = predictor(low, high).predict(scan)
    write_volume(found, tmp_path / "found.nii.gz")
    reread = read_volume(tmp_path / "found.nii.gz")
    np.testing.assert_array_equal(reread.affine, image.affine)
    np.testing.assert_array_equal(reread.array > 0, values > (low + high) / 2)
    # the expert's label map may be stored in another axis order; in canonical order both are one grid
    assert same_grid(to_canonical(reread), to_canonical(truth))
