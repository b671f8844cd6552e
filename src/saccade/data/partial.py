"""Cases of which only some classes were labelled: what a data set declares of them, by name or value."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from saccade.data.layout_case import Case, Dataset, Fault
from saccade.data.layout_names import case_id, match_ids
from saccade.errors import InputError
from saccade.files import read_json

FILE = "partial.json"
BACKGROUND = ("0", "background")  # always labelled, so it says nothing
_FORM = 'classes for each case that has only some labelled, {"case_07": ["liver", 3]}'


def written_classes(value: Any) -> tuple[str, ...] | None:
    """Names and values of classes as a list or a file has them; None where it says nothing, so that all are meant.

    Args:
        value: A list, or a text with ``;``, ``|`` or ``,`` between the classes.

    >>> written_classes("liver; right kidney"), written_classes([3, "liver"]), written_classes("")
    (('liver', 'right kidney'), ('3', 'liver'), None)
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return tuple(part.strip() for part in re.split(r"[;|,]", value) if part.strip())
    return tuple(str(part).strip() for part in value) if isinstance(value, list) else (str(value),)


def read_partial(path: Path) -> dict[str, tuple[str, ...]]:
    """The classes that a ``partial.json`` declares labelled, by case, as they are written.

    Raises:
        InputError: If the file cannot be read or has another form.
    """
    content = read_json(path)
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: must hold {_FORM}, got {type(content).__name__}.")
    declared = {str(case): written_classes(value) for case, value in content.items()}
    return {case: classes for case, classes in declared.items() if classes is not None}


def with_labelled(dataset: Dataset, names: Mapping[int, str]) -> Dataset:
    """The data set with `Case.labelled` set as its list, or the ``partial.json`` in its folder, declares.

    Args:
        dataset: As its layout was found, with what a list declares in ``declared``.
        names: Label value -> name of the classes that matter: the user's, which may be some of the data set's.
    """
    declared, faults = dict(dataset.declared), list[Fault]()
    path = dataset.root / FILE
    if dataset.root.is_dir() and path.is_file():
        try:
            beside = read_partial(path)
        except InputError as error:
            return replace(dataset, faults=(*dataset.faults, Fault("", str(path), "list", _FORM, str(error))))
        ids = _ids(beside, dataset.cases)
        for written in beside.keys() - ids.keys():
            faults.append(Fault(written, str(path), "list", "a case of this data set", "none of this name"))
        for written, id in ids.items():
            if id in declared:
                faults.append(Fault(id, str(path), "list", "its classes declared once", "others in the list of cases"))
            declared[id] = beside[written]
    words = _words(dataset.label_names, names)
    cases = []
    for case in dataset.cases:
        if case.id in declared:
            where = str(path if case.id not in dataset.declared else dataset.root)
            values, fault = _values(declared[case.id], words, bool(dataset.label_names))
            faults += [Fault(case.id, where, "list", *fault)] if fault else []
            complete = fault is not None or (bool(names) and set(values) >= set(names))
            case = replace(case, labelled=None if complete else values)
        cases.append(case)
    order = sorted(faults, key=lambda fault: fault.case)
    return replace(dataset, cases=tuple(cases), faults=(*dataset.faults, *order))


def labelled_beside(folder: Path, ids: Sequence[str], names: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    """What a ``partial.json`` in a folder of label maps, or in the one above, declares of these cases.

    Args:
        folder: Holds label maps.
        ids: Of cases; others in the file do not matter.
        names: Label value -> name.

    Returns:
        Case id -> values of the labelled classes; cases with all classes labelled are not in it.

    Raises:
        InputError: If the file cannot be used.
    """
    path = next((place / FILE for place in (folder, folder.resolve().parent) if (place / FILE).is_file()), None)
    if path is None:
        return {}
    beside, words = read_partial(path), _words(names)
    found = {}
    for written, id in _ids(beside, [Case(id, (), None) for id in ids]).items():
        values, fault = _values(beside[written], words, False)
        if fault:
            raise InputError(str(Fault(id, str(path), "list", *fault)))
        if not names or not set(values) >= set(names):
            found[id] = values
    return found


def _ids(declared: Iterable[str], cases: Iterable[Case]) -> dict[str, str]:
    """Case as it is written -> id of the case that is meant, as far as there is one."""
    written = {case_id(name): name for name in declared}
    return {written[key]: id for id, key in match_ids([case.id for case in cases], list(written)).items()}


def _words(*all_names: Mapping[int, str]) -> dict[str, int]:
    """Everything that a class with a name may be called, with its value."""
    words: dict[str, int] = {}
    for names in all_names:
        words |= {str(value): value for value in names}
        words |= {name.casefold(): value for value, name in names.items()}
    return words


def _values(
    written: Sequence[str], words: Mapping[str, int], all_named: bool
) -> tuple[tuple[int, ...], tuple[str, str] | None]:
    """Values in order, and what was expected and found where a class is unknown or there is none.

    Args:
        written: Names and values.
        words: What classes are called.
        all_named: Whether these are all classes; else any value may be one.
    """
    values = set()
    for word in written:
        key = word.casefold()
        if key in BACKGROUND:
            continue
        if key in words:
            values.add(words[key])
        elif key.isdecimal() and not all_named:
            values.add(int(key))
        elif not words:
            return (), ("values of classes, as they have no names", f"'{word}'")
        else:
            near = get_close_matches(key, words, n=1, cutoff=0.4)
            return (), ("classes of this data set" + (f", perhaps '{near[0]}'" if near else ""), f"'{word}'")
    if not values:
        return (), ("at least one class that is labelled", "none")
    return tuple(sorted(values)), None
