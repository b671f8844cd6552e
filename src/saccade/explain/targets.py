"""What is explained: a number per item, out of whatever a network gives."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from saccade.errors import InputError
from saccade.explain.hooks import run_quietly
from saccade.layers.boxes import jaccard

UNSURE = 1e-6  # a detection's score that is as good as none

Function = Callable[[Any], Any]
Target = int | np.integer | Tensor | np.ndarray | Function | Sequence[int | np.integer | Function]


class Score:
    """The number that is explained, of each item of a batch.

    Args:
        target: A class number, a function of the network's output, or a sequence with one of these for each item. A
            function gets the output for one item (its batch axis is kept and is 1) and gives one number.
        items: Items in the batch that is explained.
        who: Stands in front of errors.

    Raises:
        InputError: If the target is neither, or there are more or fewer than items.
    """

    def __init__(self, target: Target, items: int, who: str) -> None:
        self.who = who
        several = isinstance(target, Sequence) or (isinstance(target, Tensor | np.ndarray) and target.ndim > 0)
        each: list[Any] = list(target) if several else [target] * items  # type: ignore[arg-type]
        if len(each) != items:
            raise InputError(
                f"{who}: target must be one for all items or a list with one for each of the {items} items, "
                f"got {len(each)}."
            )
        self._functions = [one if callable(one) else _class_score(class_number(one, who), who) for one in each]

    def __call__(self, output: Any) -> Float[Tensor, "items"]:
        """The score of each item, from the output for the batch."""
        count = len(self._functions)
        return torch.stack([self._value(f, _item(output, n, count)) for n, f in enumerate(self._functions)])

    def of_copies(self, item: int, output: Any, copies: int) -> Float[Tensor, "copies"]:
        """The scores of one item, from the output for a batch that holds altered copies of it."""
        function = self._functions[item]
        return torch.stack([self._value(function, _item(output, n, copies)) for n in range(copies)])

    def _value(self, function: Function, output: Any) -> Tensor:
        value = function(output)
        value = value if isinstance(value, Tensor) else torch.as_tensor(value)
        if value.numel() != 1:
            raise InputError(f"{self.who}: target must give one number per item, got shape {tuple(value.shape)}.")
        value = value.reshape(())
        return value if value.is_floating_point() else value.float()


def class_number(value: Any, who: str) -> int:
    """A class as an int.

    Raises:
        InputError: If it is none.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InputError(
            f"{who}: target must be a class number, a function of the network's output, or a list with one for each "
            f"item, got {type(value).__name__}."
        ) from None


def counterfactual(target: Target) -> Target:
    """The negative of a target: what speaks against it (Grad-CAM's counterfactual explanations).

    Selvaraju et al., 2017, https://arxiv.org/abs/1610.02391, section 7: regions whose removal would raise the score.

    >>> float(Score(counterfactual(1), 1, "example")(torch.tensor([[2.0, 5.0]])))
    -5.0
    """
    if isinstance(target, Sequence) or (isinstance(target, Tensor | np.ndarray) and target.ndim > 0):
        return [_negative(one) for one in target]
    return _negative(target)


def _negative(target: Any) -> Function:
    function = target if callable(target) else _class_score(class_number(target, "counterfactual"), "counterfactual")
    return lambda output: -function(output)


def class_in_region(number: int, region: Tensor | np.ndarray) -> Function:
    """Target of a segmentation network: a class's scores, summed over a region.

    Seg-Grad-CAM, Vinogradova et al., 2020, https://arxiv.org/abs/2002.11434: ``y = sum over i in M of logit_c(i)``. A
    class number alone takes every position.

    Args:
        number: Channel of the output.
        region: Mask on the output's grid; may be one position.

    Raises:
        InputError: If the region is empty; while explaining, if it has another shape than the output.
    """
    mask = torch.as_tensor(region).bool()
    if not mask.any():
        raise InputError("class_in_region: the region must hold at least one position, got an empty mask.")

    def score(output: Any) -> Tensor:
        channel = _classes(output, "class_in_region", number)[0, number]
        if channel.shape != mask.shape:
            raise InputError(
                f"class_in_region: the region must have the output's shape {tuple(channel.shape)}, "
                f"got {tuple(mask.shape)}."
            )
        return channel[mask.to(channel.device).clone()].sum()  # a mask made in inference mode cannot be kept for later

    return score


def output_element(*index: int, part: int | str | None = None) -> Function:
    """Target that is one number of the output, wherever it stands.

    A regression output is ``output_element(column)``; a detection's score ``output_element(anchor, class_, part=0)``
    of a network that gives (scores, boxes); a word of a caption ``output_element(step, word)``.

    Args:
        index: Position behind the batch axis.
        part: Which part of a tuple (a number) or of a mapping (a key).

    Raises:
        InputError: While explaining, if there is no such element.

    >>> output = (torch.zeros(1, 4, 4), torch.arange(6.0).reshape(1, 3, 2))
    >>> float(output_element(2, 1, part=1)(output))
    5.0
    """

    def score(output: Any) -> Tensor:
        try:
            found = output if part is None else output[part]
            element = found[(0, *index)]
        except (IndexError, KeyError, TypeError) as error:
            raise InputError(
                f"output_element: the output has no element {index}"
                + ("" if part is None else f" in part {part!r}")
                + f" ({str(error).splitlines()[0] if str(error) else type(error).__name__})."
            ) from None
        if not isinstance(element, Tensor) or element.ndim:
            shape = tuple(element.shape) if isinstance(element, Tensor) else type(element).__name__
            raise InputError(f"output_element: {index} must lead to one number, it leads to {shape}.")
        return element

    return score


