import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from golden_parity import check, goldens, ids, load

CASES = [
    path
    for path in goldens(
        "A_blocks",
        "A_grid_attention",
        "A_grid_attention_TORR",
        "A_losses",
        "A_multi_attention",
        "A_networks",
        "B_monai_attentionunet",
        "B_monai_se",
        "C_bam",
        "C_cbam",
        "C_eca",
        "C_scacnn",
        "C_scse",
        "C_se",
    )
    if (path.stem.startswith("unet") and path.stem != "unet_nonlocal_3D") or path.parent.name != "A_networks"
]


@pytest.mark.parametrize("path", CASES, ids=ids(CASES))
def test_equals_the_published_code(path):
    check(load(path))
