"""What a data set for detection is made of: scenes, each one image and the objects in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from saccade.data.layout_case import Fault
from saccade.errors import InputError

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Object:
    """One object of an image.

    Attributes:
        box: Its corners, (x1, y1, x2, y2) in pixels or (x1, y1, z1, x2, y2, z2) in mm. Of a picture the first pixel
            reaches from 0 to 1: a box of one pixel is (0, 0, 1, 1). Of a volume they are world coordinates, RAS+.
        name: Of its class.
        difficult: Neither found nor missed counts (Pascal VOC).
        crowd: The box holds many that nobody told apart (COCO).
        more: Other things that its file says, by name, in the words of the file.
    """

    box: tuple[float, ...]
    name: str
    difficult: bool = False
    crowd: bool = False
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """One image and its objects.

    Attributes:
        id: The name that predictions of this image carry.
        image: Its file.
        objects: In the order of their file; there may be none.
        size: Columns and rows that the file of objects claims; None where it says nothing.
        split: "train", "validation" or "test" when the layout says so.
    """

    id: str
    image: Path
    objects: tuple[Object, ...]
    size: tuple[int, int] | None = None
    split: str | None = None


@dataclass(frozen=True)
class BoxDataset:
    """The scenes of a folder.

    Attributes:
        root: The folder, or the file, that was given.
        layout: "voc", "coco" or "table".
        scenes: In order of id.
        names: The classes: as the data set lists them, else those that are there, in order.
        faults: What is wrong with the files of objects; no image has been opened for these.
    """

    root: Path
    layout: str
    scenes: tuple[Scene, ...]
    names: tuple[str, ...]
    faults: tuple[Fault, ...] = ()

    def labelled(self) -> list[Scene]:
        """All scenes: one without objects says that none is there."""
        return list(self.scenes)

    def case(self, id: str) -> Scene:
        """As `scene`, under the name that data sets of all tasks have for it."""
        return self.scene(id)

    def scene(self, id: str) -> Scene:
        """The scene of that id.

        Raises:
            InputError: If there is none.
        """
        if id not in self._by_id:
            raise InputError(f"{self.root}: must hold scene '{id}', got {len(self.scenes)} other scene(s).")
        return self._by_id[id]

    @property
    def dims(self) -> int:
        """Axes of the boxes: 2, or 3 for volumes; 2 where there is no box."""
        return next((len(item.box) // 2 for scene in self.scenes for item in scene.objects), 2)

    @cached_property
    def _by_id(self) -> dict[str, Scene]:
        return {scene.id: scene for scene in self.scenes}


def repeated_scenes(scenes: list[Scene]) -> list[Fault]:
    """A fault for each scene whose id an earlier one has."""
    first: dict[str, Scene] = {}
    return [
        Fault(scene.id, str(scene.image), "duplicate case", "an id of its own", f"that of {first[scene.id].image}")
        for scene in scenes
        if first.setdefault(scene.id, scene) is not scene
    ]


def names_of(scenes: list[Scene]) -> tuple[str, ...]:
    """Classes that are there, in order."""
    return tuple(sorted({item.name for scene in scenes for item in scene.objects}))
