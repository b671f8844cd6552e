"""Several processes that train one network together: who they are, how they are started and find one another."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import IO, Any

import torch
from torch import distributed

from saccade.errors import InputError, RunError, SaccadeError
from saccade.workers import cores

ACCELERATORS = ("auto", "cpu", "gpu", "mps")
PATIENCE = timedelta(hours=2)  # the others wait while the first one plans and checks
HELPER = "from saccade.runs import follow; follow()"


@dataclass(frozen=True)
class Devices:
    """What a training runs on.

    Args:
        accelerator: ``auto`` (a GPU where there is one), ``cpu``, ``gpu`` or ``mps``.
        count: Processes per node: GPUs, or shares of the CPU's cores.
        nodes: Machines.

    Raises:
        InputError: If this machine has no such device, or not so many.
    """

    accelerator: str = "auto"
    count: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        if self.accelerator not in ACCELERATORS:
            raise InputError(f"--accelerator: must be {', '.join(ACCELERATORS)}, got '{self.accelerator}'.")
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise InputError("--accelerator: 'gpu' cannot be used, torch finds no GPU on this machine. Use cpu.")
        if self.accelerator == "mps" and not torch.backends.mps.is_available():
            raise InputError("--accelerator: 'mps' cannot be used on this machine. Use cpu.")
        for name, number in (("--devices", self.count), ("--nodes", self.nodes)):
            if number < 1:
                raise InputError(f"{name}: must be at least 1, got {number}.")
        if self.kind != "cpu" and self.count > (most := torch.cuda.device_count() or 1):
            raise InputError(f"--devices: must be at most the {most} GPU(s) of this machine, got {self.count}.")

    @property
    def kind(self) -> str:
        """``cuda``, ``mps`` or ``cpu``."""
        if self.accelerator == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available()):
            return "cpu"
        return "cuda" if torch.cuda.is_available() and self.accelerator != "mps" else "mps"

    @property
    def size(self) -> int:
        """Processes in all."""
        return self.count * self.nodes


def rank_of_process(devices: Devices) -> int:
    """Which of the processes this one is: 0 unless torchrun or srun started several.

    Raises:
        InputError: If they started another number than was asked for, or nobody started those on other nodes.
    """
    outside = _outside()
    if outside is not None:
        rank, size = (int(os.environ[name]) for name in outside)
    elif devices.nodes > 1:
        raise InputError(
            "--nodes: processes on several machines are started by torchrun or srun, see docs/training.md."
        )
    else:
        return 0
    if size != devices.size:
        raise InputError(f"--devices: {size} processes were started, but devices x nodes is {devices.size}.")
    return rank


@contextmanager
def together(devices: Devices, job: Any = None) -> Iterator[Any]:
    """Bring the processes of a training together and give the first one's job to all of them.

    The first process starts the others unless torchrun or srun did, and ends them when it fails.

    Args:
        devices: How many there are.
        job: What is to be done; None in all but the first process.

    Raises:
        RunError: If one of them is lost.
    """
    if devices.size == 1:
        yield job
        return
    variables = dict(os.environ)
    helpers: list[_Helper] = []
    try:
        if _outside() is not None:
            _translate_slurm()
            if not distributed.is_initialized():  # as it is in those that have joined
                distributed.init_process_group(_backend(devices), timeout=PATIENCE)
        else:
            helpers = _start_helpers(devices)
        with _threads(devices):
            box = [job]
            distributed.broadcast_object_list(box, src=0)
            yield box[0]
        for helper in helpers:
            with suppress(subprocess.TimeoutExpired):  # all is done; one that does not end by itself is ended below
                helper.process.wait(60)
    except SaccadeError:
        raise
    except Exception as error:  # what torch raises when another process has gone depends on where it was waiting
        for helper in helpers:
            if failure := helper.failure(2.0):
                raise RunError(failure) from error
        if _is_of_connection(error):  # one that torchrun or srun has started, and will say more of
            raise RunError(
                "train: another process of the training was lost. What was finished is kept, use --resume."
            ) from error
        raise
    finally:
        for helper in helpers:
            helper.process.kill()
            helper.process.wait()
            helper.errors.close()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        os.environ.clear()
        os.environ.update(variables)


def join() -> Devices:
    """What a process does first that `together` has started: find the one that did."""
    given = json.loads(sys.argv[-1])
    devices = Devices(**given["devices"])
    store = distributed.TCPStore("127.0.0.1", given["port"], devices.size, is_master=False, timeout=PATIENCE)
    store.set(f"here {given['rank']}", "1")
    _say_who(given["rank"], devices)
    distributed.init_process_group(
        _backend(devices), store=store, rank=given["rank"], world_size=devices.size, timeout=PATIENCE
    )
    return devices


@dataclass
class _Helper:
    rank: int
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def failure(self, seconds: float) -> str | None:
        """One line, if it has ended badly or does so within some seconds."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        if code == 0:
            return None
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"exit code {code}"
        if code < 0:  # it had no time to say why
            said = f"killed by signal {-code}; if memory ran out, use a smaller batch_size or fewer --devices"
        return f"train: process {self.rank} of the training was lost ({said}). What was finished is kept, use --resume."


