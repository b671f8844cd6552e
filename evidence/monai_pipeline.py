"""A plain MONAI pipeline on the same split and the same training seconds: what a user would have without Saccade.

CacheDataset, z-score, random crop, RandAffine, Dice + cross-entropy, AdamW 1e-3 with polynomial decay, batches of 4
patches of 48 x 64 x 48, bfloat16 autocast where the processor has it; sliding windows with Gaussian weights at the
end. The schedule ends with the budget. Prints one JSON line: case -> structure -> Dice.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from monai import transforms as mt
from monai.data import CacheDataset, DataLoader
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import AttentionUnet, UNet

from saccade.data.layouts import find_dataset
from saccade.data.splits import make_folds
from saccade.metrics import dice
from saccade.tasks.environment import fast_bfloat16, peak_memory_bytes

PATCH = (48, 64, 48)
CHANNELS, STRIDES = (16, 32, 64, 128), (2, 2, 2)


def mixed_precision() -> torch.autocast:
    """bfloat16 where the processor has instructions for it, as on our side: without them it is many times slower."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast_bfloat16())


def make_network(name: str, classes: int) -> torch.nn.Module:
    """MONAI's AttentionUnet, or its residual UNet."""
    sizes = {"spatial_dims": 3, "in_channels": 1, "out_channels": classes, "channels": CHANNELS, "strides": STRIDES}
    return AttentionUnet(**sizes) if name == "AttentionUnet" else UNet(**sizes, num_res_units=2)


def loaders(data: Path, fold: int, folds: int) -> tuple[DataLoader, list[dict[str, str]], dict[int, str]]:
    """Training batches, the held-out files, and the structures' names; the folds are those of `saccade train`."""
    dataset = find_dataset(data)
    held_out = set(make_folds([case.id for case in dataset.labelled()], folds)[fold])
    files = [{"image": str(c.images[0]), "label": str(c.label), "id": c.id} for c in dataset.labelled()]
    both = ["image", "label"]
    fixed = [
        mt.LoadImaged(both),
        mt.EnsureChannelFirstd(both),
        mt.Orientationd(both, axcodes="RAS", labels=None),
        mt.NormalizeIntensityd("image"),
        mt.SpatialPadd(both, PATCH),
    ]
    random = [
        mt.RandSpatialCropd(both, PATCH, random_size=False),
        mt.RandAffined(
            both,
            prob=0.5,
            rotate_range=(0.26, 0.26, 0.26),
            scale_range=(0.2, 0.2, 0.2),
            mode=("bilinear", "nearest"),
            padding_mode="border",
        ),
    ]
    train = [file for file in files if file["id"] not in held_out]
    cached = CacheDataset(train, mt.Compose(fixed + random), num_workers=0, progress=False)
    loader = DataLoader(cached, batch_size=4, shuffle=True, num_workers=0, drop_last=True)
    return loader, [file for file in files if file["id"] in held_out], dataset.label_names


def train(network: torch.nn.Module, loader: DataLoader, seconds: float) -> int:
    """Train for so many seconds; the number of steps taken."""
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()
    steps, began = 0, time.perf_counter()
    while True:
        for batch in loader:
            spent = (time.perf_counter() - began) / seconds
            if spent >= 1:
                return steps
            optimiser.param_groups[0]["lr"] = 1e-3 * (1 - spent) ** 0.9
            with mixed_precision():
                logits = network(batch["image"].as_tensor())
                loss = loss_of(logits.float(), batch["label"].as_tensor())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps += 1


@torch.inference_mode()
def score(network: torch.nn.Module, files: list[dict[str, str]], names: dict[int, str]) -> dict[str, dict[str, float]]:
    """Dice of each held-out case and structure."""
    network.eval()
    both = ["image", "label"]
    load = mt.Compose(
        [
            mt.LoadImaged(both),
            mt.EnsureChannelFirstd(both),
            mt.Orientationd(both, axcodes="RAS", labels=None),
            mt.NormalizeIntensityd("image"),
        ]
    )
    scores = {}
    for file in files:
        case = load(file)
        image = case["image"].as_tensor()[None]
        with mixed_precision():
            logits = sliding_window_inference(image, PATCH, 4, network, overlap=0.5, mode="gaussian")
        found, truth = logits[0].argmax(0).numpy(), case["label"].as_tensor()[0].numpy()
        scores[file["id"]] = {name: float(dice(found == value, truth == value)) for value, name in names.items()}
    return scores


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--network", choices=["AttentionUnet", "UNet"], required=True)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--folds", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    loader, held_out, names = loaders(options.data, options.fold, options.folds)
    network = make_network(options.network, len(names) + 1)
    steps = train(network, loader, options.seconds)
    result = {
        "cases": score(network, held_out, names),
        "steps": steps,
        "parameters": sum(p.numel() for p in network.parameters()),
        "peak_memory_bytes": peak_memory_bytes(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
