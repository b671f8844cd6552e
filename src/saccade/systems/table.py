"""Saccade's own systems, a row each; looking at it imports nothing heavy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """One system: what it is, where it lives, and what it is measured against.

    Attributes:
        name: As on the command line.
        module: Where its settings, network and presets are; behind a colon the name of what has them in that module.
        task: Kind of problem.
        paper: Source.
        control: The system without the idea that this one stands for.
        summary: One line.
        parameters: Trainable numbers of the paper's configuration.
    """

    name: str
    module: str
    task: str
    paper: str
    control: str
    summary: str
    parameters: int


_ALL = (
    System(
        "attention-unet",
        "saccade.systems.attention_unet",
        "segmentation",
        "Oktay et al. 2018, arXiv:1804.03999",
        "unet",
        "U-Net whose skip connections are damped by attention gates",
        6_411_498,
    ),
    System(
        "unet",
        "saccade.systems.unet",
        "segmentation",
        "Ronneberger et al. 2015, arXiv:1505.04597; Cicek et al. 2016, arXiv:1606.06650",
        "MONAI's UNet",
        "U-Net with deep supervision, the control of attention-unet",
        5_888_004,
    ),
    System(
        "homework-unet-2d",
        "saccade.systems.homework_unet_2d",
        "segmentation",
        "Ronneberger et al. 2015, arXiv:1505.04597 (course form, CS-8395, 2020)",
        "unet",
        "Plain padded 2D U-Net on slices, one foreground class against background",
        31_030_658,
    ),
    System(
        "homework-unet-3d",
        "saccade.systems.homework_unet_3d",
        "segmentation",
        "Cicek et al. 2016, arXiv:1606.06650 (course form, CS-8395, 2020)",
        "unet",
        "Plain 3D U-Net with three poolings for the 13 BTCV organs",
        19_066_592,
    ),
    System(
        "resnet",
        "saccade.systems.resnet",
        "classification",
        "He et al. 2016, arXiv:1512.03385",
        "torchvision's resnet18",
        "Residual network, the control of those with attention",
        11_689_512,
    ),
    System(
        "se-resnet",
        "saccade.systems.attention_resnets:SE",
        "classification",
        "Hu et al. 2018, arXiv:1709.01507",
        "resnet",
        "ResNet whose blocks weigh their channels by all channels' means",
        11_778_592,
    ),
    System(
        "cbam-resnet",
        "saccade.systems.attention_resnets:CHANNEL_AND_SPACE",
        "classification",
        "Woo et al. 2018, arXiv:1807.06521",
        "resnet",
        "ResNet whose blocks weigh channels, then positions",
        11_779_392,
    ),
    System(
        "eca-resnet",
        "saccade.systems.attention_resnets:ECA",
        "classification",
        "Wang et al. 2020, arXiv:1910.03151",
        "resnet",
        "ResNet whose blocks weigh each channel by its neighbours' means",
        11_689_548,
    ),
    System(
        "sca-resnet",
        "saccade.systems.attention_resnets:SOFTMAX_CHANNEL_AND_SPACE",
        "classification",
        "Chen et al. 2017, arXiv:1611.05594",
        "resnet",
        "ResNet whose blocks share weights out among channels, then positions",
        12_693_048,
    ),
    System(
        "nonlocal-resnet",
        "saccade.systems.attention_resnets:NON_LOCAL",
        "classification",
        "Wang et al. 2018, arXiv:1711.07971",
        "resnet",
        "ResNet in which every position sees every other one",
        11_821_736,
    ),
    System(
        "nonlocal-c2d",
        "saccade.systems.nonlocal_c2d",
        "classification",
        "Wang et al. 2018, arXiv:1711.07971",
        "nonlocal-c2d without blocks (network.behind={})",
        "ResNet for images on videos, whose frames meet in non-local blocks",
        31_686_096,
    ),
    System(
        "lenet",
        "saccade.systems.lenet",
        "classification",
        "LeCun et al. 1998, doi:10.1109/5.726791",
        "resnet",
        "Three convolutions with tanh, for small pictures",
        61_706,
    ),
    System(
        "alexnet",
        "saccade.systems.alexnet",
        "classification",
        "Krizhevsky et al. 2012, doi:10.1145/3065386; Krizhevsky 2014, arXiv:1404.5997",
        "resnet",
        "Five convolutions and three linear layers",
        61_100_840,
    ),
    System(
        "vgg",
        "saccade.systems.vgg",
        "classification",
        "Simonyan and Zisserman 2015, arXiv:1409.1556",
        "resnet",
        "Blocks of 3x3 convolutions and three linear layers",
        138_365_992,
    ),
    System(
        "densenet",
        "saccade.systems.densenet",
        "classification",
        "Huang et al. 2017, arXiv:1608.06993",
        "MONAI's DenseNet121",
        "Every layer sees the maps of all layers before it",
        7_978_856,
    ),
    System(
        "ram",
        "saccade.systems.ram",
        "classification",
        "Mnih et al. 2014, arXiv:1406.6247",
        "ram with random locations (network.locations=random)",
        "Recurrent network that sees a few glimpses and learns by reward where to look next",
        209_677,
    ),
    System(
        "learn-to-pay-attention",
        "saccade.systems.learn_to_pay_attention",
        "classification",
        "Jetley et al. 2018, arXiv:1804.02391",
        "vgg",
        "VGG that pools the places which agree with what it sees as a whole",
        15_133_770,
    ),
    System(
        "stn",
        "saccade.systems.stn",
        "classification",
        "Jaderberg et al. 2015, arXiv:1506.02025",
        "lenet",
        "LeNet behind a spatial transformer, which moves, zooms and turns its input",
        73_992,
    ),
    System(
        "sononet",
        "saccade.systems.sononet",
        "classification",
        "Baumgartner et al. 2017, arXiv:1612.05601",
        "resnet",
        "Fully convolutional network for ultrasound planes that tells where it found them",
        647_914,
    ),
    System(
        "ag-sononet",
        "saccade.systems.ag_sononet",
        "classification",
        "Schlemper et al. 2019, arXiv:1808.08114",
        "sononet",
        "SonoNet that classifies from what its attention pools at two levels",
        705_210,
    ),
    System(
        "tomogram-cnn",
        "saccade.systems.tomogram_cnn",
        "classification",
        "Zhao et al. 2018, arXiv:1806.00102",
        "densenet",
        "Four convolutions for particles in subtomograms, which Respond-CAM explains",
        33_237_559,
    ),
    System(
        "rib-crf",
        "saccade.systems.rib_crf",
        "landmarks",
        "Mader et al. 2018, doi:10.1007/978-3-030-00934-2_63",
        "rib-crf without its CRF (inference.crf=none)",
        "U-Net heat maps of named points, and a CRF that chooses among their maxima or looks again at all pixels",
        1_227_522,
    ),
    System(
        "subject2vec",
        "saccade.systems.subject2vec",
        "classification",
        "Singla et al. 2018, arXiv:1806.11217",
        "mean pooling (network.attention=uniform)",
        "A volume as a set of patches, weighed by attention, that are also made again",
        2_969_269,
    ),
    System(
        "ssd",
        "saccade.systems.ssd",
        "detection",
        "Liu et al. 2016, arXiv:1512.02325 (teaching form: fastai, Deep Learning Part 2, 2018)",
        "ssd with one map and one anchor (network.maps=1)",
        "Anchors on three coarse grids behind a ResNet, focal loss, and the steps on the way there",
        24_734_744,
    ),
    System(
        "ssd300",
        "saccade.systems.ssd300",
        "detection",
        "Liu et al. 2016, arXiv:1512.02325",
        "ssd",
        "Default boxes on six maps behind VGG-16, hard background mined",
        26_285_486,
    ),
    System(
        "retinanet",
        "saccade.systems.retinanet",
        "detection",
        "Lin et al. 2017, arXiv:1708.02002",
        "retinanet with plain cross-entropy (training.loss=binary_cross_entropy)",
        "Feature pyramid and focal loss, in 2D and 3D; its head with or without CBAM",
        31_518_260,
    ),
    System(
        "lesion-describer",
        "saccade.systems.lesion_describer",
        "detection",
        "Kisilev et al. 2016, doi:10.1007/978-3-319-46976-8_13 (a proposal: its layers could not be had)",
        "separate networks that find and describe (network.shared=false)",
        "Finds lesions and says in a sentence what each is like, by features shared by all questions",
        1_164_991,
    ),
)
SYSTEMS = {system.name: system for system in _ALL}
