"""Where a network looked, and what it made of it.

Everything is imported on first use, so that pictures can be drawn without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "GateActivations": "activations",
    "Picture": "draw_picture",
    "ablation_cam": "perturbation",
    "attention_maps": "taps",
    "box_of_map": "boxes",
    "box_of_mask": "boxes",
    "box_overlap": "boxes",
    "cam": "class_activation",
    "class_in_region": "targets",
    "counterfactual": "targets",
    "detection_score": "targets",
    "draw": "draw_maps",
    "eigen_cam": "eigen_cams",
    "eigen_grad_cam": "eigen_cams",
    "feature_maps": "features",
    "gate_activations": "activations",
    "gates_of": "activations",
    "grad_cam": "gradient_cams",
    "grad_cam_element_wise": "gradient_cams",
    "grad_cam_plus_plus": "gradient_cams",
    "guided_backpropagation": "backpropagation",
    "guided_grad_cam": "backpropagation",
    "hires_cam": "gradient_cams",
    "input_gradient": "backpropagation",
    "layer_cam": "gradient_cams",
    "layer_names": "layers",
    "occlusion": "perturbation",
    "output_element": "targets",
    "respond_cam": "response",
    "score_cam": "perturbation",
    "score_parts": "response",
    "top_classes": "targets",
    "x_grad_cam": "gradient_cams",
}

__all__ = [
    "GateActivations",
    "Picture",
    "ablation_cam",
    "attention_maps",
    "box_of_map",
    "box_of_mask",
    "box_overlap",
    "cam",
    "class_in_region",
    "counterfactual",
    "detection_score",
    "draw",
    "eigen_cam",
    "eigen_grad_cam",
    "faithfulness",
    "feature_maps",
    "gate_activations",
    "gates_of",
    "grad_cam",
    "grad_cam_element_wise",
    "grad_cam_plus_plus",
    "guided_backpropagation",
    "guided_grad_cam",
    "hires_cam",
    "input_gradient",
    "layer_cam",
    "layer_names",
    "occlusion",
    "output_element",
    "respond_cam",
    "score_cam",
    "score_parts",
    "top_classes",
    "x_grad_cam",
]

if TYPE_CHECKING:
    from saccade.explain import faithfulness
    from saccade.explain.activations import GateActivations, gate_activations, gates_of
    from saccade.explain.backpropagation import guided_backpropagation, guided_grad_cam, input_gradient
    from saccade.explain.boxes import box_of_map, box_of_mask, box_overlap
    from saccade.explain.class_activation import cam
    from saccade.explain.draw_maps import draw
    from saccade.explain.draw_picture import Picture
    from saccade.explain.eigen_cams import eigen_cam, eigen_grad_cam
    from saccade.explain.features import feature_maps
    from saccade.explain.gradient_cams import (
        grad_cam,
        grad_cam_element_wise,
        grad_cam_plus_plus,
        hires_cam,
        layer_cam,
        x_grad_cam,
    )
    from saccade.explain.layers import layer_names
    from saccade.explain.perturbation import ablation_cam, occlusion, score_cam
    from saccade.explain.response import respond_cam, score_parts
    from saccade.explain.taps import attention_maps
    from saccade.explain.targets import (
        class_in_region,
        counterfactual,
        detection_score,
        output_element,
        top_classes,
    )


def __getattr__(name: str) -> Any:
    if name == "faithfulness":
        return importlib.import_module("saccade.explain.faithfulness")
    if name in _HOME:
        return getattr(importlib.import_module(f"saccade.explain.{_HOME[name]}"), name)
    raise AttributeError(f"module 'saccade.explain' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
