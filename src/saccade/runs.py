"""`train` and `load`: a run is a folder, and these two open its doors whatever the task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from saccade.errors import InputError, unknown_name
from saccade.files import check_folder, read_json, write_json
from saccade.systems import Implementation, find_implementation, is_own
from saccade.tasks import begin
from saccade.tasks.backends import exported_network
from saccade.tasks.classification.predictor import ClassificationPredictor
from saccade.tasks.config import SIZES, RunConfig
from saccade.tasks.detection.predictor import DetectionPredictor
from saccade.tasks.devices import Devices, join, rank_of_process, together
from saccade.tasks.extend import extend as extend_config
from saccade.tasks.fitting import Job, Say
from saccade.tasks.initialise import initialise
from saccade.tasks.landmarks.predictor import LandmarksPredictor
from saccade.tasks.layer_groups import with_layer_groups
from saccade.tasks.parameters import freeze, rate_groups
from saccade.tasks.run_folder import holds_something, must_be_empty, working_in
from saccade.tasks.segmentation.predictor import SegmentationPredictor
from saccade.tasks.settings import merge, read_yaml
from saccade.tasks.task import Task, find_task, task_of
from saccade.tasks.training import train_and_score
from saccade.tasks.weights import load_weights, read_checkpoint

FORMAT = 1
DECIDED = ("auto", "balanced")  # values that a run replaces by what they come to; given again, they say the same
SECTIONS = ("training", "augmentation", "inference", "data", "network")
Predictor = SegmentationPredictor | ClassificationPredictor | DetectionPredictor | LandmarksPredictor


def train(
    system: str,
    data: Path | str,
    out: Path | str,
    *,
    preset: str = "default",
    fold: int = 0,
    folds: int = 5,
    resume: bool = False,
    extend: int | str | None = None,
    devices: int = 1,
    nodes: int = 1,
    accelerator: str = "auto",
    task: str | None = None,
    **settings: Any,
) -> Predictor:
    """Train a system on a folder of data.

    Args:
        system: A name of `saccade.list_systems`, or ``package.module:Network`` for a network of your own.
        data: The data set's folder or file, in any layout that ``saccade data check`` knows.
        out: The run's folder; made, and refused if it already holds something (unless ``resume``).
        preset: ``default`` (decided from the data), ``tiny`` or ``paper``.
        fold: Which part is held out for validation.
        folds: How many parts there are.
        resume: Continue the run in ``out``.
        extend: Continue it for so many epochs (``20``) or seconds (``"600s"``) more, with a schedule planned anew.
        devices: Processes on each machine that train together: GPUs, or shares of the CPU's cores.
        nodes: Machines; with several, torchrun or srun starts the processes.
        accelerator: ``auto`` (a GPU where there is one), ``cpu``, ``gpu`` or ``mps``.
        task: ``segmentation`` or ``classification``, for a network of your own on data that do not tell.
        settings: Anything in ``config.yaml``: a section with nested values (``training={"epochs": 5}``) or the name of
            one setting (``epochs=5``), and ``label_names`` (value to name) for data that have none.

    Returns:
        The trained network, ready to `predict`.

    Raises:
        InputError: If the data, a name or a setting cannot be used.
        RunError: If training fails.
    """
    return start_run(
        system,
        data,
        Path(out),
        preset=preset,
        split=(fold, folds),
        resume=resume,
        extend=extend,
        devices=Devices(accelerator, devices, nodes),
        overrides=_sort_settings(settings, task_of(system, data, task)),
        say=lambda text: None,
        task=task,
    )


def start_run(
    system: str,
    data: Path | str,
    run: Path,
    *,
    preset: str,
    split: tuple[int, int] | begin.Split,
    resume: bool,
    overrides: Mapping[str, Any],
    say: Say,
    extend: int | str | None = None,
    devices: Devices | None = None,
    task: str | None = None,
) -> Predictor:
    """What `train` does, with nested overrides and a voice; ``split`` is (fold, folds) or names the cases."""
    devices = devices or Devices()
    if (rank := rank_of_process(devices)) > 0:
        _take_part(devices, rank)
        return load(run, system=system if is_own(system) else None)
    does = find_task(task_of(system, data, task))
    check_folder(run)
    going_on = resume or extend is not None
    checkpoint = None
    config: Any
    if going_on:
        _implementation(system, preset, overrides, task_of(system, data, task))
        config = _resumed_config(run, system, overrides)
        dataset = does.open_dataset(data, config.data.model_dump())
        train_cases, held_out = _resumed_split(run, dataset, does)
        if (run / "last.ckpt").is_file():  # else it was stopped before its first epoch was done, and begins anew
            checkpoint = read_checkpoint(run / "last.ckpt")
        if extend is not None:
            if checkpoint is None:
                raise InputError(f"{run}: nothing to extend, no epoch was finished. Use --resume.")
            config = extend_config(config, checkpoint, extend)
    else:
        if holds_something(run):
            raise must_be_empty(run)
        config, dataset, train_cases, held_out = plan_run(
            system, data, preset=preset, split=split, overrides=overrides, device=devices.kind, task=task
        )
    if config.training.batch_size % devices.size:
        raise InputError(
            f"training.batch_size: must be a multiple of devices x nodes ({devices.size}), "
            f"got {config.training.batch_size}."
        )
    network = make_network(config)  # a wrong setting is refused before anything is written
    grouped = with_layer_groups(config, network)
    freeze(network, grouped.training.freeze)
    rate_groups(network, grouped.training.rates)
    say(f"data   {len(train_cases)} cases to train on, {len(held_out)} held out; {dataset.layout}")
    say(f"plan   {does.plan_line(config)}")
    say(f"net    {config.system}, {_count(network)}")
    initialisation = None
    if checkpoint is None and config.training.init_from is not None:
        initialisation = initialise(network, config.training.init_from)
        say(f"init   {initialisation.line()}")
    with working_in(run, fresh=not going_on):
        if not going_on:
            files = {case.id: does.describe_case(case) for case in (*train_cases, *held_out)}
            begin.describe_run(config, run, train_cases, held_out, devices, files=files)
        elif extend is not None:
            config.write(run / "config.yaml")
            limit = config.training.max_seconds
            length = f"{limit:g} seconds" if limit else f"{config.training.epochs} epochs"
            say(f"plan   extended: {length} in all, the schedule is planned anew")
        if initialisation is not None:
            write_json(run / "init.json", initialisation.content())
        job = Job(grouped, run, train_cases, held_out, resume=checkpoint is not None)
        made: Predictor = train_and_score(does, job, network, devices=devices, say=say)
        return made


def plan_run(
    system: str,
    data: Path | str,
    *,
    preset: str,
    split: tuple[int, int] | begin.Split,
    overrides: Mapping[str, Any],
    device: str,
    task: str | None = None,
) -> tuple[Any, Any, list[Any], list[Any]]:
    """The configuration of a new run, its data set, the cases that it learns from, and those held out.

    Raises:
        InputError: As `train`.
    """
    kind = task_of(system, data, task)
    implementation = _implementation(system, preset, overrides, kind)
    does = find_task(kind)
    dataset = does.open_dataset(data, overrides.get("data", {}))
    if isinstance(split, begin.Split):
        train_cases, held_out = begin.split_cases(dataset, split)
    else:
        train_cases, held_out = begin.choose_split(dataset, does.deal, fold=split[0], folds=split[1])
    config = does.plan(
        system,
        dataset,
        train_cases,
        preset=preset,
        overrides=overrides,
        implementation=implementation,
        device=device,
    )
    return config, dataset, train_cases, held_out


def _implementation(system: str, preset: str, overrides: Mapping[str, Any], task: str) -> Implementation:
    for section in SECTIONS:
        if not isinstance(overrides.get(section, {}), Mapping):
            raise InputError(f"{system}: {section}: must hold named settings, got {overrides[section]!r}.")
    return begin.implementation_of(system, preset, overrides.get("network", {}), task)


def follow() -> None:
    """What a process does that another one has started to train with it."""
    devices = join()
    _take_part(devices, distributed.get_rank())


def _take_part(devices: Devices, rank: int) -> None:
    with together(devices) as job:
        network = make_network(job.config)  # the first process's weights come when training begins
        freeze(network, job.config.training.freeze)
        find_task(job.config.task).fit(job, network, devices=devices, rank=rank, say=lambda text: None)


def load(run: Path | str, *, device: str = "cpu", system: str | None = None, backend: str = "torch") -> Predictor:
    """Open a trained run.

    Nothing that a run's folder holds is executed, so a run that someone sent is safe to open. For a network of the
    user's own the folder says where its class is, but that module is imported only when the caller names it.

    Args:
        run: Its folder.
        device: Where to compute.
        system: ``package.module:Network``, for a run of such a network (the name may have changed since). What was
            exported needs none of that code.
        backend: What computes: ``torch``, or ``onnx`` or ``openvino`` with the file that ``saccade export`` made.

    Raises:
        InputError: If the folder is no run, its files are missing, damaged or of another version, or its network is one
            that has to be named.
    """
    run = Path(run)
    if not run.is_dir():
        raise InputError(f"{run}: must be the folder of a run, there is no such folder.")
    config = read_config(run)
    if backend == "torch" or system is not None:
        config = _with_system(config, run, system)
    if backend != "torch":
        if device != "cpu":
            raise InputError(f"predict: {backend} works on the processor here, got device {device}. Use cpu, or torch.")
        network = exported_network(run / "export", run / "model.safetensors", backend)
    else:
        network = load_weights(make_network(config), run / "model.safetensors")
    made: Predictor = find_task(config.task).make_predictor(network, config, run, device=device)
    return made


def load_segmentation(run: Path | str, *, device: str = "cpu", system: str | None = None) -> SegmentationPredictor:
    """As `load`, for what works with label maps alone.

    Raises:
        InputError: If the run is one of another task, too.
    """
    predictor = load(run, device=device, system=system)
    if not isinstance(predictor, SegmentationPredictor):
        raise InputError(f"{run}: must be a run of a segmentation, is one of a {predictor.config.task}.")
    return predictor


def _with_system(config: RunConfig, run: Path, system: str | None) -> RunConfig:
    """The configuration with the network that the caller trusts."""
    if not is_own(config.system):
        if system not in (None, config.system):
            raise InputError(f"{run}: is a run of {config.system}, cannot be opened as {system}.")
        return config
    if system is None:
        raise InputError(
            f"{run}: is a run of {config.system}, which is not part of Saccade. If you trust that code, name it: "
            f"--system {config.system}, or load(run, system='{config.system}')."
        )
    return config.model_copy(update={"system": system})


def read_config(run: Path) -> Any:
    """A run's config.yaml, checked: the configuration of its task."""
    path = run / "config.yaml"
    if not path.is_file():
        raise InputError(f"{run}: is not a run, there is no config.yaml in it.")
    values = read_yaml(path)
    if values.get("version") != FORMAT:
        raise InputError(
            f"{path}: must be of format version {FORMAT}, got {values.get('version')!r}. Train the run again."
        )
    return find_task(str(values.get("task", "segmentation"))).Config.parse(values, str(path))


