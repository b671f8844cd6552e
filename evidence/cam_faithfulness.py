"""How true and how sharp each explanation method is where the evidence is known, in pictures and volumes.

Networks that end in global average pooling learn, from images with one object and a decoy, which object it is
(`saccade data make planted`); then each method is asked for its map. The decoy is the brightest thing in the image and
says nothing, so that a map of brightness points at the wrong place. Also the small experiments of CAM (Zhou et al.
2016) and Grad-CAM (Selvaraju et al. 2017): pooling by maximum, two objects, counterfactuals, two copies of an object.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import comparison, once, write_record
from torch import Tensor, nn
from torch.nn import functional as F

from saccade import explain
from saccade.data.synthetic import planted
from saccade.data.synthetic.class_shortcuts import class_shortcuts
from saccade.explain import faithfulness
from saccade.layers.dimensions import ADAPTIVE_AVERAGE_POOL, CONV, MAX_POOL
from saccade.study.statistics import compare_paired

SEEDS, RATE = 3, 3e-3
NAMES = list(planted.OBJECTS)
CHANNELS = {2: (16, 32), 3: (8, 16)}
STEPS, BATCH = {2: 800, 3: 1000}, {2: 32, 3: 16}
EXPLAINED, JUDGED, TESTED = {2: 36, 3: 18}, {2: 4, 3: 2}, 300  # images with maps, of these with a verdict, with a class
TWO = 60  # images of two objects, each
ATTEMPTS, LEARNT = 3, 0.5  # a training whose last losses lie above this learnt nothing, and is begun with other weights
LAYER = "relu4"
HALF = 0.5  # of a map's maximum, which both copies must reach
Method = Callable[..., Tensor]
Result = dict[str, Any]


class Pooled(nn.Module):
    """Two convolutions, maximum pooling, two convolutions, global pooling by mean or maximum, a linear layer."""

    def __init__(self, dims: int, pool: str = "mean") -> None:
        super().__init__()
        conv, (first, second) = CONV[dims], CHANNELS[dims]
        self.features = nn.Sequential(
            conv(1, first, 3, padding=1), nn.ReLU(), conv(first, first, 3, padding=1), nn.ReLU(), MAX_POOL[dims](2),
            conv(first, second, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.conv4, self.relu4 = conv(second, second, 3, padding=1), nn.ReLU()
        self.pool = ADAPTIVE_AVERAGE_POOL[dims](1) if pool == "mean" else nn.Identity()
        self.classifier = nn.Linear(second, len(NAMES))

    def head(self, features: Tensor) -> Tensor:
        """Scores from what the last convolution gives."""
        return self.classifier(self.pool(self.relu4(features)).flatten(2).amax(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv4(self.features(x)))


class Images:
    """Planted images one after the other."""

    def __init__(self, dims: int, seed: int) -> None:
        self.dims, self._generator = dims, np.random.default_rng([77, dims, seed])

    def draw(self, objects: list[list[str]], decoy: bool = True) -> tuple[Tensor, list[planted.Planted]]:
        """Images (n, 1, *space) and where everything lies in them."""
        made = [planted.plant(self._generator, names, dims=self.dims, decoy=decoy) for names in objects]
        return torch.tensor(np.stack([one.image for one in made]), dtype=torch.float32)[:, None], made


def trained(dims: int, pool: str, seed: int) -> tuple[Pooled, float, float, int]:
    """A network, its accuracy on images that it has not seen, the seconds that it took, and how often it was begun."""
    began = time.perf_counter()
    for attempt in range(ATTEMPTS):
        torch.manual_seed(seed + 1000 * attempt)
        network, loss = _train(Pooled(dims, pool), dims, seed)
        if loss < LEARNT:
            break
    seconds = time.perf_counter() - began
    classes = np.arange(TESTED) % len(NAMES)
    x, _ = Images(dims, 1000 + seed).draw([[NAMES[number]] for number in classes])
    with torch.no_grad():
        right = network.eval()(x).argmax(1).numpy() == classes
    return network, float(right.mean()), seconds, attempt + 1


def _train(network: Pooled, dims: int, seed: int) -> tuple[Pooled, float]:
    """The network after its training, and the loss of the last steps."""
    images, generator = Images(dims, seed), np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS[dims])
    losses = []
    for _ in range(STEPS[dims]):
        classes = generator.integers(0, len(NAMES), BATCH[dims])
        x, _ = images.draw([[NAMES[number]] for number in classes])
        optimiser.zero_grad()
        loss = F.cross_entropy(network(x), torch.tensor(classes))
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return network, float(np.mean(losses[-50:]))


def random_map(network: nn.Module, x: Tensor, *, target: Any, layer: Any = None) -> Tensor:
    """The floor: noise."""
    return torch.randn(len(x), *x.shape[2:], generator=torch.Generator().manual_seed(0))


def brightness(network: nn.Module, x: Tensor, *, target: Any, layer: Any = None) -> Tensor:
    """The input itself: it looks like an explanation and is none."""
    return x[:, 0].clone()


METHODS: dict[str, tuple[Method, str | None]] = {
    "cam": (explain.cam, None),
    "grad_cam": (explain.grad_cam, LAYER),
    "grad_cam_plus_plus": (explain.grad_cam_plus_plus, LAYER),
    "guided_grad_cam": (explain.guided_grad_cam, LAYER),
    "guided_backpropagation": (explain.guided_backpropagation, None),
    "respond_cam": (explain.respond_cam, LAYER),
    "hires_cam": (explain.hires_cam, LAYER),
    "layer_cam": (explain.layer_cam, LAYER),
    "score_cam": (explain.score_cam, LAYER),
    "ablation_cam": (explain.ablation_cam, LAYER),
    "eigen_cam": (explain.eigen_cam, LAYER),
    "input_gradient": (explain.input_gradient, None),
    "occlusion": (explain.occlusion, None),
    "random": (random_map, None),
    "brightness": (brightness, None),
}


def measure(network: Pooled, dims: int, seed: int, name: str) -> Result:
    """One method on images of one object and a decoy, asked for the class that is true."""
    method, layer = METHODS[name]
    classes = [number % len(NAMES) for number in range(EXPLAINED[dims])]
    x, made = Images(dims, 2000 + seed).draw([[NAMES[number]] for number in classes])
    began = time.perf_counter()
    maps = method(network, x, target=classes, layer=layer)
    seconds = (time.perf_counter() - began) / len(x)
    found: dict[str, list[float]] = {
        key: [] for key in ("pointing", "pointing at decoy", "energy", "energy in decoy", "box overlap", "localised")
    }
    for map_, one in zip(maps, made, strict=True):
        overlap = explain.box_overlap(explain.box_of_map(map_), explain.box_of_mask(one.objects[0]))
        found["pointing"].append(faithfulness.pointing_game(map_, one.objects[0]))
        found["pointing at decoy"].append(faithfulness.pointing_game(map_, one.decoy))
        found["energy"].append(faithfulness.energy_inside(map_, one.objects[0]))
        found["energy in decoy"].append(faithfulness.energy_inside(map_, one.decoy))
        found["box overlap"].append(overlap)
        found["localised"].append(overlap >= 0.5)
    probability = [lambda output, number=number: output.softmax(1)[0, number] for number in classes]
    for key, curve in (("deletion", faithfulness.deletion), ("insertion", faithfulness.insertion)):
        found[key] = curve(network, x, maps, target=probability, steps=10).auc.tolist()
    few = JUDGED[dims]
    verdicts = faithfulness.verify(network, x[:few], target=classes[:few], method=method, layer=layer, seed=seed)
    found["faithful"] = [verdict.faithful for verdict in verdicts]
    found["randomised similarity"] = [verdict.measures["randomised similarity"] for verdict in verdicts]
    return {"seconds_per_map": seconds, **{key: [float(value) for value in values] for key, values in found.items()}}


def two_objects(network: Pooled, dims: int, seed: int) -> Result:
    """Grad-CAM asked about each of two different objects, and what speaks against the first."""
    pairs = [(number % 3, (number + 1 + number // 3 % 2) % 3) for number in range(TWO)]
    x, made = Images(dims, 3000 + seed).draw([[NAMES[a], NAMES[b]] for a, b in pairs], decoy=False)
    own: list[bool] = []
    ratios: list[float] = []
    for side in (0, 1):
        maps = explain.grad_cam(network, x, target=[pair[side] for pair in pairs], layer=LAYER)
        for map_, one in zip(maps, made, strict=True):
            own.append(faithfulness.pointing_game(map_, one.objects[side]))
            inside = [faithfulness.energy_inside(map_, box) for box in (one.objects[side], one.objects[1 - side])]
            ratios.append(inside[0] / max(inside[1], 1e-6))
    against = explain.grad_cam(network, x, target=explain.counterfactual([a for a, _ in pairs]), layer=LAYER)
    other = [faithfulness.pointing_game(map_, one.objects[1]) for map_, one in zip(against, made, strict=True)]
    return {"own": float(np.mean(own)), "ratio": float(np.median(ratios)), "counterfactual": float(np.mean(other))}


def two_copies(network: Pooled, dims: int, seed: int) -> Result:
    """How often both copies of one object reach half of the map's maximum."""
    classes = [number % 3 for number in range(TWO)]
    x, made = Images(dims, 4000 + seed).draw([[NAMES[number]] * 2 for number in classes], decoy=False)
    rates = {}
    for name, method in (("Grad-CAM", explain.grad_cam), ("Grad-CAM++", explain.grad_cam_plus_plus)):
        maps = method(network, x, target=classes, layer=LAYER).relu().numpy()
        both = [
            all(map_[box].max() >= HALF * map_.max() > 0 for box in one.objects)
            for map_, one in zip(maps, made, strict=True)
        ]
        rates[name] = float(np.mean(both))
    return rates


