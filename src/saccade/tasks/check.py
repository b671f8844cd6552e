"""A look before hours of training: shapes, the first loss, gradients everywhere, a small batch learned by heart."""

import copy
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from saccade.errors import InputError, RunError
from saccade.tasks.environment import fast_bfloat16
from saccade.tasks.module import TaskModule, Trial

STEPS = 40
MAX_SECONDS = 20.0
FALL = 0.95  # the loss on one batch must come below this part of its start


def check_training(module: TaskModule, batch: Any, device: str = "cpu") -> list[str]:
    """Try one batch on a copy of the network; the module is left as it was.

    Args:
        module: As it will be trained.
        batch: Of the training; `TaskModule.trial` says what of it is tried.
        device: Kind of device that it will be trained on.

    Returns:
        What was found, a line each; a line that starts with "warning" deserves a look.

    Raises:
        InputError: If the network cannot take such images at all, or its gradients would be wrong in bf16.
        RunError: If the output is no tensor or has another shape than the labels, the loss is not a number, or a
            parameter gets no gradient or one that is no number.
    """
    trial = module.trial(batch)
    image, expected = trial.image, trial.expected
    network = copy.deepcopy(module.network).train()
    check_bfloat16(module, image, device)
    try:
        logits = network(image)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(f"check: the network cannot take images of shape {tuple(image.shape)}: {reason}.") from None
    if expected is not None:
        _check_logits(logits, expected)
    start = trial.loss(network)
    if not torch.isfinite(start):
        raise RunError(
            f"check: the loss must be a number at the start, got {start.item()}. Look at intensity and labels."
        )
    start.backward()
    without = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    if without:
        raise RunError(
            f"check: {len(without)} parameter(s) get no gradient, first {without[0]}. "
            "Remove what is not used, or leave it out with --freeze."
        )
    broken = [name for name, p in network.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    if broken:
        raise RunError(f"check: the gradient of {broken[0]} must be of finite numbers, has NaN or infinity.")
    first, last, steps, seconds = _learn_by_heart(module, network, trial)
    lines = [
        f"shapes: image {tuple(image.shape)}" + ("" if expected is None else f" -> logits {expected}"),
        f"loss at the start {start.item():.4f}" + ("" if trial.chance is None else f" (chance is {trial.chance:.4f})"),
        f"one {trial.unit}: loss {first:.4f} -> {last:.4f} in {steps} steps, {seconds / max(1, steps):.2f} s a step",
    ]
    if module.settings.precision == "bf16-mixed" and device == "cpu" and not fast_bfloat16():
        lines.append("warning: this processor has no bfloat16 instructions; training.precision=32-true is faster here")
    if last > first - (1 - FALL) * abs(first):
        what = f"the loss on a single {trial.unit} hardly falls"
        lines.append(f"warning: {what}; look at learning rate, labels and intensity")
    return lines


def _check_logits(logits: Any, expected: tuple[int, ...]) -> None:
    if not isinstance(logits, Tensor):
        kind = type(logits).__name__
        raise RunError(f"check: the network must give one tensor of logits, gave a {kind}. Return the finest ones.")
    if tuple(logits.shape) != expected:
        raise RunError(f"check: the network must give logits of shape {expected}, got {tuple(logits.shape)}.")


def check_bfloat16(module: TaskModule, image: Tensor, device: str = "cpu") -> None:
    """Refuse what torch gets wrong on a CPU.

    The bf16 gradient of a 3D convolution's weights holds unset memory where the image has two voxels along its first
    axis (seen in torch 2.13 with oneDNN; one voxel, three voxels, other axes, 16- and 32-bit floats are right).

    Args:
        module: As it will be trained.
        image: As the network takes it, (b, c, *space).
        device: Kind of device that it will be trained on.

    Raises:
        InputError: If such a convolution would be trained so.
    """
    if module.settings.precision != "bf16-mixed" or device != "cpu":
        return
    thin: list[str] = []

    def look(name: str) -> Callable[..., None]:
        def hook(layer: torch.nn.Conv3d, inputs: tuple[Tensor, ...]) -> None:
            if inputs[0].shape[2] == 2 and layer.kernel_size[0] > 1:
                thin.append(name)

        return hook

    network = copy.deepcopy(module.network)
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Conv3d):
            layer.register_forward_pre_hook(look(name))
    with torch.no_grad(), suppress(RuntimeError, ValueError):  # what else may fail is for `check_training` to say
        network(image)
    if thin:
        raise InputError(
            "check: on a CPU bf16 needs 1 or more than 2 voxels along the first axis at every level, "
            f"got 2 at {thin[0]}. Use a longer data.patch_size or training.precision=32-true."
        )


def _learn_by_heart(module: TaskModule, network: torch.nn.Module, trial: Trial) -> tuple[float, float, int, float]:
    rate = min(1e-2, module.settings.learning_rate * 2)
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=rate)
    began = time.perf_counter()
    losses: list[float] = []
    while len(losses) < STEPS and (len(losses) < 3 or time.perf_counter() - began < MAX_SECONDS):
        optimiser.zero_grad()
        loss = trial.loss(network)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses[0], losses[-1], len(losses), time.perf_counter() - began
