"""Whole networks: tensor in, tensor out; plain modules that need nothing else of Saccade."""

from saccade.networks.ag_sononet import AGSonoNet
from saccade.networks.alexnet import AlexNet
from saccade.networks.attention_unet import AttentionUNet, Gates
from saccade.networks.between_blocks import put_between
from saccade.networks.densenet import DenseNet
from saccade.networks.homework import HomeworkUNet2D, HomeworkUNet3D
from saccade.networks.image_subject2vec import ImageSubject2Vec
from saccade.networks.learn_to_pay_attention import LearnToPayAttention
from saccade.networks.lenet import LeNet
from saccade.networks.lesion_describer import LesionDescriber
from saccade.networks.non_local_c2d import NonLocalC2D
from saccade.networks.non_local_unet import NonLocalUNet
from saccade.networks.patch_sets import PatchGrid, pad_sets
from saccade.networks.recurrent_attention import Looks, RecurrentAttentionModel
from saccade.networks.resnet import ResNet
from saccade.networks.retinanet import RetinaNet
from saccade.networks.sononet import SonoNet
from saccade.networks.spatial_transformer import Localisation, STNClassifier
from saccade.networks.ssd import SSD
from saccade.networks.ssd300 import SSD300
from saccade.networks.strided_attention_unet import StridedAttentionUNet
from saccade.networks.subject2vec import Subject, Subject2Vec
from saccade.networks.tomogram_cnn import TomogramCNN
from saccade.networks.unet import UNet
from saccade.networks.vgg import VGG
from saccade.networks.whole_image import WholeImage

__all__ = [
    "SSD",
    "SSD300",
    "VGG",
    "AGSonoNet",
    "AlexNet",
    "AttentionUNet",
    "DenseNet",
    "Gates",
    "HomeworkUNet2D",
    "HomeworkUNet3D",
    "ImageSubject2Vec",
    "LeNet",
    "LearnToPayAttention",
    "LesionDescriber",
    "Localisation",
    "Looks",
    "NonLocalC2D",
    "NonLocalUNet",
    "PatchGrid",
    "RecurrentAttentionModel",
    "ResNet",
    "RetinaNet",
    "STNClassifier",
    "SonoNet",
    "StridedAttentionUNet",
    "Subject",
    "Subject2Vec",
    "TomogramCNN",
    "UNet",
    "WholeImage",
    "pad_sets",
    "put_between",
]
