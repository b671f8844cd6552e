"""Simulated subtomograms: what is asked for is there, and only the arrangement of the subunits tells classes apart."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from saccade.cli.main import main
from saccade.data.classification.layouts import find_image_dataset
from saccade.data.synthetic.tomograms import PARTICLES, simulate_tomogram
from saccade.data.volume import read_volume
from saccade.errors import InputError

INF = float("inf")


@pytest.mark.parametrize("name", PARTICLES)
def test_particles_are_eight_subunits_at_one_distance_around_their_middle(name) -> None:
    points = PARTICLES[name]
    assert points.shape == (8, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-12)
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2)]
    assert min(apart) > 0.6


def test_particles_differ_in_more_than_their_orientation() -> None:
    """Sorted distances between subunits do not change when a particle is turned."""
    distances = {
        name: np.sort([np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2)])
        for name, points in PARTICLES.items()
    }
    for one, other in itertools.combinations(distances.values(), 2):
        assert np.abs(one - other).max() > 0.1


def test_the_ratio_of_signal_to_noise_is_what_was_asked_for() -> None:
    for snr in (0.1, 1.0, 10.0):
        noisy, clean = (simulate_tomogram(3, 5, "cube", snr=value, voxels=24).image for value in (snr, INF))
        noise = noisy - clean
        assert clean.var() / noise.var() == pytest.approx(snr, rel=1e-3)
        assert abs(np.corrcoef(clean.ravel(), noise.ravel())[0, 1]) < 0.05


def test_the_wedge_is_missing_from_signal_and_noise() -> None:
    """Tilts reach 60 degrees about the second axis: nothing is known where |kz| > tan(60) |kx|."""
    spectrum = np.abs(np.fft.fftn(simulate_tomogram(0, 1, "ring", snr=1.0, voxels=20).image)) ** 2
    k = np.abs(np.fft.fftfreq(20))
    missing = np.broadcast_to(k[None, None] > np.tan(np.pi / 3) * k[:, None, None], spectrum.shape)
    assert 0.2 < missing.mean() < 0.4  # (90 - 60) / 90 of the directions, and corners
    assert spectrum[missing].max() < 1e-6 * spectrum[~missing].max()
    assert (spectrum[~missing] > 0).all()


def test_the_mask_is_the_particle() -> None:
    made = simulate_tomogram(0, 2, "bipyramid", snr=INF)
    _, parts = ndimage.label(made.mask)
    assert parts == 8  # its subunits do not touch
    assert made.image[made.mask].mean() > 3 * made.image[~made.mask].std()
    middle = (np.array(made.mask.shape) - 1) / 2
    assert np.abs(np.array(ndimage.center_of_mass(made.mask)) - middle).max() < 0.1 * 28


def test_the_command_line_writes_a_set_that_can_be_learnt_from(tmp_path: Path, capsys) -> None:
    arguments = ["--cases", "12", "--snr", "inf", "--voxels", "16"]
    for folder, seed in (("a", 0), ("again", 0), ("b", 1)):
        assert main(["data", "make", "tomograms", str(tmp_path / folder), *arguments, "--seed", str(seed)]) == 0
    assert main(["data", "check", str(tmp_path / "a")]) == 0
    dataset = find_image_dataset(tmp_path / "a")
    assert sorted({case.values[0] for case in dataset.cases}) == sorted(PARTICLES)
    assert len(dataset.cases) == 12
    for case in dataset.cases:
        again, other = (tmp_path / folder / "images" / case.file.name for folder in ("again", "b"))
        assert case.file.read_bytes() == again.read_bytes()
        assert case.file.read_bytes() != other.read_bytes()
        truth = read_volume(tmp_path / "a" / "truth" / case.file.name)
        assert truth.shape == read_volume(case.file).shape == (16, 16, 16)
        assert set(np.unique(truth.array)) == {0, 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--snr", "0"], "tomograms: snr must be above 0 (inf for no noise), got 0."),
        (["--snr", "nan"], "tomograms: snr must be above 0 (inf for no noise), got nan."),
        (["--voxels", "15"], "tomograms: voxels must be at least 16, got 15."),
    ],
)
def test_numbers_that_cannot_be_used(tmp_path: Path, capsys, options, message) -> None:
    assert main(["data", "make", "tomograms", str(tmp_path / "x"), *options]) == 2
    assert capsys.readouterr().err == f"saccade: {message}\n"


def test_unknown_particles() -> None:
    with pytest.raises(InputError, match=r"^tomograms: particle must be one of arcs, .*, got 'virus'\.$"):
        simulate_tomogram(0, 0, "virus")
