"""Simulated subtomograms of electron cryo-tomography: small volumes with one particle each, in any orientation.

After the simulations of Zhao et al. 2018 (Respond-CAM, arXiv:1806.00102): several distinct particles, turned at random
and shifted a little, seen through a missing wedge, with a given signal-to-noise ratio. The particles here are densities
of our own: each is an assembly of eight equal subunits, all at one distance from the middle, so that neither mass nor
brightness nor how far the density reaches tells one from another: only how the subunits are arranged. There is no
contrast transfer function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from saccade.data.synthetic.image_table import write_image_table
from saccade.data.volume import Volume, write_volume
from saccade.errors import InputError

VOXELS, SNR = 28, 1.0  # along each axis; variance of the signal over that of the noise
FEWEST_VOXELS = 16
RADIUS = 0.30  # of the assembly, part of the volume's side
SPREADS = 0.04, 0.06  # range of the standard deviation of subunits, part of the side: how sharp a volume is
SHIFT = 0.06  # largest shift along each axis, part of the side
TILT_DEGREES = 60.0  # projections are taken from minus to plus this, about the second axis
MASK_LEVEL = 0.5  # part of a subunit's highest density from which on a voxel belongs to the particle


def _rings(*rings: tuple[int, float, float]) -> Float[np.ndarray, "n 3"]:
    """Points on the unit sphere: of each ring how many, at which latitude, from which longitude on (degrees)."""
    points = []
    for count, latitude, first in rings:
        around = np.radians(first) + 2 * np.pi * np.arange(count) / count
        height, radius = np.sin(np.radians(latitude)), np.cos(np.radians(latitude))
        points += [(radius * np.cos(angle), radius * np.sin(angle), height) for angle in around]
    return np.array(points)


def _tetrahedron_of_pairs() -> Float[np.ndarray, "8 3"]:
    """A pair of subunits, 42 degrees apart, at each corner."""
    corners = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / np.sqrt(3)
    sideways = np.array([(1, -1, 0), (1, 1, 0), (-1, -1, 0), (-1, 1, 0)]) / np.sqrt(2)
    half = np.radians(21)
    return np.concatenate([np.cos(half) * corners + sign * np.sin(half) * sideways for sign in (-1, 1)])


def _crossed_arcs() -> Float[np.ndarray, "8 3"]:
    """Two arcs of four, back to back and at right angles."""
    angles = np.radians([-63, -21, 21, 63])
    one = np.stack([np.sin(angles), 0 * angles, np.cos(angles)], 1)
    other = np.stack([0 * angles, np.sin(angles), -np.cos(angles)], 1)
    return np.concatenate([one, other])


# Directions of the subunits from the middle.
PARTICLES: dict[str, Float[np.ndarray, "8 3"]] = {
    "arcs": _crossed_arcs(),
    "bipyramid": _rings((6, 0.0, 0.0), (1, 90.0, 0.0), (1, -90.0, 0.0)),
    "cube": _rings((4, 35.264, 0.0), (4, -35.264, 0.0)),
    "dumbbell": _rings((4, 60.0, 0.0), (4, -60.0, 0.0)),
    "pairs": _tetrahedron_of_pairs(),
    "ring": _rings((8, 0.0, 0.0)),
}


@dataclass(frozen=True, eq=False)
class Tomogram:
    """One subtomogram.

    Attributes:
        image: What the microscope shows; dense is bright.
        mask: The particle.
        particle: Its name in `PARTICLES`.
    """

    image: Float[np.ndarray, "n n n"]
    mask: Bool[np.ndarray, "n n n"]
    particle: str


def make(
    out: Path | str,
    *,
    cases: int,
    seed: int,
    snr: float = SNR,
    voxels: int = VOXELS,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Write subtomograms, as many of each particle, with a table of their classes, and the particles' masks.

    ``table.csv`` names each volume in ``images/`` and its particle; ``truth/`` has masks of the same names. One voxel
    is written as 1 mm, since NIfTI has no smaller unit.

    Args:
        out: The folder.
        cases: How many, at least 1.
        seed: 0 or more.
        snr: See `simulate_tomogram`.
        voxels: See there.
        progress: Called with (cases done, cases) after each.

    Returns:
        The ids of the cases.

    Raises:
        InputError: If a number cannot be used.
    """
    root, names = Path(out), list(PARTICLES)

    def write_case(number: int, id: str) -> tuple[str, str]:
        made = simulate_tomogram(seed, number, names[number % len(names)], snr=snr, voxels=voxels)
        for folder, array in (("images", made.image), ("truth", made.mask.astype(np.uint8))):
            write_volume(Volume(array, np.eye(4)), root / folder / f"{id}.nii.gz")
        return f"{id}.nii.gz", made.particle

    return write_image_table(root, "tomogram", cases, write_case, progress)


def simulate_tomogram(seed: int, case: int, particle: str, *, snr: float = SNR, voxels: int = VOXELS) -> Tomogram:
    """One particle, turned and shifted at random.

    Projections are taken at up to 60 degrees of tilt about the second axis: what lies in the wedge of the spectrum
    around the third axis that they do not reach is missing, from signal and noise alike.

    Args:
        seed: 0 or more.
        case: Number of the volume, 0 or more.
        particle: A name of `PARTICLES`.
        snr: Variance of the signal over that of the noise, both within the wedge; infinity for no noise.
        voxels: Along each axis, at least 16.

    Raises:
        InputError: If a number or the name cannot be used.

    >>> made = simulate_tomogram(0, 0, "ring", snr=float("inf"), voxels=16)
    >>> made.image.shape, bool(made.image[made.mask].mean() > made.image[~made.mask].mean())
    ((16, 16, 16), True)
    """
    if particle not in PARTICLES:
        raise InputError(f"tomograms: particle must be one of {', '.join(PARTICLES)}, got '{particle}'.")
    if not snr > 0:
        raise InputError(f"tomograms: snr must be above 0 (inf for no noise), got {snr:g}.")
    if voxels < FEWEST_VOXELS:
        raise InputError(f"tomograms: voxels must be at least {FEWEST_VOXELS}, got {voxels}.")
    generator = np.random.default_rng([seed, case])
    turned = Rotation.from_quat(generator.normal(size=4)).apply(PARTICLES[particle])  # any orientation equally likely
    middle = (voxels - 1) / 2 + generator.uniform(-SHIFT, SHIFT, 3) * voxels
    spread = generator.uniform(*SPREADS) * voxels
    density = _density(middle + RADIUS * voxels * turned, spread, voxels)
    seen = _without_wedge(density)
    noise = _without_wedge(generator.normal(size=density.shape))
    if np.isfinite(snr):
        seen = seen + noise * seen.std() / (noise.std() * np.sqrt(snr))
    return Tomogram((seen / density.max()).astype(np.float32), density >= MASK_LEVEL, particle)


def _density(centres: Float[np.ndarray, "n 3"], spread: float, voxels: int) -> Float[np.ndarray, "v v v"]:
    """The sum of one Gaussian of height 1 at each centre."""
    squares = (np.arange(voxels) - centres[..., None]) ** 2
    profiles = np.exp(-squares / (2 * spread**2))
    return np.einsum("ni,nj,nk->ijk", *profiles.transpose(1, 0, 2))


def _without_wedge(values: Float[np.ndarray, "v v v"]) -> Float[np.ndarray, "v v v"]:
    frequency = np.abs(np.fft.fftfreq(len(values)))
    reached = frequency[None, None, :] <= np.tan(np.radians(TILT_DEGREES)) * frequency[:, None, None]
    return np.real(np.fft.ifftn(np.fft.fftn(values) * reached))
