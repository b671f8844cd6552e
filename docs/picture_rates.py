"""Draws docs/images/learning-rate.png: a learning-rate range test on simulated abdomens.

python docs/picture_rates.py DEMO/abdomens
"""

import sys
from pathlib import Path

from saccade.files import atomic
from saccade.rate_finding import find_rate
from saccade.report.rate_picture import draw_rates

STEPS = 60


def draw_range_test(data: Path, path: Path) -> None:
    """Test the tiny Attention U-Net on a data set, and draw what the test saw."""
    curve = find_rate("attention-unet", data, preset="tiny", steps=STEPS)
    with atomic(path) as temporary:
        draw_rates(curve).savefig(temporary, format="png", dpi=110)


if __name__ == "__main__":
    draw_range_test(Path(sys.argv[1]), Path(__file__).parent / "images" / "learning-rate.png")
