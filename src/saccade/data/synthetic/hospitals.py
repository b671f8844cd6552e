"""What differs between hospitals: who comes, how contrast is given, how the scanner is set."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hospital:
    """Patients and scanner of one hospital.

    Attributes:
        stature: Size of the patients along right, anterior, superior; 1 as in the atlas.
        enhancement: What HU above water are multiplied by: less where the scan is early or the dose small.
        offset_hu: Added to what lies inside the body, as by another calibration or reconstruction kernel.
        noise_hu: Standard deviation between voxels, drawn for each case between these.
        noise_grain: Standard deviation in voxels of the filter that correlates the noise.
        blur: The same, of the scanner's own blur.
        voxel: Voxel size in plane and thickness of slices, as multiples of the atlas'.
    """

    stature: tuple[float, float, float] = (1.0, 1.0, 1.0)
    enhancement: float = 1.0
    offset_hu: float = 0.0
    noise_hu: tuple[float, float] = (10.0, 25.0)
    noise_grain: float = 0.55
    blur: float = 0.35
    voxel: tuple[float, float] = (1.0, 1.0)


HOSPITALS = {
    "a": Hospital(),
    "b": Hospital(
        stature=(0.9, 0.84, 0.94),
        enhancement=0.72,
        offset_hu=-12.0,
        noise_hu=(22.0, 40.0),
        noise_grain=0.8,
        blur=0.5,
        voxel=(0.9, 1.4),
    ),
}
