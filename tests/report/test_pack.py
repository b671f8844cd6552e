"""Grey levels fine where organs differ, packing that loses nothing more, and a size that is kept."""

import base64
import zlib

import numpy as np
import pytest

from saccade.report.pack import ct_levels, fit, pack, quantise
from saccade.report.resample import mean_to


def unpack(text, shape):
    """What the browser does."""
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.cumsum(steps, dtype=np.uint8).reshape(shape[::-1]).transpose(2, 1, 0)


def test_packing_loses_nothing():
    volume = np.random.default_rng(1).integers(0, 256, (5, 7, 11), dtype=np.uint8)
    np.testing.assert_array_equal(unpack(pack(volume), volume.shape), volume)


def test_a_ct_keeps_what_its_windows_show():
    levels = ct_levels()
    assert levels.size == 256
    assert (np.diff(levels) > 0).all()
    for low, high, error in ((-1024, -200, 8), (-200, 300, 2), (300, 1500, 10), (1500, 2990, 41.5)):
        values = np.linspace(low, high, 500)[:, None, None]
        found = levels[quantise(values, levels)]
        assert np.abs(found - values).max() <= error * 1.02
    assert levels[quantise(np.full((1, 1, 1), -2000.0), levels)].item() == -1024
    assert levels[quantise(np.full((1, 1, 1), 9000.0), levels)].item() == pytest.approx(levels[-1])


@pytest.mark.parametrize(
    ("room", "shape", "levels"),
    [(6e6, (512, 512, 20), 256), (1.05e6, (256, 256, 20), 128), (0.85e6, (256, 256, 20), 64)],
)
def test_a_noisy_scan_fits_and_keeps_256_pixels(room, shape, levels):
    noise = np.random.default_rng(2).normal(40, 60, (512, 512, 20)).astype(np.int16)
    found, greys = fit(noise, ct_levels(), room)
    assert found == shape
    assert greys.size == levels
    assert len(pack(quantise(mean_to(noise, found), greys))) <= 1.02 * room


def test_a_small_scan_is_kept_as_it_is():
    scan = np.zeros((11, 13, 17))
    shape, greys = fit(scan, ct_levels(), 1e6)
    assert shape == scan.shape
    np.testing.assert_array_equal(greys, ct_levels())
