"""Which of several processes this one is, as torchrun and its like tell in the environment."""

import os


def share_of_process() -> tuple[int, int]:
    """This process's number and how many there are; (0, 1) for one that was started alone."""
    rank, count = (_number(name, alone) for name, alone in (("RANK", 0), ("WORLD_SIZE", 1)))
    return (rank, count) if 0 <= rank < count else (0, 1)


def device_of_process(device: str) -> str:
    """``cuda`` as the device of this process's own number on its machine; other names stay."""
    return f"cuda:{_number('LOCAL_RANK', 0)}" if device == "cuda" and "LOCAL_RANK" in os.environ else device


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else otherwise
