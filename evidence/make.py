"""Make the evidence of a system: ``python evidence/make.py attention-unet --data FOLDER``.

What each finished run gave is kept in parts/; run the same command again to go on after a stop.
"""

import argparse
from pathlib import Path

import attention_resnets
import backbones
import cam_faithfulness
import hippocampus
import homework
import lesion_describer
import look_alikes
import nonlocal_c2d
import protocols
import ram
import respond_cam
import retinanet
import rib_crf
import sononet
import ssd
import stn
import subject2vec

STUDIES = {
    "attention-unet": hippocampus.attention_unet,
    "attention-unet-look-alikes": look_alikes.attention_unet,
    "attention-unet-protocols": protocols.attention_unet,
    "ram": ram.ram,
    "rib-crf": rib_crf.rib_crf,
    "ag-sononet": sononet.ag_sononet,
    "sononet": sononet.sononet,
    "unet": hippocampus.unet,
    "homework-unet-2d": homework.homework_unet_2d,
    "homework-unet-3d": homework.homework_unet_3d,
    "nonlocal-c2d": nonlocal_c2d.nonlocal_c2d,
    "cam-faithfulness": cam_faithfulness.cam_faithfulness,
    "respond-cam": respond_cam.respond_cam,
    **attention_resnets.STUDIES,
    **backbones.STUDIES,
    **backbones.DIGIT_STUDIES,
    **stn.STUDIES,
    "subject2vec": subject2vec.subject2vec,
    "ssd": ssd.ssd,
    "ssd-shapes": ssd.ssd_shapes,
    "retinanet": retinanet.retinanet,
    "retinanet-cells": retinanet.retinanet_cells,
    "lesion-describer": lesion_describer.describer,
}
NEEDS_DATA = {
    **dict.fromkeys(("attention-unet", "unet"), hippocampus.DATA["source"]),
    **dict.fromkeys(attention_resnets.STUDIES, attention_resnets.SOURCE),
    "ram": ram.SOURCE,
    "rib-crf": rib_crf.SOURCE,
    "ssd": ssd.SOURCE,
    "retinanet": retinanet.SOURCE,
    "retinanet-cells": retinanet.CELLS_SOURCE,
    **dict.fromkeys(backbones.STUDIES, backbones.SOURCE),
}


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=STUDIES)
    parser.add_argument("--data", type=Path, help="folder of the real data, for the studies that need it")
    parser.add_argument("--work", type=Path, default=Path("runs/evidence"), help="where the runs' folders go")
    parser.add_argument("--seconds", type=float, default=180, help="training time of each run")
    parser.add_argument("--first-folds", type=int, default=hippocampus.FOLDS, help="only so many of the five folds")
    parser.add_argument("--steps", type=int, help="of each training, for attention-unet-protocols")
    parser.add_argument(
        "--note", action="append", default=[], help="what was special about this run, for attention-unet-protocols"
    )
    options = parser.parse_args()
    if options.system in NEEDS_DATA and options.data is None:
        parser.error(f"{options.system} needs --data: {NEEDS_DATA[options.system]}")
    options.work.mkdir(parents=True, exist_ok=True)
    STUDIES[options.system](options)


if __name__ == "__main__":
    main()