def make_network(config: Any) -> torch.nn.Module:
    """The network of a configuration, its first weights drawn from the run's seed."""
    module = find_implementation(config.system, config.network, config.task)
    sizes = dict(zip(SIZES, find_task(config.task).sizes(config), strict=True))
    try:
        settings = module.Network.parse(merge(config.network, sizes), f"{config.system}: network")
        with torch.random.fork_rng():
            torch.manual_seed(config.training.seed)
            return module.network(settings)
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(str(error)) from error


def _count(network: torch.nn.Module) -> str:
    every, trained = (sum(p.numel() for p in network.parameters() if p.requires_grad or all_) for all_ in (True, False))
    return f"{every:,} parameters" + (f", {trained:,} of them trained" if trained < every else "")


def _resumed_config(run: Path, system: str, overrides: Mapping[str, Any]) -> Any:
    """A run's own configuration; settings given again must say the same."""
    if not any((run / name).is_file() for name in ("last.ckpt", "config.yaml")):
        raise InputError(f"{run}: nothing to resume, there is no last.ckpt.")
    config = read_config(run)
    if config.system != system:
        raise InputError(f"{run}: is a run of {config.system}, cannot be resumed as {system}.")
    given = type(config).parse(merge(config.model_dump(), overrides), system)
    before, after = config.model_dump(mode="json"), given.model_dump(mode="json")
    changed = [
        f"{part}.{name}"
        for part in SECTIONS
        for name, value in after[part].items()
        if value != before[part].get(name) and not (value in DECIDED and before[part].get(name) is not None)
    ]
    if changed:
        raise InputError(
            f"{run}: a resumed run keeps its settings, got another {changed[0]}. Edit its config.yaml, or start anew."
        )
    return config


def _resumed_split(run: Path, dataset: Any, does: Task) -> tuple[list[Any], list[Any]]:
    """The cases a run was begun with, and proof that their files are still the same."""
    split = read_json(run / "splits.json")
    train, held_out = ([dataset.case(name) for name in split[part]] for part in ("train", "validation"))
    for case in (*train, *held_out):
        if does.describe_case(case)["sha256"] != split["files"][case.id]["sha256"]:
            raise InputError(f"case {case.id}: its files are not those that the run in {run} began with. Train again.")
    return train, held_out


def _sort_settings(settings: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Put settings given by their bare name into their sections."""
    config = find_task(task).Config
    fields = {section: config.model_fields[section].annotation for section in SECTIONS[:-1]}
    homes = {name: section for section, model in fields.items() for name in model.model_fields}  # type: ignore[union-attr]
    nested: dict[str, Any] = {}
    for name, value in settings.items():
        if name in SECTIONS:
            nested = merge(nested, {name: value})
        elif name in homes:
            nested = merge(nested, {homes[name]: {name: value}})
        else:
            raise unknown_name("train", "setting", name, [*SECTIONS, *homes])
    return nested