def laws(network: Pooled, dims: int, seed: int) -> Result:
    """Largest deviations from what must hold: CAM and the score, Grad-CAM and CAM, guided backpropagation and ReLU."""
    x, _ = Images(dims, 5000 + seed).draw([[name] for name in NAMES])
    with torch.no_grad():
        scores, features = network(x), network.conv4(network.features(x))
    sums, shares = 0.0, 0.0
    for number, bias in enumerate(network.classifier.bias.detach()):
        map_ = explain.cam(network, x, target=number, resize=False)
        sums = max(sums, float((map_.flatten(1).mean(1) + bias - scores[:, number]).abs().max()))
        plain = explain.grad_cam(network, x, target=number, layer=LAYER, resize=False)
        shares = max(shares, float((plain - map_ / map_[0].numel()).abs().max()))
    behind = _Behind(network)
    guided = explain.guided_backpropagation(behind, features, target=0, keep_channels=True)
    return {
        "mean of CAM + bias - score": sums,
        "Grad-CAM - CAM / Z": shares,
        "guided gradient where activations are not positive": float(guided[features <= 0].abs().max()),
    }


class _Behind(nn.Module):
    """What follows the last convolution."""

    def __init__(self, network: Pooled) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        return self.network.head(features)


def study(dims: int, seed: int) -> Result:
    """One network with global average pooling and all that is asked of it."""
    network, accuracy, seconds, attempts = trained(dims, "mean", seed)
    return {
        "accuracy": accuracy,
        "attempts": attempts,
        "training_seconds": seconds,
        "parameters": sum(p.numel() for p in network.parameters()),
        "methods": {name: measure(network, dims, seed, name) for name in METHODS},
        "two objects": two_objects(network, dims, seed),
        "two copies": two_copies(network, dims, seed),
        "laws": laws(network, dims, seed),
    }


