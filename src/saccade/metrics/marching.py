"""How much surface passes through the cell between 2 x 2 (x 2) voxels: marching squares and marching cubes.

A cell has a voxel centre at each corner; its code has one bit per corner, set where the voxel is in the mask. The
surface cuts the cell's edges in the middle. The tables are not typed in: they are built here from the geometry.
Marching cubes: Lorensen and Cline, 1987, https://doi.org/10.1145/37401.37422.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import product
from math import factorial

import numpy as np

Point = tuple[float, ...]


def cell_codes(mask: np.ndarray) -> np.ndarray:
    """Code of every cell that touches a voxel: one more per axis than voxels; beyond the border nothing is set."""
    padded = np.pad(mask, 1).view(np.uint8)
    codes = np.zeros([n + 1 for n in mask.shape], np.uint8)
    for bit, corner in enumerate(_corners(mask.ndim)):
        codes |= padded[tuple(slice(c, c + n + 1) for c, n in zip(corner, mask.shape, strict=True))] << bit
    return codes


@lru_cache(maxsize=64)
def cell_measures(spacing_mm: tuple[float, ...]) -> np.ndarray:
    """Length in mm (2D) or area in mm2 (3D) of the surface inside a cell, for each code."""
    axes = len(spacing_mm)
    measures = []
    for code in range(2 ** (2**axes)):
        edges = _simplex_edges(code, axes) * np.array(spacing_mm)  # simplex, edge, axis
        gram = np.linalg.det(edges @ edges.transpose(0, 2, 1))
        measures.append(np.sqrt(np.maximum(gram, 0)).sum() / factorial(axes - 1))
    return np.array(measures)


@cache
def _simplex_edges(code: int, axes: int) -> np.ndarray:
    """The segments or triangles of one code, each as its edges from its first point, on the cell of side 1."""
    simplices = [simplex for outline in _outlines(code, axes) for simplex in _largest_triangulation(outline)]
    points = np.array(simplices, float).reshape(-1, axes, axes)
    return points[:, 1:] - points[:, :1]


def _outlines(code: int, axes: int) -> list[list[Point]]:
    """The pieces of surface in a cell: segments of a square, closed polygons of a cube."""
    if code.bit_count() > 2 ** (axes - 1):
        code = 2 ** (2**axes) - 1 - code  # a mask and its complement share their surface
    inside = {corner for bit, corner in enumerate(_corners(axes)) if code >> bit & 1}
    segments = [segment for face in _faces(axes) for segment in _cut_face(face, inside)]
    return segments if axes == 2 else _chain(segments)


def _corners(axes: int) -> list[tuple[int, ...]]:
    return list(product((0, 1), repeat=axes))


def _faces(axes: int) -> Iterator[list[tuple[int, ...]]]:
    """The square itself, or the six squares of a cube; the corners of each in going round."""
    ring: list[tuple[int, ...]] = [(0, 0), (0, 1), (1, 1), (1, 0)]
    if axes == 2:
        yield ring
        return
    for axis, side in product(range(3), (0, 1)):
        yield [(*corner[:axis], side, *corner[axis:]) for corner in ring]


def _cut_face(face: list[tuple[int, ...]], inside: set[tuple[int, ...]]) -> list[list[Point]]:
    """Segments between the middles of those edges of a face that join inside and outside."""
    middles: list[Point] = [tuple((p + q) / 2 for p, q in zip(a, face[i - 3], strict=True)) for i, a in enumerate(face)]
    crossed = [i for i, corner in enumerate(face) if (corner in inside) != (face[i - 3] in inside)]
    if len(crossed) == 4:  # two opposite corners: each is cut off by itself
        return [[middles[i - 1], middles[i]] for i, corner in enumerate(face) if corner in inside]
    return [[middles[i] for i in crossed]] if crossed else []


def _chain(segments: list[list[Point]]) -> list[list[Point]]:
    """Join segments that share end points into closed polygons."""
    links: dict[Point, list[Point]] = {}
    for a, b in segments:
        links.setdefault(a, []).append(b)
        links.setdefault(b, []).append(a)
    polygons = []
    while links:
        polygon = [next(iter(links))]
        while following := [point for point in links.pop(polygon[-1]) if point in links]:
            polygon.append(following[0])
        polygons.append(polygon)
    return polygons


def _largest_triangulation(outline: list[Point]) -> list[list[Point]]:
    """Fill a polygon with triangles; of all ways the one with the largest area on the cell of side 1.

    A bent polygon has several fillings of different area. This choice is the one that reproduces the areas of
    google-deepmind/surface-distance, for every code and spacing.
    """
    if len(outline) == 2:
        return [outline]
    return max(_triangulations(outline), key=lambda triangles: round(sum(map(_unit_area, triangles)), 9))


def _triangulations(polygon: list[Point]) -> Iterator[list[list[Point]]]:
    if len(polygon) < 3:
        yield []
        return
    for k in range(1, len(polygon) - 1):  # the third corner of the triangle on the edge that closes the polygon
        for before, after in product(_triangulations(polygon[: k + 1]), _triangulations(polygon[k:])):
            yield [*before, [polygon[0], polygon[k], polygon[-1]], *after]


def _unit_area(triangle: list[Point]) -> float:
    a, b, c = np.array(triangle)
    return float(np.linalg.norm(np.cross(b - a, c - a)) / 2)
