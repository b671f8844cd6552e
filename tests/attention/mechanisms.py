"""The table of mechanisms that the battery (`test_battery.py`) runs over; a new mechanism gets its tests by its row."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from convolutional_rows import CONVOLUTIONAL
from mechanism_row import Change, Draw, Mechanism, Space, draws, features, randomised
from pairwise_rows import PAIRWISE
from sequence_rows import SEQUENCES

__all__ = ["MECHANISMS", "Change", "Draw", "Mechanism", "Space", "draws", "features", "randomised"]

MECHANISMS: dict[str, Mechanism] = {
    **CONVOLUTIONAL,
    **PAIRWISE,
    **SEQUENCES,
}