def _start_helpers(devices: Devices) -> list[_Helper]:
    store = distributed.TCPStore("127.0.0.1", 0, devices.size, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    helpers = []
    for rank in range(1, devices.size):
        errors = tempfile.TemporaryFile()  # noqa: SIM115 (stays open as long as the process)
        argument = json.dumps({"devices": asdict(devices), "port": store.port, "rank": rank})
        process = subprocess.Popen(
            [sys.executable, "-c", HELPER, argument],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the first one, which ends the others
        )
        helpers.append(_Helper(rank, process, errors))
    try:
        for helper in helpers:
            while not store.check([f"here {helper.rank}"]):
                if failure := helper.failure(0.1):
                    raise RunError(failure)
        _say_who(0, devices)
        distributed.init_process_group(
            _backend(devices), store=store, rank=0, world_size=devices.size, timeout=PATIENCE
        )
    except BaseException:
        for helper in helpers:
            helper.process.kill()
            helper.process.wait()
            helper.errors.close()
        raise
    return helpers


def _outside() -> tuple[str, str] | None:
    """The variables that tell this process's number and how many there are, if torchrun or srun started several."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return "RANK", "WORLD_SIZE"
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in os.environ:
        return "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"
    return None


def _is_of_connection(error: Exception) -> bool:
    """Whether an error means that another process does not answer; gloo's errors have no class of their own."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


def _backend(devices: Devices) -> str:
    return "cpu:gloo,cuda:nccl" if devices.kind == "cuda" else "gloo"


def _say_who(rank: int, devices: Devices) -> None:
    """The variables that Lightning reads."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank % devices.count),
        "NODE_RANK": str(rank // devices.count),
        "WORLD_SIZE": str(devices.size),
    }


def _translate_slurm() -> None:
    """srun's variables as torchrun's."""
    if "RANK" in os.environ:
        return
    first = re.sub(r"\[(\d+).*", r"\1", os.environ["SLURM_STEP_NODELIST"].split(",")[0])
    os.environ |= {
        "RANK": os.environ["SLURM_PROCID"],
        "LOCAL_RANK": os.environ["SLURM_LOCALID"],
        "NODE_RANK": os.environ["SLURM_NODEID"],
        "WORLD_SIZE": os.environ["SLURM_STEP_NUM_TASKS"],
        "MASTER_ADDR": first,
        "MASTER_PORT": str(20000 + int(os.environ["SLURM_JOB_ID"]) % 10000),
    }


@contextmanager
def _threads(devices: Devices) -> Iterator[None]:
    """Each process on a CPU gets its share of the cores."""
    before = torch.get_num_threads()
    if devices.kind == "cpu":
        torch.set_num_threads(max(1, min(before, cores() // devices.count)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
