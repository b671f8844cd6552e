"""The names that other people's code relies on; a change here is a change for them."""

import importlib

import pytest

import saccade

NAMES = [
    "AttentionMap",
    "Volume",
    "attach",
    "build",
    "detach",
    "from_reference",
    "list_systems",
    "load",
    "load_reference",
    "read_volume",
    "record",
    "train",
    "write_volume",
    "attention",
    "data",
    "explain",
    "layers",
    "losses",
    "metrics",
    "networks",
    "systems",
    "tasks",
    "__version__",
]
PACKAGES = {
    "attention": [
        "AdditiveAttention",
        "AttentionGate",
        "BAM",
        "CBAM",
        "ConcurrentSqueezeExcitation",
        "EfficientChannelAttention",
        "GlimpseSensor",
        "MultiAttentionGate",
        "MultiHeadAttention",
        "MultiplicativeAttention",
        "NonLocal",
        "ProjectExcitation",
        "SCA",
        "SelfAttention",
        "SpatialSqueezeExcitation",
        "SpatialTransformer",
        "SqueezeExcitation",
        "Tap",
        "VisualAttention",
        "scaled_dot_product_attention",
    ],
    "explain": [
        "ablation_cam",
        "attention_maps",
        "cam",
        "draw",
        "eigen_cam",
        "eigen_grad_cam",
        "faithfulness",
        "feature_maps",
        "grad_cam",
        "grad_cam_element_wise",
        "grad_cam_plus_plus",
        "guided_backpropagation",
        "guided_grad_cam",
        "hires_cam",
        "input_gradient",
        "layer_cam",
        "occlusion",
        "respond_cam",
        "score_cam",
        "x_grad_cam",
    ],
    "networks": [
        "AGSonoNet",
        "AlexNet",
        "AttentionUNet",
        "DenseNet",
        "HomeworkUNet2D",
        "HomeworkUNet3D",
        "ImageSubject2Vec",
        "LearnToPayAttention",
        "LeNet",
        "NonLocalC2D",
        "PatchGrid",
        "RecurrentAttentionModel",
        "ResNet",
        "STNClassifier",
        "SonoNet",
        "Subject2Vec",
        "TomogramCNN",
        "UNet",
        "VGG",
        "pad_sets",
        "put_between",
    ],
    "losses": ["dice_loss", "heads_cross_entropy", "hybrid_loss", "subject_loss"],
    "metrics": ["dice", "hausdorff95", "precision", "recall", "surface_dice", "surface_distance"],
}


def test_the_names_of_the_package() -> None:
    assert saccade.__all__ == NAMES
    assert dir(saccade) == sorted(NAMES)
    for name in NAMES:
        assert getattr(saccade, name) is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_the_names_of_its_parts(package) -> None:
    module = importlib.import_module(f"saccade.{package}")
    assert module is getattr(saccade, package)
    assert set(PACKAGES[package]) <= set(module.__all__)
    for name in module.__all__:
        assert getattr(getattr(module, name), "__module__", "saccade.").startswith("saccade.")  # constants have none


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match=r"^module 'saccade' has no attribute 'nonsense'$"):
        _ = saccade.nonsense
