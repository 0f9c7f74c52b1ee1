"""The weights that torchvision publishes (COCO_WITH_VOC_LABELS_V1), as networks of this zoo.

torchvision's builders fix the atrous rates and the output stride. Here its modules are put together as a backbone whose
stride can be chosen and, for DeepLab, a decoder whose taps can be moved; at the settings they were trained with, the
logits are torchvision's own. What is known of the weights is read from torchvision, but for where they are.

torchvision is imported when it is first needed: it takes seconds, which the compact zoo and a page that begins do without.
What they ask of the weights, address and size, is ``DOWNLOADS``.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..checkpoints.download import Progress, cached_file, fetch
from ..labels import VOC_CLASSES
from .backbones import strides_to_dilations
from .base import SegmentationNetwork
from .deeplab import DeepLabV3Decoder

SHORT_SIDE = 520
"""The shorter side, in pixels, to which torchvision's own transforms bring a photo."""

ATROUS_RATES = (12, 24, 36)
"""torchvision's, at stride 8 for the ResNets and at stride 16 for MobileNetV3."""


@dataclass(frozen=True)
class Download:
    """A file of weights."""

    url: str
    megabytes: float
    """Of 10^6 bytes."""


HOST = "https://download.pytorch.org/models/"
DOWNLOADS = {
    "fcn_resnet50": Download(f"{HOST}fcn_resnet50_coco-1167a1af.pth", 141.567),
    "fcn_resnet101": Download(f"{HOST}fcn_resnet101_coco-7ecb50ca.pth", 217.801),
    "deeplabv3_resnet50": Download(f"{HOST}deeplabv3_resnet50_coco-cd0a2569.pth", 168.312),
    "deeplabv3_resnet101": Download(f"{HOST}deeplabv3_resnet101_coco-586e9e4e.pth", 244.546),
    "deeplabv3_mobilenet_v3_large": Download(f"{HOST}deeplabv3_mobilenet_v3_large-fc3c493d.pth", 44.356),
}
"""The published weights, as torchvision states them."""


@dataclass(frozen=True)
class StridedConvs:
    """A block's convolutions with a stride or a kernel larger than 1x1, as paths of the backbone.

    They are kept as paths because a module may be replaced, by one with its batch norm folded in for example.
    """

    stride: int
    """The stride that the block was designed with."""
    paths: tuple[str, ...]
    rate: int = 1
    """A dilation that the weights were trained with at any stride."""


