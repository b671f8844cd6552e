"""Several processes: who is which, what cannot be, and one that is lost."""

import pytest
import torch
from tiny import train

from saccade.errors import InputError
from saccade.tasks import devices
from saccade.tasks.devices import Devices, rank_of_process

VARIABLES = ("RANK", "WORLD_SIZE", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")


@pytest.fixture(autouse=True)
def started_alone(monkeypatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"accelerator": "tpu"}, "--accelerator: must be auto, cpu, gpu, mps, got 'tpu'."),
        ({"count": 0}, "--devices: must be at least 1, got 0."),
        ({"nodes": -1}, "--nodes: must be at least 1, got -1."),
        pytest.param(
            {"accelerator": "gpu"},
            "--accelerator: 'gpu' cannot be used, torch finds no GPU on this machine. Use cpu.",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)
def test_devices_that_are_not_there(given, message) -> None:
    with pytest.raises(InputError) as error:
        Devices(**given)
    assert str(error.value) == message


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_more_gpus_than_there_are() -> None:
    with pytest.raises(InputError, match=r"^--devices: must be at most the \d+ GPU\(s\) of this machine, got 99\.$"):
        Devices("gpu", 99)


def test_who_is_which(monkeypatch) -> None:
    two = Devices("cpu", 2)
    assert rank_of_process(two) == 0  # it will start the other one
    monkeypatch.setenv("SLURM_PROCID", "0")  # a batch script, nothing started by srun
    assert rank_of_process(two) == 0
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    assert rank_of_process(Devices("cpu", 2, 2)) == 3
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert rank_of_process(two) == 1
    with pytest.raises(InputError) as error:
        rank_of_process(Devices("cpu", 3))
    assert str(error.value) == "--devices: 2 processes were started, but devices x nodes is 3."


def test_several_nodes_need_a_starter() -> None:
    with pytest.raises(InputError) as error:
        rank_of_process(Devices("cpu", 1, 2))
    assert str(error.value) == (
        "--nodes: processes on several machines are started by torchrun or srun, see docs/training.md."
    )


@pytest.mark.parametrize(
    ("nodelist", "first"), [("n7", "n7"), ("gpu[03-05,9]", "gpu03"), ("a12,b[1-2]", "a12"), ("x[1,4]", "x1")]
)
def test_the_first_machine_of_slurm(monkeypatch, nodelist, first) -> None:
    import os

    slurm = {"PROCID": "5", "LOCALID": "1", "NODEID": "2", "STEP_NUM_TASKS": "6", "JOB_ID": "70123"}
    for name, value in {**slurm, "STEP_NODELIST": nodelist}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with monkeypatch.context() as patch:
        for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            patch.setenv(name, "")
            patch.delenv(name)
        devices._translate_slurm()
        found = {name: os.environ[name] for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_PORT")}
        assert found == {"RANK": "5", "LOCAL_RANK": "1", "NODE_RANK": "2", "WORLD_SIZE": "6", "MASTER_PORT": "20123"}
        assert os.environ["MASTER_ADDR"] == first


@pytest.mark.process
@pytest.mark.usefixtures("short_check")
def test_a_process_that_is_lost_is_one_line(pairs, tmp_path, capfd, monkeypatch) -> None:
    monkeypatch.setattr(devices, "HELPER", "import sys; sys.exit('no room')")
    assert train(pairs, tmp_path / "run", "--devices", "2", "--accelerator", "cpu") == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "saccade: train: process 1 of the training was lost (no room). What was finished is kept, use --resume."
    )
    assert not (tmp_path / "run").exists()  # nothing was finished


@pytest.mark.usefixtures("short_check")
def test_a_batch_must_be_shared_out_evenly(pairs, tmp_path, capfd) -> None:
    more = ("--devices", "2", "--accelerator", "cpu", "--set", "training.batch_size=3")
    assert train(pairs, tmp_path / "run", *more) == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        "saccade: training.batch_size: must be a multiple of devices x nodes (2), got 3."
    )
