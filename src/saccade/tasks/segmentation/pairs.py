"""Which prediction belongs to which truth, and what the labels are called."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from saccade.data.layout_labels import BTCV_LABELS, parse_label_names, read_label_names
from saccade.data.layout_names import match_ids, stem, volumes_in
from saccade.data.layouts import Case, case_id, find_dataset, pair_cases
from saccade.data.partial import labelled_beside
from saccade.errors import InputError
from saccade.files import read_json


@dataclass(frozen=True)
class Pairs:
    """The cases to score.

    Args:
        found: Case id -> predicted label map and the case that holds the truth, in order of id.
        missing: Cases with a truth and no prediction.
        extra: Ids of predictions without a truth.
        label_names: As the truth's folder or data set says, value -> name; empty when it says nothing.
    """

    found: dict[str, tuple[Path, Case]]
    missing: tuple[Case, ...]
    extra: tuple[str, ...]
    label_names: dict[int, str]


def find_pairs(predictions: Path, truth: Path, label_names: Mapping[int, str] | None = None) -> Pairs:
    """Pair predictions with truths by case id.

    Args:
        predictions: A label map, or a folder of them.
        truth: A label map, a folder of them, or a data set in a known layout; a file goes with a file.
        label_names: What the user calls the labels, which a ``partial.json`` beside the truth may use too.

    Raises:
        InputError: If one is missing, a file is given with a folder, a folder holds no label map or two of one case,
            or no prediction has a truth.
    """
    for path in (predictions, truth):
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder.")
    if predictions.is_file() != truth.is_file():
        raise InputError(f"{predictions}, {truth}: must be two label maps or two folders, got one of each.")
    if predictions.is_file():
        names = names_beside(truth.parent)
        (case,) = _cases({case_id(truth): truth}, truth.parent, {**names, **(label_names or {})}).values()
        return Pairs({case.id: (predictions, case)}, (), (), names)
    if volumes_in(truth):
        pairs = _in_folder(predictions, truth, label_names or {})
    else:
        pairs = _in_dataset(predictions, truth, label_names)
    if not pairs.found:
        cases, extra = (", ".join(ids) for ids in ([case.id for case in pairs.missing], pairs.extra))
        raise InputError(f"{predictions}: must hold predictions of the cases of {truth} ({cases}), got {extra}.")
    return pairs


def names_beside(folder: Path) -> dict[int, str]:
    """Label names that ``labels.json`` or ``dataset.json`` gives in this folder or the one above, or those of BTCV.

    Raises:
        InputError: If such a file is there and cannot be used.
    """
    for place in (folder, folder.resolve().parent):
        if (path := place / "labels.json").is_file():
            return read_label_names(path)
        if (path := place / "dataset.json").is_file():
            content = read_json(path)
            if isinstance(content, dict) and "labels" in content:
                return parse_label_names(str(path), content["labels"], content.get("regions_class_order"))
    is_btcv = folder.name == "label" and (folder.parent / "img").is_dir()
    return dict(BTCV_LABELS) if is_btcv else {}


def find_probabilities(
    folder: Path, predicted: Mapping[str, Path | None], organs: Mapping[int, str]
) -> dict[str, dict[int, Path | None]]:
    """The probability maps of every case, ``<case>/<organ>.nii.gz`` as `saccade predict` writes or ``<case>_<organ>``.

    Letter case, spaces and signs in the names do not matter. A case without a prediction may be without maps too,
    which is None.

    Args:
        folder: Where they lie.
        predicted: Case id -> its predicted label map, after whose name the maps may be called too.
        organs: Label -> name, those for which maps must be there.

    Raises:
        InputError: If there is no such folder, or a map is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: must be a folder of probability maps, there is none.")
    files: dict[tuple[str, ...], Path] = {(_plain(stem(path)),): path for path in volumes_in(folder)}
    for place in (place for place in folder.iterdir() if place.is_dir()):
        files |= {(_plain(place.name), _plain(stem(path))): path for path in volumes_in(place)}
    maps: dict[str, dict[int, Path | None]] = {}
    for id, path in predicted.items():
        cases = [id, *([] if path is None else [stem(path)])]
        maps[id] = {}
        for label, organ in organs.items():
            names = product(cases, (organ, f"{organ}_{label}"))  # the latter where two organs' files had one name
            keys: list[tuple[str, ...]] = []
            for case, name in names:
                keys += [(_plain(case), _plain(name)), (_plain(f"{case}_{name}"),)]
            found = [files[key] for key in keys if key in files]
            if not found and path is not None:
                raise InputError(f"{folder}: must hold a map for every case and organ, got no {id}/{organ}.nii.gz.")
            maps[id][label] = found[0] if found else None
    return maps


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


def _in_folder(predictions: Path, truth: Path, label_names: Mapping[int, str]) -> Pairs:
    pairs, missing, extra = pair_cases(predictions, truth)
    truths = {case_id(path): path for path in volumes_in(truth)}
    names = names_beside(truth)
    files = {id: true for id, (_, true) in pairs.items()} | {id: truths[id] for id in missing}
    cases = _cases(files, truth, {**names, **label_names})
    found = {id: (predicted, cases[id]) for id, (predicted, _) in pairs.items()}
    return Pairs(found, tuple(cases[id] for id in missing), tuple(extra), names)


def _in_dataset(predictions: Path, truth: Path, label_names: Mapping[int, str] | None) -> Pairs:
    dataset = find_dataset(truth, label_names)
    cases = {case.id: case for case in dataset.labelled()}
    if not cases:
        raise InputError(f"{truth}: must hold label maps, got {len(dataset.cases)} cases without any.")
    predicted = {case_id(path): path for path in volumes_in(predictions)}
    matched = match_ids(list(predicted), list(cases))
    found = {matched[id]: (predicted[id], cases[matched[id]]) for id in matched}
    return Pairs(
        dict(sorted(found.items())),
        tuple(case for id, case in cases.items() if id not in found),
        tuple(sorted(set(predicted) - set(matched))),
        dataset.label_names,
    )


def _cases(files: Mapping[str, Path], folder: Path, names: Mapping[int, str]) -> dict[str, Case]:
    """The cases of these label maps, with the classes labelled in them as their folder says."""
    labelled = labelled_beside(folder, list(files), names)
    return {id: Case(id, (), path, labelled=labelled.get(id)) for id, path in files.items()}
