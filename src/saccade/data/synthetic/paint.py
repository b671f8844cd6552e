"""Painting a simulated patient on a voxel grid: partial volume in the image, the majority in the labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from saccade.data.synthetic.anatomy import Body, Cut, Layer, Structure
from saccade.data.synthetic.shapes import Part, coverage, soft_union, tube, waves

CHUNK = 6  # segments of a tube whose distance is computed in one box
MARGIN_MM = 10.0  # around a structure; further away its function is this constant
BOUND_GAP_MM = {"cavity": 1.5, "dome": 4.0}  # left between an organ and the wall, and for the diaphragm

Box = tuple[slice, slice, slice]
WHOLE: Box = (slice(None), slice(None), slice(None))


@dataclass
class Canvas:
    """The voxels being painted, and where each lies in the patient.

    Attributes:
        p: (3, i, j, k) float32, mm in the patient's undeformed frame.
        to_voxel: 4x4, from that frame to voxel indices, the deformation (at most ``reach_mm``) aside.
        grain: Waves of the texture of uneven contents.
        bounds: Functions of the whole grid that structures may have to stay inside.
    """

    p: np.ndarray
    to_voxel: np.ndarray
    reach_mm: float
    hu: np.ndarray
    label: np.ndarray
    bounds: dict[str, np.ndarray]
    grain: np.ndarray

    @classmethod
    def of(cls, body: Body, affine: np.ndarray, shape: tuple[int, int, int]) -> "Canvas":
        """An empty canvas of air; the affine leads from voxels to mm in the scanner, centred on the patient."""
        index = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))
        p = (
            np.tensordot(affine[:3, :3].astype(np.float32), index, axes=1)
            + affine[:3, 3].astype(np.float32)[:, None, None, None]
        )
        displacement = np.stack([waves(p, body.warp[axis]) for axis in range(3)])
        p += displacement
        p /= body.size.astype(np.float32)[:, None, None, None]
        grow = np.diag([*body.size, 1.0])
        hu = np.full(shape, body.hu["air"], np.float32)
        return cls(
            p,
            np.linalg.inv(affine) @ grow,
            float(np.abs(displacement).max()),
            hu,
            np.zeros(shape, np.uint8),
            {},
            body.grain,
        )

    def box(self, low: np.ndarray, high: np.ndarray) -> Box | None:
        """The voxels that may lie between two corners (mm, patient frame); None where there are none."""
        corners = np.stack(np.meshgrid(*np.stack([low - self.reach_mm, high + self.reach_mm], axis=1), indexing="ij"))
        voxels = np.tensordot(self.to_voxel[:3, :3], corners, axes=1).reshape(3, -1) + self.to_voxel[:3, 3:]
        first = np.maximum(np.floor(voxels.min(1)).astype(int), 0)
        last = np.minimum(np.ceil(voxels.max(1)).astype(int) + 1, self.label.shape)
        if (last - first < 2).any():  # a slope needs two voxels
            return None
        i, j, k = (slice(a, b) for a, b in zip(first, last, strict=True))
        return i, j, k

    def paint(self, box: Box, f: np.ndarray, hu: float | np.ndarray, label: int | None = None) -> None:
        """Lay a material over what is there, wherever the shape covers the voxel."""
        share = coverage(f)
        self.hu[box] += share * (hu - self.hu[box])
        if label is not None:
            self.label[box][f < 0] = label


def paint_structure(canvas: Canvas, structure: Structure, fat_hu: float) -> None:
    """Paint one structure with its rim of fat and its layers; nothing happens where it lies outside the field."""
    lows, highs = zip(*(part.bounds(MARGIN_MM + structure.halo_mm) for part in structure.parts), strict=True)
    box = canvas.box(np.min(lows, axis=0), np.max(highs, axis=0))
    if box is None:
        return
    f = _shape(canvas, structure, box)
    label = None if structure.label < 0 else structure.label
    if structure.halo_mm:
        rim = f - structure.halo_mm
        for name in structure.inside:
            np.maximum(rim, canvas.bounds[name][box], out=rim)
        canvas.paint(box, rim, fat_hu, 0)
    for layer in structure.layers:
        canvas.paint(box, _layer_shape(canvas, box, f, layer), _layer_hu(canvas, box, layer), label)


def _shape(canvas: Canvas, structure: Structure, box: Box) -> np.ndarray:
    p = canvas.p[(slice(None), *box)]
    f: np.ndarray | None = None
    for part in structure.parts:
        one = _part_shape(canvas, part, box, p.shape[1:], MARGIN_MM + structure.halo_mm)
        if f is None:
            f = one
        else:
            f = soft_union(f, one, structure.blend_mm) if structure.blend_mm else np.minimum(f, one)
    if f is None:
        raise ValueError(f"{structure.name}: a structure must have a part, got none.")
    f += waves(p, structure.waves)
    for cut in structure.cuts:
        f = _without(f, p, cut)
    for name in structure.inside:
        np.maximum(f, canvas.bounds[name][box] + np.float32(BOUND_GAP_MM[name]), out=f)
    return f


def _part_shape(canvas: Canvas, part: Part, box: Box, shape: Sequence[int], margin_mm: float) -> np.ndarray:
    """The function of one part, in chunks: far from a piece of a long tube it need not be computed."""
    f = np.full(shape, margin_mm, np.float32)
    for start in range(0, max(1, len(part.points) - 1), CHUNK):
        piece = replace(
            part, points=part.points[start : start + CHUNK + 1], radii=part.radii[start : start + CHUNK + 1]
        )
        near = canvas.box(*piece.bounds(margin_mm))
        if near is None:
            continue
        inner = tuple(slice(max(0, n.start - b.start), n.stop - b.start) for n, b in zip(near, box, strict=True))
        f[inner] = np.minimum(f[inner], tube(canvas.p[(slice(None), *near)], piece))
    return f


def _without(f: np.ndarray, p: np.ndarray, cut: Cut) -> np.ndarray:
    plane = np.tensordot(cut.normal.astype(np.float32), p, axes=1) - np.float32(cut.normal @ cut.point)
    return -soft_union(-f, -plane, cut.blend_mm)


def _layer_shape(canvas: Canvas, box: Box, f: np.ndarray, layer: Layer) -> np.ndarray:
    deep = f + np.float32(layer.depth_mm)
    if layer.front_of_mm is None:
        return deep
    return np.maximum(deep, np.float32(layer.front_of_mm) - canvas.p[1][box])


def _layer_hu(canvas: Canvas, box: Box, layer: Layer) -> float | np.ndarray:
    return (
        layer.hu + layer.mottle_hu * waves(canvas.p[(slice(None), *box)], canvas.grain) if layer.mottle_hu else layer.hu
    )
