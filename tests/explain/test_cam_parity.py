"""Maps equal those of pytorch-grad-cam and of Respond-CAM's code on the layer's grid."""

import pytest
import torch
from golden_parity import close, goldens, ids, load
from planted import GoldenNetwork

from saccade import explain

METHODS = {
    "AblationCAM": explain.ablation_cam,
    "EigenCAM": explain.eigen_cam,
    "EigenGradCAM": explain.eigen_grad_cam,
    "GradCAM": explain.grad_cam,
    "GradCAMElementWise": explain.grad_cam_element_wise,
    "GradCAMPlusPlus": explain.grad_cam_plus_plus,
    "HiResCAM": explain.hires_cam,
    "LayerCAM": explain.layer_cam,
    "ScoreCAM": explain.score_cam,
    "XGradCAM": explain.x_grad_cam,
    "x_cam(respond=True)": explain.respond_cam,
}
CASES = goldens("E_cam")


def test_there_are_stored_maps() -> None:
    assert {load(path).about["class"] for path in CASES} >= set(METHODS) - {"XGradCAM"}


@pytest.mark.parametrize("path", CASES, ids=ids(CASES))
def test_the_stored_map(path) -> None:
    golden = load(path)
    x, classes = golden.tensors["input.x"], golden.tensors["input.cls"]
    network = GoldenNetwork(x.ndim - 2)
    network.load_state_dict(golden.part("state"))
    layer = "conv2" if "conv2" in path.stem else "relu2"
    found = METHODS[golden.about["class"]](network, x, target=classes, layer=layer, resize=False)
    want = golden.tensors["attention.raw_cam"] if "attention.raw_cam" in golden.tensors else golden.tensors["output"]
    close(found, want, "map")
    if golden.about["class"].startswith("x_cam"):
        plain = explain.grad_cam(network, x, target=classes, layer=layer, resize=False)
        close(plain, golden.tensors["attention.gradcam"], "grad_cam")


@pytest.mark.parametrize("method", [*METHODS.values(), explain.occlusion])
def test_a_volume_one_voxel_thick_is_an_image(method) -> None:
    """Ours, since pytorch-grad-cam has Grad-CAM++, XGrad-CAM, Score-CAM and Ablation-CAM in 2D alone."""
    torch.manual_seed(0)
    flat, thick = GoldenNetwork(2), GoldenNetwork(3)
    state = flat.state_dict()
    for name in ("conv1.weight", "conv2.weight"):
        middle = torch.zeros_like(thick.state_dict()[name])
        middle[..., 1] = state[name]
        state[name] = middle
    # pooled to 2 x 2 x 2 over one voxel, each feature stands twice
    state["fc.weight"] = (state["fc.weight"] / 2).repeat_interleave(2, 1)
    thick.load_state_dict(state)
    x = torch.randn(2, 2, 11, 7)
    torch.testing.assert_close(thick(x[..., None]), flat(x))
    layers = {} if method is explain.occlusion else {"layer": "relu2"}
    one, other = (
        method(network, given, target=[3, 1], **layers) for network, given in ((flat, x), (thick, x[..., None]))
    )
    torch.testing.assert_close(other[..., 0], one, rtol=1e-4, atol=1e-5)
