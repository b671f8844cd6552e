"""Which detection is a hit: once for each object, as Pascal VOC and as COCO decide it."""

from dataclasses import dataclass

import numpy as np
import torch

from saccade.layers.boxes import content, jaccard

HIT, FALSE, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class Found:
    """Detections in an image.

    Attributes:
        boxes: (n, 2d) corners.
        scores: (n,) higher for surer ones.
        names: (n,) of their classes.
    """

    boxes: np.ndarray
    scores: np.ndarray
    names: tuple[str, ...]

    def of(self, name: str, most: int | None) -> "Found":
        """Those of a class, the surest first, at most so many."""
        chosen = np.array([own == name for own in self.names], bool)
        order = np.argsort(-self.scores[chosen], kind="stable")[:most]
        return Found(self.boxes[chosen][order], self.scores[chosen][order], (name,) * len(order))


@dataclass(frozen=True)
class Truth:
    """Objects of an image.

    Attributes:
        boxes: (n, 2d) corners.
        names: (n,) of their classes.
        difficult: (n,) Neither found nor missed do they count.
        crowd: (n,) They hold many; COCO lets any number of detections fall into one.
    """

    boxes: np.ndarray
    names: tuple[str, ...]
    difficult: np.ndarray
    crowd: np.ndarray

    @property
    def ignored(self) -> np.ndarray:
        """Those that do not count."""
        return self.difficult | self.crowd

    def of(self, name: str) -> "Truth":
        """Those of a class."""
        chosen = np.array([own == name for own in self.names], bool)
        return Truth(self.boxes[chosen], (name,) * int(chosen.sum()), self.difficult[chosen], self.crowd[chosen])


def match_voc(found: Found, truth: Truth, overlap: float) -> np.ndarray:
    """Each detection goes to the object that it overlaps most; the first to reach an object is its hit.

    Everingham et al. 2010, section 4.2: later ones are false positives, those on a difficult object do not count.

    Args:
        found: Of one class, the surest first.
        truth: Of that class.
        overlap: Jaccard overlap from which an object is reached.

    Returns:
        (n,) 1 for a hit, 0 for a false positive, -1 for what does not count.
    """
    hits = np.zeros(len(found.scores), int)
    if not len(truth.boxes):
        return hits
    overlaps = _overlaps(found.boxes, truth.boxes)
    taken = np.zeros(len(truth.boxes), bool)
    for number, best in enumerate(overlaps.argmax(1)):
        if overlaps[number, best] < overlap:
            continue
        if truth.ignored[best]:
            hits[number] = IGNORED
        elif not taken[best]:
            hits[number], taken[best] = HIT, True
    return hits


def judge(found: Found, truth: Truth, overlap: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """All detections and objects of an image, class by class as `match_voc` has it.

    Args:
        found: In any order.
        truth: Of any classes.
        overlap: Jaccard overlap from which an object is reached.

    Returns:
        Of each detection 1 for a hit, 0 for a false positive, -1 for what does not count; and whether each object was
        hit.
    """
    states, reached = np.zeros(len(found.names), int), np.zeros(len(truth.names), bool)
    for name in dict.fromkeys(found.names):
        own, there = (np.flatnonzero([other == name for other in side.names]) for side in (found, truth))
        own = own[np.argsort(-found.scores[own], kind="stable")]
        said, known = found.of(name, None), truth.of(name)
        states[own] = match_voc(said, known, overlap)
        if len(there):
            best = _overlaps(said.boxes, known.boxes).argmax(1)
            reached[there[best[states[own] == HIT]]] = True
    return states, reached


def match_coco(found: Found, truth: Truth, overlap: float) -> np.ndarray:
    """Each detection goes to the object that it overlaps most of those that are still free.

    Lin et al. 2014 and their code: objects that count come before those that do not; of a crowd the part of the
    detection that lies in it is what is compared, and it never is taken.

    Args and returns as `match_voc`.
    """
    hits = np.zeros(len(found.scores), int)
    if not len(truth.boxes):
        return hits
    overlaps = _overlaps(found.boxes, truth.boxes)
    overlaps[:, truth.crowd] = _inside(found.boxes, truth.boxes[truth.crowd])
    taken = np.zeros(len(truth.boxes), bool)
    for number, row in enumerate(overlaps):
        for counts in (True, False):
            free = (truth.ignored != counts) & (~taken | truth.crowd) & (row >= overlap)
            if free.any():
                best = int(np.flatnonzero(free)[row[free].argmax()])
                taken[best] = True
                hits[number] = HIT if counts else IGNORED
                break
    return hits


def _overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return jaccard(torch.from_numpy(first), torch.from_numpy(second)).numpy()


def _inside(boxes: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """Which part of each box lies in each crowd."""
    first, second = torch.from_numpy(boxes), torch.from_numpy(crowds)
    both = jaccard(first, second)
    # shared = J (a + b) / (1 + J)
    shared = both * (content(first)[:, None] + content(second)) / (1 + both)
    return (shared / content(first)[:, None].clamp_min(1e-12)).numpy()