class TorchvisionBackbone(nn.Sequential):
    """A classifier's feature extractor: (N, 3, H, W) -> its last map, the only one that torchvision's heads read.

    The map is ``ceil(H / output_stride)`` high. Module names are those of torchvision's segmentation networks.
    ``blocks`` are all convolutions that strides and dilations concern, from stride ``reached`` on.
    """

    align_corners: bool = False
    """As torchvision interpolated in training; its convolutions would put the cells on corners."""

    def __init__(
        self,
        layers: Iterable[tuple[str, nn.Module]],
        blocks: Iterable[StridedConvs],
        out_channels: int,
        reached: int,
        output_stride: int,
    ) -> None:
        super().__init__(OrderedDict(layers))
        self.out_channels: tuple[int, ...] = (out_channels,)
        self._blocks = tuple(blocks)
        self._reached = reached
        self.set_output_stride(output_stride)

    def set_output_stride(self, output_stride: int) -> None:
        """Turn strides beyond ``output_stride`` into dilations; the weights are untouched.

        Raises:
            ValueError: if ``output_stride`` is none of 8, 16, 32.
        """
        steps = [(block.stride, [self._conv(path) for path in block.paths]) for block in self._blocks]
        strides_to_dilations(steps, self._reached, output_stride)
        for block, (_, convs) in zip(self._blocks, steps, strict=True):
            for conv in convs:
                rate = conv.dilation[0] * block.rate
                padding = rate * (conv.kernel_size[0] // 2)
                conv.dilation, conv.padding = (rate, rate), (padding, padding)
        self.output_stride = output_stride

    def _conv(self, path: str) -> nn.Conv2d:
        conv = self.get_submodule(path)
        assert isinstance(conv, nn.Conv2d)
        return conv

    def forward(self, x: Tensor) -> list[Tensor]:
        return [super().forward(x)]


class FCNHeadDecoder(nn.Sequential):
    """torchvision's FCN head on the last map: (N, num_classes, h, w) logits at the backbone's stride.

    It has none of the paper's skips: the dilated backbone keeps the map large instead.
    """

    def forward(self, features: list[Tensor]) -> Tensor:
        logits: Tensor = super().forward(features[-1])
        return logits


def build(name: str, num_classes: int = len(VOC_CLASSES)) -> SegmentationNetwork:
    """torchvision's segmentation network called ``name``, such as ``fcn_resnet50``, without its auxiliary classifier.

    (N, 3, H, W) -> (N, num_classes, H, W), with random weights, at the stride and rates of the published ones.
    """
    from torchvision.models.segmentation.fcn import FCNHead

    family, _, extractor = name.partition("_")
    backbone = _mobilenet(extractor) if extractor.startswith("mobilenet") else _resnet(extractor)
    channels = backbone.out_channels[-1]
    if family == "fcn":
        return SegmentationNetwork(backbone, FCNHeadDecoder(*FCNHead(channels, num_classes)))
    return SegmentationNetwork(backbone, DeepLabV3Decoder(channels, num_classes, ATROUS_RATES, refine=True))


def _resnet(name: str) -> TorchvisionBackbone:
    from torchvision.models import get_model
    from torchvision.models.resnet import Bottleneck

    network = get_model(name, weights=None)
    layers = [(name, layer) for name, layer in network.named_children() if name not in ("avgpool", "fc")]
    return TorchvisionBackbone(
        layers, _strided_convs(network, Bottleneck), network.fc.in_features, reached=4, output_stride=8
    )


def _mobilenet(name: str) -> TorchvisionBackbone:
    """MobileNetV3, which torchvision dilates otherwise than its ResNets: the block that loses its stride is dilated too.

    Its taps then stand 32 pixels apart, and so they do here at every stride, since that is how they were trained.
    """
    from torchvision.models import get_model
    from torchvision.models.mobilenetv3 import InvertedResidual

    features = get_model(name, weights=None).features
    blocks = _strided_convs(features, InvertedResidual)
    last_strided = max(index for index, block in enumerate(blocks) if block.stride > 1)
    blocks[last_strided] = StridedConvs(2, blocks[last_strided].paths, rate=2)
    return TorchvisionBackbone(
        features.named_children(), blocks, features[-1].out_channels, reached=2, output_stride=16
    )


def _strided_convs(network: nn.Module, kind: type[nn.Module]) -> list[StridedConvs]:
    """What strides and dilations concern in each block of that kind, in a network that is not dilated yet."""
    blocks = []
    for path, block in network.named_modules():
        if isinstance(block, kind):
            convs = {
                f"{path}.{name}": conv
                for name, conv in block.named_modules()
                if isinstance(conv, nn.Conv2d) and (conv.kernel_size[0] > 1 or conv.stride[0] > 1)
            }
            blocks.append(StridedConvs(max(conv.stride[0] for conv in convs.values()), tuple(convs)))
    return blocks


DEEPLAB_MODULES = {
    "classifier.0.": "decoder.aspp.",
    "classifier.1.": "decoder.refine.0.",
    "classifier.2.": "decoder.refine.1.",
    "classifier.4.": "decoder.classifier.",
}
"""torchvision's names of DeepLab's modules, and ours."""


def translate(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of torchvision's checkpoint to this package's names. A checkpoint with these names stays as it
    is.

    Args:
        name: the network, such as ``deeplabv3_resnet50``.
        state: the checkpoint.

    Returns:
        The state dict for ``build(name)``, without torchvision's auxiliary classifier.
    """
    modules = {"classifier.": "decoder."} if name.startswith("fcn") else DEEPLAB_MODULES
    return {_renamed(key, modules): tensor for key, tensor in state.items() if not key.startswith("aux_classifier.")}


def _renamed(key: str, modules: Mapping[str, str]) -> str:
    for theirs, ours in modules.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return key


@cache
def facts(name: str) -> dict[str, Any]:
    """What torchvision says of its weights, in the words of the cards beside the bundled ones.

    ``megabytes`` is the download's size (of 10^6 bytes), ``giga_macs`` the cost at 520 x 520 pixels.
    """
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).COCO_WITH_VOC_LABELS_V1
    ((data, metrics),) = weights.meta["_metrics"].items()
    return {
        "name": name,
        "url": DOWNLOADS[name].url,
        "megabytes": DOWNLOADS[name].megabytes,
        "giga_macs": weights.meta["_ops"],
        "training": {
            "summary": " ".join(weights.meta["_docs"].split()).replace("These weights were", "By torchvision,"),
            "recipe": weights.meta["recipe"],
        },
        "scores": {
            "data": f"{data}, as measured by torchvision",
            "miou": metrics["miou"] / 100,
            "pixel_accuracy": metrics["pixel_acc"] / 100,
        },
        "licence": LICENCE,
        "limits": LIMITS,
    }


LICENCE = (
    "torchvision's code is under the BSD 3-clause licence. The weights come from COCO, whose photos belong to their "
    "makers and whose terms of use apply, so check before commercial use."
)
LIMITS = "Knows the twenty Pascal VOC classes and nothing else. Not for decisions about people."


def url(name: str) -> str:
    """Return the address of the published weights of the network called ``name``."""
    return DOWNLOADS[name].url


def weights_file(name: str, progress: Progress | None = None) -> Path:
    """The published weights, fetched into torch's hub cache if they are not there yet. Takes what ``fetch`` takes.

    Raises:
        FetchError: if they cannot be fetched, with a clause that says why.
    """
    return _fetched(url(name), progress)


def classifier_file(name: str) -> Path:
    """The ImageNet weights of torchvision's classifier called ``name``, fetched as ``weights_file`` does.

    They are those that torchvision's segmentation networks were trained from.

    Raises:
        FetchError: if they cannot be fetched, with a clause that says why.
    """
    from torchvision.models import get_model_weights

    return _fetched(get_model_weights(name).IMAGENET1K_V1.url)


def _fetched(address: str, progress: Progress | None = None) -> Path:
    # torchvision's file names end in the first digits of the hash: name-<sha256>.pth.
    return fetch(address, cached_file(address).stem.rpartition("-")[2], progress)


def load_classifier(backbone: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put the weights of torchvision's classifier into a backbone that has its modules' names.

    Raises:
        ValueError: if a weight of the backbone is not among them.
    """
    renamed = {name.removeprefix("features."): tensor for name, tensor in state.items()}
    own = backbone.state_dict()
    missing, _ = backbone.load_state_dict({name: renamed[name] for name in own if name in renamed}, strict=False)
    lacking = [name for name in missing if not name.endswith("num_batches_tracked")]
    if lacking:
        raise ValueError(f"these are the weights of another classifier: they have no {lacking[0]}")


IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)


IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
"""The mean and deviation of ImageNet's pixels, with which torchvision's backbones were trained."""