def study_maximum(seed: int) -> Result:
    """The same network in 2D with the maximum in place of the mean, by Grad-CAM."""
    network, accuracy, *_ = trained(2, "maximum", seed)
    return {"accuracy": accuracy, "grad_cam": measure(network, 2, seed, "grad_cam")}


def mean_of(results: list[Result], name: str, key: str) -> float:
    """Over images and seeds."""
    return float(np.mean([result["methods"][name][key] for result in results]))


def table(results: list[Result]) -> Result:
    """A row for each method."""
    keys = [*results[0]["methods"]["cam"]]
    return {name: {key: mean_of(results, name, key) for key in keys} for name in METHODS}


def accepted(dims: int, results: list[Result], of_maximum: list[Result]) -> dict[str, bool]:
    """The small experiments' expectations, with what was found."""
    accuracy = min(result["accuracy"] for result in results)
    worst = {key: max(result["laws"][key] for result in results) for key in results[0]["laws"]}
    two = {key: float(np.mean([r["two objects"][key] for r in results])) for key in results[0]["two objects"]}
    both = {key: float(np.mean([r["two copies"][key] for r in results])) for key in results[0]["two copies"]}
    pointing = mean_of(results, "cam", "pointing")
    first, second, third = worst
    found = {
        f"accuracy at least 0.97 with every seed ({accuracy:.3f})": accuracy >= 0.97,
        f"mean of CAM and bias are the score to 1e-4 ({worst[first]:.1e})": worst[first] <= 1e-4,
        f"CAM's peak in the object's box at least 0.65 ({pointing:.3f})": pointing >= 0.65,
        f"Grad-CAM is CAM over the number of positions to 1e-5 ({worst[second]:.1e})": worst[second] <= 1e-5,
        f"guided gradient is 0 where activations are not positive ({worst[third]:.1e})": worst[third] == 0,
        f"two objects: Grad-CAM's peak on its own at least 0.7 ({two['own']:.3f})": two["own"] >= 0.7,
        f"two objects: median energy on its own at least 1.5 times the other's ({two['ratio']:.1f})": two["ratio"]
        >= 1.5,
        f"two objects: counterfactual's peak on the other at least 0.6 ({two['counterfactual']:.3f})": two[
            "counterfactual"
        ]
        >= 0.6,
        f"two copies: both at half of Grad-CAM++'s maximum at least 0.7 ({both['Grad-CAM++']:.3f}) and no less often "
        f"than Grad-CAM's ({both['Grad-CAM']:.3f})": both["Grad-CAM++"] >= max(0.7, both["Grad-CAM"]),
    }
    if of_maximum:
        mean = mean_of(results, "grad_cam", "energy")
        most = float(np.mean([result["grad_cam"]["energy"] for result in of_maximum]))
        found[f"energy in the box by mean pooling ({mean:.3f}) no less than by maximum ({most:.3f})"] = mean >= most
    return {f"{dims}D: {what}": holds for what, holds in found.items()}