def detection_score(box: Sequence[float | int], number: int, *, overlap: float = 0.5) -> Function:
    """Target that is how sure a detector is of one of its detections, in logits.

    ``log(p / (1 - p))`` of the highest score p among what it then says of this class that overlaps the box by half:
    when the input changes a little, other anchors may come to stand for the same object.

    The network gives boxes (b, n, 2d), scores (b, n) from 0 to 1 and classes (b, n), or a list with a mapping of
    ``boxes``, ``scores`` and ``labels`` for each item. It must not leave out what is unsure: where nothing is left, the
    target is that of a score of one in a million and has no gradient.

    Args:
        box: Corners, in the units of the network's boxes.
        number: Of the class.
        overlap: Jaccard overlap from which a box stands for the same object.

    Raises:
        InputError: While explaining, if the output has another form.

    >>> boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 3], [8, 8, 9, 9]]])
    >>> said = (boxes, torch.tensor([[0.2, 0.5, 0.9]]), torch.tensor([[1, 1, 1]]))
    >>> float(detection_score([0, 0, 4, 4], 1)(said))
    0.0
    """
    wanted = torch.tensor([list(map(float, box))])

    def score(output: Any) -> Tensor:
        boxes, scores, classes = _detections(output)
        near = jaccard(boxes.detach().float(), wanted.to(boxes.device))[:, 0] >= overlap
        chosen = scores[near & (classes == number)]
        sure = chosen.max() if len(chosen) else 0 * scores.sum()
        return torch.logit(sure.clamp(UNSURE, 1 - UNSURE))

    return score


def _detections(output: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and classes of one item."""
    try:
        if isinstance(output[0], Mapping):
            parts = [output[0][name] for name in ("boxes", "scores", "labels")]
        else:
            parts = [part[0] for part in output]
        boxes, scores, classes = parts
        if boxes.shape[0] == scores.shape[0] == classes.shape[0] and boxes.shape[1] in (4, 6):
            return boxes, scores, classes
    except (IndexError, KeyError, TypeError, ValueError, AttributeError):
        pass
    raise InputError(
        "detection_score: the network must give boxes (b, n, 4 or 6), scores (b, n) and classes (b, n), or a list with "
        f"boxes, scores and labels of each item, it gives {type(output).__name__}."
    )


def top_classes(network: nn.Module, x: Float[Tensor, "1 c *space"], k: int = 5) -> list[int]:
    """The classes with the highest scores of one image, best first.

    Raises:
        InputError: If the network gives no scores (1, classes), or fewer than ``k``.

    >>> network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> top_classes(network, torch.tensor([1.0, 3.0, 2.0]).reshape(1, 3, 1, 1), k=2)
    [1, 2]
    """
    output = run_quietly(network, x)
    if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[0] != 1:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(f"top_classes: the network must give scores of shape (1, classes), got {shape}.")
    if not 1 <= k <= output.shape[1]:
        raise InputError(f"top_classes: k must be from 1 to {output.shape[1]}, the number of classes, got {k}.")
    return [int(number) for number in output[0].topk(k).indices]


def _class_score(number: int, who: str) -> Function:
    return lambda output: _classes(output, who, number)[:, number].sum()


def _classes(output: Any, who: str, number: int) -> Tensor:
    """The output for one item, as (1, classes, ...), when it has this class."""
    if not isinstance(output, Tensor):
        raise InputError(
            f"{who}: a class as target needs a network that gives one tensor, this one gives "
            f"{type(output).__name__}. Give a function of it, or output_element(..., part=...)."
        )
    classes = output[:, None] if output.ndim == 1 else output
    if classes.ndim < 2 or classes.shape[0] != 1:
        raise InputError(
            f"{who}: the network must keep the batch axis, its output for one item has shape {tuple(output.shape)}."
        )
    if not 0 <= number < classes.shape[1]:
        raise InputError(f"{who}: target must be a class from 0 to {classes.shape[1] - 1}, got {number}.")
    return classes


def _item(output: Any, index: int, items: int) -> Any:
    """What belongs to one item of a batch, in every tensor of an output that has the batch's length."""
    if items == 1:
        return output
    if isinstance(output, list) and len(output) == items and all(isinstance(part, Mapping) for part in output):
        return output[index : index + 1]

    def cut(part: Any) -> Any:
        belongs = isinstance(part, Tensor) and part.ndim > 0 and part.shape[0] == items
        return part[index : index + 1] if belongs else part

    return tree_map(cut, output)
