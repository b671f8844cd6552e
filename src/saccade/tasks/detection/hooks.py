"""What the module of a detection system offers besides `saccade.systems.Implementation`."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from saccade.losses.detection import Objects
from saccade.tasks.detection.config import DetectionConfig
from saccade.tasks.detection.detections import Located


@runtime_checkable
class DetectionSystem(Protocol):
    """A detection system's module.

    Boxes in here are corners in pixels of the prepared images, the first pixel reaching from 0 to 1, the image's last
    axis first: (x1, y1, x2, y2) of an image (c, rows, columns); of a volume (c, i, j, k) along k, j, i, as
    `saccade.layers.anchors` has them. The network takes (b, c, *space) and gives what it likes.

    A system may also have ``simplify(objects, size, config) -> Objects``: what of an image's objects it is to find, for
    training and for the scores of the run (the single largest one, say), where ``size`` is the prepared image's,
    (*space). And ``layer_groups(network) -> list[list[str]]``: patterns on names of parameters, the group nearest to
    the input first.

    Attributes:
        LOSSES: Values that ``training.loss`` may have; the first is what ``auto`` means.
    """

    LOSSES: tuple[str, ...]

    def training_loss(
        self,
        network: nn.Module,
        images: Float[Tensor, "b c *space"],
        objects: Sequence[Objects],
        config: DetectionConfig,
    ) -> dict[str, Float[Tensor, ""]]:
        """The parts of a batch's loss by name, such as ``location`` and ``classes``; their sum is minimised.

        Args:
            network: In training.
            images: Prepared and augmented.
            objects: Of each image: ``boxes`` and ``classes`` to learn from, ``ignored`` boxes that count neither as
                objects nor as background, and ``more``: of each descriptor in ``config.data.descriptors`` the number of
                each object's value, -1 where none is known.
            config: The run; ``config.training`` has the settings of the loss.
        """

    def detect(self, network: nn.Module, images: Float[Tensor, "b c *space"], config: DetectionConfig) -> list[Located]:
        """What the network finds in each of these images, duplicates removed, the surest first.

        Args:
            network: In evaluation.
            images: Prepared.
            config: The run; ``config.inference`` says how sure, how many and how far apart.
        """
