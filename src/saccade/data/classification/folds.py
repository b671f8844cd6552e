"""Folds that keep a group (a patient) together and have each class in its share."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from saccade.data.classification.case import Case
from saccade.errors import InputError


def deal_folds(cases: Sequence[Case], folds: int, *, by_class: bool, seed: int = 0) -> list[list[str]]:
    """Deal cases out to folds, each held out once.

    Groups go, the largest first, to the fold that has the fewest cases of their class, then the fewest at all; groups
    of equal size in the order of a hash of seed and name. So the folds depend on nothing but the cases and the seed.

    Args:
        cases: With targets.
        folds: 2 or more, at most as many as there are groups.
        by_class: Whether each fold shall have its share of every class; else only sizes are evened out.
        seed: Another seed deals differently.

    Returns:
        The ids of each fold, sorted.

    Raises:
        InputError: If the number of folds does not fit.

    >>> from pathlib import Path
    >>> from saccade.data.classification.case import Packed
    >>> cases = [Case(f"{n}", Packed(Path("a"), "", n), ("cat" if n < 4 else "dog",)) for n in range(8)]
    >>> [sum(int(id) < 4 for id in fold) for fold in deal_folds(cases, 2, by_class=True)]
    [2, 2]
    """
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.id if case.group is None else f"group {case.group}"].append(case)
    if not 2 <= folds <= len(groups):
        raise InputError(
            f"folds: must be from 2 to the number of cases, patients counting as one ({len(groups)}), got {folds}."
        )
    order = sorted(groups, key=lambda name: (-len(groups[name]), hashlib.sha256(f"{seed}/{name}".encode()).digest()))
    sizes: dict[tuple[int, tuple[str, ...]], int] = defaultdict(int)
    dealt: list[list[str]] = [[] for _ in range(folds)]
    for name in order:
        members = groups[name]
        kind = members[0].values if by_class else ()
        place = min(range(folds), key=lambda fold: (sizes[fold, kind], len(dealt[fold]), fold))
        dealt[place] += [case.id for case in members]
        for case in members:
            sizes[place, case.values if by_class else ()] += 1
    return [sorted(fold) for fold in dealt]
