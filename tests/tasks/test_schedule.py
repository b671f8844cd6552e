"""The learning rate's schedules by hand."""

import pytest

from saccade.tasks.config import TrainingSettings
from saccade.tasks.schedule import schedule_factor, triangle


@pytest.mark.parametrize(
    ("kind", "progress", "epoch", "factor"),
    [
        ("constant", 0.7, 9, 1.0),
        ("polynomial", 0.0, 0, 1.0),
        ("polynomial", 0.75, 0, 0.25**0.9),
        ("polynomial", 1.0, 0, 0.0),
        ("halving", 0.1, 249, 1.0),
        ("halving", 0.1, 250, 0.5),
        ("halving", 0.1, 750, 0.125),
        ("warmup_cosine", 0.0, 0, 0.1),
        ("warmup_cosine", 0.015, 0, 0.55),  # half of the way from 0.1 to 1
        ("warmup_cosine", 0.03, 0, 1.0),
        ("warmup_cosine", 0.515, 0, 0.5),  # the middle of what is left
        ("warmup_cosine", 1.0, 0, 0.0),
        ("one_cycle", 0.0, 0, 1 / 20),
        ("one_cycle", 0.25, 0, 1.0),
        ("one_cycle", 0.625, 0, (1 + 0.5 * 19) / 20),  # half of the way down
        ("one_cycle", 1.0, 0, 1 / 20),
        ("range_test", 0.0, 0, 1e-6),
        ("range_test", 0.5, 0, 1e-3),
        ("range_test", 1.0, 0, 1.0),
    ],
)
def test_schedules_by_hand(kind, progress, epoch, factor) -> None:
    settings = TrainingSettings(loss="any", schedule=kind)
    assert schedule_factor(settings, progress, epoch=epoch, steps=200) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(
    ("divisor", "cut", "steps"), [(20.0, 4.0, 40), (20.0, 10.0, 45), (20.0, 8.0, 31), (10.0, 3.0, 7)]
)
def test_one_cycle_is_the_lectures_at_its_corners(divisor, cut, steps) -> None:
    """lr = lr_max (1 + pct (div - 1)) / div with pct = i / cut_pt to cut_pt = nb // cut, then falling to 0 at nb."""
    peak = int(steps // cut)

    def rate(pct: float) -> float:
        return (1 + pct * (divisor - 1)) / divisor

    found = [triangle(float(step), steps, divisor=divisor, cut=cut) for step in (0, peak, steps - 1)]
    assert found == pytest.approx([rate(0), rate(1), rate(1 - (steps - 1 - peak) / (steps - peak))])


def test_one_cycle_of_very_few_steps_has_its_peak_at_the_first() -> None:
    assert [triangle(float(step), 3, divisor=10.0, cut=8.0) for step in range(3)] == pytest.approx([0.1, 1.0, 0.55])
