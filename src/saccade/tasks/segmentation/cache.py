"""Prepared cases in a folder: decoded and resampled once, then shared by runs, folds and processes."""

import hashlib
import json
from pathlib import Path

from torch import Tensor

from saccade import __version__
from saccade.data.layouts import Case
from saccade.errors import InputError
from saccade.files import atomic
from saccade.tasks.segmentation.begin import hash_files
from saccade.tasks.segmentation.config import SegmentationConfig

Prepared = tuple[Tensor, Tensor, list[Tensor]]


class PreparedCache:
    """A folder of prepared cases.

    A file's name is a hash of all that its content follows from: the bytes of the case's files, the settings of the
    preparation, the classes labelled where not all are, and the version of Saccade. So it is never out of date, and
    folds, networks and restarts use the same files. Several processes may write at once: files appear whole, and equal
    ones replace one another.

    Args:
        folder: Where; made when it is needed.
        config: The run.
    """

    def __init__(self, folder: Path, config: SegmentationConfig) -> None:
        self.folder = folder
        data = config.data.model_dump(mode="json", include={"channels", "spacing_mm", "intensity"})
        self._preparation = {"saccade": __version__, **data, "classes": config.classes}
        self._labelled = config.data.labelled
        self._paths: dict[str, Path] = {}

    def path(self, case: Case) -> Path:
        """The file of a case; its scans are read once to know what they hold."""
        if case.id not in self._paths:
            files = sorted(hash_files(case).items())
            content = [self._preparation, files, case.flip_label_y]
            if case.id in self._labelled:  # other classes of it are background
                content.append(sorted(self._labelled[case.id]))
            text = json.dumps(content, sort_keys=True)
            self._paths[case.id] = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"
        return self._paths[case.id]

    def read(self, case: Case) -> Prepared | None:
        """Image, class indices and places as `PreparedCases` gives them; None if the case is not there."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.path(case)
        if not path.is_file():
            return None
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise InputError(f"{path}: cannot be read as a prepared case ({error}). Remove it.") from None
        places = [tensors[name] for name in sorted(tensors) if name.startswith("places ")]
        return tensors["image"], tensors["classes"], places

    def write(self, case: Case, prepared: Prepared) -> None:
        """Keep a case."""
        from safetensors.torch import save_file

        image, classes, places = prepared
        numbered = {f"places {number:03d}": voxels.contiguous() for number, voxels in enumerate(places)}
        with atomic(self.path(case)) as temporary:
            save_file({"image": image.contiguous(), "classes": classes.contiguous(), **numbered}, temporary)
