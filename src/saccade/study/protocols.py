"""The protocols of Oktay et al. 2018, arXiv:1804.03999, for any data.

CT-150: 120 scans to learn from and 30 to be tested on, or 30 and 120. CT-82: networks trained on CT-150 are tested on
CT-82 before (BFT) and after fine-tuning (AFT) on its 61 training cases, beside networks trained there from scratch
(SCR). All three are tested on the same 21 cases.
"""

import hashlib
from collections.abc import Sequence

from saccade.data.layouts import Case, Dataset
from saccade.errors import InputError, unknown_name
from saccade.study.compare_plan import (
    DATA,
    Arm,
    Part,
    Plan,
    Train,
    Transfer,
    pairs_of,
    rest_of,
    step_name,
    usable_cases,
)
from saccade.study.protocols_paper import CT_82

PRETRAIN = "pretrain"
SIZES = {"ct150-120-30": (120, 30), "ct150-30-120": (30, 120), CT_82: (61, 21)}  # to learn from, to be tested on
SOURCE_SIZES = SIZES["ct150-120-30"]
NAMES = {"ct150-120-30": "CT-150", "ct150-30-120": "CT-150", CT_82: "CT-82"}
STAGES = ("source", "BFT", "AFT", "SCR")


def plan_protocol(
    protocol: str, dataset: Dataset, systems: Sequence[str], *, pretrain: Dataset | None, seeds: int
) -> Plan:
    """The splits, trainings and comparisons of a protocol.

    Args:
        protocol: ``ct150-120-30``, ``ct150-30-120`` or ``ct82``.
        dataset: The data that it is tested on.
        systems: What is compared.
        pretrain: For ``ct82`` the data of another hospital, learnt from first.
        seeds: Trainings of each system.

    Raises:
        InputError: If the name is unknown, ``pretrain`` is missing or not wanted, or the data do not fit.
    """
    if protocol not in SIZES:
        raise unknown_name("compare", "protocol", protocol, list(SIZES))
    if (protocol == CT_82) != (pretrain is not None):
        need = "must be given" if protocol == CT_82 else "must be left out"
        raise InputError(
            f"compare: --pretrain, the data that are learnt from first, {need} with --protocol {protocol}."
        )
    part, notes = _split(dataset, DATA, SIZES[protocol], NAMES[protocol])
    if pretrain is not None:
        return _plan_transfer(dataset, pretrain, part, systems, seeds, notes)
    steps = [Train(step_name(s, protocol, seed), s, protocol, seed) for seed in range(seeds) for s in systems]
    arms = [Arm(s, s, tuple((step_name(s, protocol, seed),) for seed in range(seeds))) for s in systems]
    return Plan({DATA: dataset}, {protocol: part}, steps, arms, pairs_of(systems), notes=notes)


def _plan_transfer(
    target: Dataset, source: Dataset, part: Part, systems: Sequence[str], seeds: int, notes: list[str]
) -> Plan:
    """Train on the source; test on the target as it is, fine-tuned, and from scratch."""
    source_part, source_notes = _split(source, PRETRAIN, SOURCE_SIZES, "CT-150")
    labels, label_notes = _shared_labels(target, source)
    steps: list[Train | Transfer] = []
    for seed in range(seeds):
        for system in systems:
            names = {stage: step_name(system, stage, seed) for stage in STAGES}
            steps += [
                Train(names["source"], system, PRETRAIN, seed),
                Transfer(names["BFT"], names["source"], CT_82),
                Train(names["AFT"], system, CT_82, seed, after=names["source"]),
                Train(names["SCR"], system, CT_82, seed),
            ]
    arms = [
        Arm(f"{system} {stage}", system, tuple((step_name(system, stage, seed),) for seed in range(seeds)))
        for stage in STAGES
        for system in systems
    ]
    pairs = [(f"{system} AFT", f"{system} {stage}") for stage in ("BFT", "SCR") for system in systems]
    pairs += [(f"{a} {stage}", f"{b} {stage}") for stage in STAGES for a, b in pairs_of(systems)]
    datasets, parts = {DATA: target, PRETRAIN: source}, {CT_82: part, PRETRAIN: source_part}
    return Plan(datasets, parts, steps, arms, pairs, labels, [*notes, *source_notes, *label_notes])


def _split(dataset: Dataset, data: str, sizes: tuple[int, int], name: str) -> tuple[Part, list[str]]:
    """A drawn split of so many cases; of another number, in the same proportion, which is said."""
    cases, notes = usable_cases(dataset)
    if len(cases) < 2:
        raise InputError(f"{dataset.root}: must have at least 2 labelled cases to be split, found {len(cases)}.")
    learn, whole = sizes[0], sum(sizes)
    if len(cases) != whole:
        learn = min(max(1, round(len(cases) * sizes[0] / whole)), len(cases) - 1)
        notes.append(
            f"{dataset.root}: {len(cases)} cases, {learn} to learn from and {len(cases) - learn} to be tested on; "
            f"{name} has {whole}, split {sizes[0]}/{sizes[1]}."
        )
    return Part(data, rest_of(cases, deal(cases)[learn:])), notes


def deal(cases: Sequence[Case], seed: int = 0) -> list[str]:
    """The ids in the order of a hash of seed and id: it depends on nothing but these."""
    return sorted((case.id for case in cases), key=lambda id: hashlib.sha256(f"{seed}/{id}".encode()).digest())


def _shared_labels(target: Dataset, source: Dataset) -> tuple[dict[str, dict[int, str]], list[str]]:
    """Classes that both data sets name, under each one's own values; they must stand in the same order in both.

    The channels of a network are the classes in order of their values, so that another order would give the weights of
    one organ to another.
    """
    for dataset in (target, source):
        if not dataset.label_names:
            raise InputError(
                f"{dataset.root}: must name its labels, so that organs are known by name. Add labels.json."
            )
    names = {name for name in target.label_names.values() if name in source.label_names.values()}
    if not names:
        known = (", ".join(dataset.label_names.values()) for dataset in (source, target))
        raise InputError("compare: both data sets must have an organ of the same name, got {} and {}.".format(*known))
    labels = {
        key: {value: name for value, name in sorted(dataset.label_names.items()) if name in names}
        for key, dataset in ((DATA, target), (PRETRAIN, source))
    }
    orders = {key: list(shared.values()) for key, shared in labels.items()}
    if orders[DATA] != orders[PRETRAIN]:
        raise InputError(
            "compare: the organs of both data sets must come in the same order of label values, got "
            f"{', '.join(orders[PRETRAIN])} and {', '.join(orders[DATA])}. Relabel one of them."
        )
    alone = [n for dataset in (source, target) for n in dataset.label_names.values() if n not in names]
    notes = [f"Only organs that both data sets have: without {', '.join(dict.fromkeys(alone))}."] if alone else []
    return labels, notes