def cam_faithfulness(options: argparse.Namespace) -> None:
    """Fill cam-faithfulness.json."""
    results = {
        dims: [
            once(f"cam-faithfulness-{dims}d-seed{seed}", lambda d=dims, s=seed: study(d, s)) for seed in range(SEEDS)
        ]
        for dims in (2, 3)
    }
    of_maximum = [
        once(f"cam-faithfulness-maximum-seed{seed}", lambda s=seed: study_maximum(s)) for seed in range(SEEDS)
    ]
    shortcuts = once("cam-faithfulness-shortcuts", lambda: _shortcuts(options))
    energies = {
        name: {
            f"{dims}D {number:03d}": float(value)
            for dims, found in results.items()
            for number, value in enumerate(np.mean([r["methods"][name]["energy"] for r in found], axis=0))
        }
        for name in ("grad_cam", "brightness")
    }
    maximum = {
        key: float(np.mean([result["grad_cam"][key] for result in of_maximum]))
        for key in ("pointing", "energy", "box overlap", "localised")
    }
    write_record(
        "cam-faithfulness",
        {
            "control": "brightness of the image as map",
            "task": "explanation of classifiers where the evidence is known",
            "paper": "Zhou et al. 2016, arXiv:1512.04150; Selvaraju et al. 2017, arXiv:1610.02391",
            "data": {
                "name": f"planted objects beside a brighter decoy, 2D and 3D, {EXPLAINED[2]} and {EXPLAINED[3]} images "
                "explained with each seed",
                "licence": "made by saccade data make planted",
            },
            "metric": "part of Grad-CAM's positive energy in the object's box; accuracy for the shortcuts",
            "seeds": SEEDS,
            **comparison(compare_paired(energies["grad_cam"], energies["brightness"])),
            "table": {f"{dims}D": table(found) for dims, found in results.items()},
            "maximum pooling, 2D": {**maximum, "accuracy": [result["accuracy"] for result in of_maximum]},
            "accuracy": {f"{dims}D": [result["accuracy"] for result in found] for dims, found in results.items()},
            "two objects": {f"{dims}D": [result["two objects"] for result in found] for dims, found in results.items()},
            "two copies": {f"{dims}D": [result["two copies"] for result in found] for dims, found in results.items()},
            "part of the image that the object's box fills": {
                f"{dims}D": planted.SIDE**dims / planted.SIZE[dims] ** dims for dims in results
            },
            "parameters": {f"{dims}D": found[0]["parameters"] for dims, found in results.items()},
            "training_seconds": {
                f"{dims}D": [result["training_seconds"] for result in found] for dims, found in results.items()
            },
            "accept": {
                item: holds
                for dims, found in results.items()
                for item, holds in accepted(dims, found, of_maximum if dims == 2 else []).items()
            },
            "shortcut_baselines": {key: value for key, value in shortcuts.items() if isinstance(value, float)},
            "notes": [
                f"{STEPS[2]} steps of {BATCH[2]} pictures, {STEPS[3]} of {BATCH[3]} volumes, drawn anew each time; all "
                "maps are made for the true class.",
                f"A training whose loss ends above {LEARNT} (chance is {np.log(len(NAMES)):.1f}) is begun again with "
                "other weights, which happened "
                f"{sum(r.get('attempts', 1) - 1 for found in results.values() for r in found)} time(s).",
                f"Verdicts on the first {JUDGED[2]} pictures and {JUDGED[3]} volumes with each seed.",
                "'localised' counts boxes at 20 % of the map's maximum that overlap the object's box by half.",
                "The energy ratio of two objects is a median, as the other's energy may be 0.",
                "Another job ran on the machine's other core, so seconds are upper bounds.",
            ],
        },
    )


def _shortcuts(options: argparse.Namespace) -> Result:
    scores = {}
    for dims in (2, 3):
        folders = [options.work / f"planted-{dims}-{seed}" for seed in (0, 1)]
        for seed, folder in enumerate(folders):
            planted.make(folder, cases=300, seed=seed, dims=dims)
        scores |= {f"{key}, {dims}D": value for key, value in class_shortcuts(*folders).items()}
    return scores
