"""The trunk of a simulated patient: skin, fat, muscle wall, ribs, lungs, spine; and the bounds of the organs' space."""

from functools import reduce

import numpy as np

from saccade.data.synthetic.anatomy import Body
from saccade.data.synthetic.paint import WHOLE, Canvas
from saccade.data.synthetic.shapes import barrel, soft_union

VERTEBRA_MM = 34.0  # height of a vertebra with its disc
DISC_MM = 8.0
DOME_FILLET_MM = 14.0
LUNG_FLOOR_MM = 28.0  # how far down the lung's lowest edge comes
MEDIASTINUM_MM = (36.0, 22.0)  # half-width, and how far left of the middle its centre lies
RIB_PERIOD_MM = 27.0  # along the body's axis
RIB_MM = (5.5, 4.0)  # half-height, half-thickness
RIB_SLOPE = 0.55  # fall towards the front, mm per mm


def paint_trunk(canvas: Canvas, body: Body) -> None:
    """Paint everything that is not an organ, and set the canvas' bounds "cavity" and "dome"."""
    p, hu = canvas.p, body.hu
    skin = barrel(p, half_width_mm=body.half_width, half_depth_mm=body.half_depth)
    canvas.paint(WHOLE, skin, hu["skin"])
    canvas.paint(WHOLE, skin + np.float32(2), hu["fat"])
    muscle = barrel(p, half_width_mm=body.half_width - body.fat, half_depth_mm=body.half_depth - 0.8 * body.fat)
    canvas.paint(WHOLE, muscle, hu["muscle"])
    cavity = _cavity(p, body)
    canvas.paint(WHOLE, cavity, hu["fat"])
    dome = _dome(p, body)
    canvas.bounds.update(cavity=cavity, dome=dome)
    _paint_ribs(canvas, body, muscle)
    lung = np.maximum(cavity - np.float32(3), -dome)
    lung = np.maximum(lung, _mediastinum(p))
    canvas.paint(WHOLE, lung - np.float32(3), hu["muscle"])  # the diaphragm
    canvas.paint(WHOLE, lung, hu["lung"])


def paint_spine(canvas: Canvas, body: Body) -> None:
    """Paint vertebrae, discs, the canal and the processes, over whatever organ reaches there."""
    box = canvas.box(np.array([-48.0, -body.half_depth, -400.0]), np.array([48.0, -10.0, 400.0]))
    if box is None:
        return
    x, y, z = canvas.p[(slice(None), *box)]
    hu = body.hu
    column = (np.sqrt((x / 25) ** 2 + ((y + 42) / 18) ** 2) - 1) * np.float32(20)
    period = np.mod(z / VERTEBRA_MM + body.spine_phase, 1) * VERTEBRA_MM
    middle = np.abs(period - VERTEBRA_MM / 2)  # mm from the middle of a vertebra, at most half a period
    bone = np.maximum(column, middle - np.float32((VERTEBRA_MM - DISC_MM) / 2))
    spinous = np.maximum(np.maximum(np.abs(x) - 4, np.abs(y + 90) - 18), middle - 9)
    transverse = np.maximum(np.maximum(np.abs(x) - 40, np.abs(y + 66) - 4.5), middle - 5)
    arch = np.maximum(np.abs(np.sqrt((x / 17) ** 2 + ((y + 68) / 14) ** 2) - 1) * np.float32(15) - 5, middle - 11)
    back = np.minimum(np.minimum(spinous, transverse), arch)
    canal = (np.sqrt((x / 10) ** 2 + ((y + 68) / 9) ** 2) - 1) * np.float32(9.5)
    canvas.paint(box, column, hu["disc"], 0)
    for shape, cortex_mm in ((bone, 2.0), (back, 1.5)):
        canvas.paint(box, shape, hu["cortex"], 0)
        canvas.paint(box, shape + np.float32(cortex_mm), hu["bone"], 0)
    canvas.paint(box, canal, hu["cord"], 0)


def _cavity(p: np.ndarray, body: Body) -> np.ndarray:
    """The space of the organs: its front follows the body's front, its back leaves room for the muscles of the back."""
    half_width = body.half_width - body.fat - body.wall
    front = body.half_depth - 0.8 * body.fat - 0.7 * body.wall - body.cavity_y
    ahead = barrel(p, half_width_mm=half_width, half_depth_mm=front, y_mm=body.cavity_y)
    behind = barrel(p, half_width_mm=half_width, half_depth_mm=body.cavity_back, y_mm=body.cavity_y)
    return np.where(p[1] > body.cavity_y, ahead, behind)


def _dome(p: np.ndarray, body: Body) -> np.ndarray:
    """Height over the diaphragm, negative below it."""
    width, depth, drop = body.dome_shape
    tops = [
        drop * (((p[0] - x) / width) ** 2 + ((p[1] - y) / depth) ** 2) - z for x, y, z in body.domes.astype(np.float32)
    ]
    inverted = reduce(lambda one, other: soft_union(one, other, DOME_FILLET_MM), tops)
    return p[2] + np.minimum(inverted, np.float32(-LUNG_FLOOR_MM))


def _mediastinum(p: np.ndarray) -> np.ndarray:
    """Positive in the middle of the chest, where there is no lung."""
    half_width, left = MEDIASTINUM_MM
    return np.float32(half_width) - np.abs(p[0] + np.float32(left) * (p[1] > 0))


def _paint_ribs(canvas: Canvas, body: Body, muscle: np.ndarray) -> None:
    p = canvas.p
    half_height, half_thickness = RIB_MM
    in_wall = np.abs(muscle + np.float32(half_thickness + 3)) - np.float32(half_thickness)
    along = p[2] + np.float32(RIB_SLOPE) * p[1]
    stripes = np.abs(np.mod(along, RIB_PERIOD_MM) - RIB_PERIOD_MM / 2) - half_height
    # The costal margin rises towards the middle in front; behind, ribs end at the spine's muscles.
    margin = np.float32(-8) + np.maximum(p[1], 0) * 0.5 + np.maximum(70 - np.abs(p[0]), 0) * 1.3 - p[2]
    f = np.maximum(np.maximum(in_wall, stripes), margin)
    canvas.paint(WHOLE, f, body.hu["cortex"])
    canvas.paint(WHOLE, f + np.float32(2), body.hu["bone"])
