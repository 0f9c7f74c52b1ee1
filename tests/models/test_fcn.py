"""FCN against torchvision's VGG16 classifier, its paper's numbers, and interpolation by torch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import VGG, vgg16

from segmodels.models.backbones import VGG16
from segmodels.models.fcn import (
    FCN,
    FCNDecoder,
    classifier_as_convolutions,
    fcn8s_vgg16,
    fcn16s_vgg16,
    fcn32s_vgg16,
    fcn_mobilenetv2,
    load_vgg16,
    vgg16_head,
)

from ..helpers import interior, parameters


@pytest.fixture(scope="module")
def classifier() -> VGG:
    """torchvision's VGG16 with random weights of a size that keeps the scores alive."""
    torch.manual_seed(0)
    network = vgg16(init_weights=False).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.mul_(6**0.5)  # torch draws with a variance of 1 / (3 N), ReLUs want 2 / N
    return network


@pytest.fixture(scope="module")
def convolutional(classifier: VGG) -> nn.Sequential:
    """The same network without a single fully connected layer."""
    with torch.device("meta"):
        network = nn.Sequential(VGG16().features, nn.Sequential(*vgg16_head(padding=0), nn.Conv2d(4096, 1000, 1)))
    features, head = network
    features.load_state_dict(classifier.features.state_dict(), assign=True)
    head.load_state_dict(classifier_as_convolutions(classifier.classifier.state_dict()), assign=True)
    return network.eval()


def assert_same_scores(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.std() > 0.05  # they differ enough to be told apart
    torch.testing.assert_close(ours, theirs, atol=1e-5 * theirs.abs().max().item(), rtol=0)


@torch.inference_mode()
def test_the_classifier_as_convolutions_scores_a_photo_the_same(classifier: VGG, convolutional: nn.Sequential) -> None:
    photo = torch.randn(1, 3, 224, 224)
    scores = convolutional(photo)
    assert scores.shape == (1, 1000, 1, 1)
    assert_same_scores(scores[:, :, 0, 0], classifier(photo))


@torch.inference_mode()
def test_on_a_larger_photo_it_gives_a_map_of_scores(classifier: VGG, convolutional: nn.Sequential) -> None:
    photo = torch.randn(1, 3, 256, 288)
    scores = convolutional(photo)
    assert scores.shape == (1, 1000, 2, 3)
    features = classifier.features(photo)
    for row in range(2):
        for column in range(3):
            window = features[:, :, row : row + 7, column : column + 7]
            assert_same_scores(scores[:, :, row, column], classifier.classifier(window.flatten(1)))


@torch.inference_mode()
def test_an_fcn_starts_from_the_classifiers_weights(classifier: VGG) -> None:
    with torch.device("meta"):
        network = fcn32s_vgg16(3)
    network = network.to_empty(device="cpu").eval()
    load_vgg16(network, classifier.state_dict())
    features = network.encode(torch.randn(1, 3, 224, 224))
    hidden = network.decoder.head(features[-1])
    assert hidden.shape == (1, 4096, 7, 7)
    # The middle cell of the padded map has all of its 7x7 window: it is the classifier's last hidden layer.
    assert_same_scores(hidden[:, :, 3, 3], classifier.classifier[:6](features[-1].flatten(1)))


def test_another_networks_classifier_is_refused() -> None:
    with pytest.raises(ValueError, match="512x7x7"):
        classifier_as_convolutions({"0.weight": torch.zeros(10, 512), "0.bias": torch.zeros(10)})


CONVS = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 2, (256, 512), *[(512, 512)] * 5]
VGG16_PARAMETERS = sum(9 * i * o + o for i, o in CONVS) + (49 * 512 * 4096 + 4096) + (4096 * 4096 + 4096)
SCORE32 = 4096 * 21 + 21
UPSAMPLE = 4 * 4 * 21 * 21


@pytest.mark.parametrize(
    ("builder", "scores"),
    [
        (fcn32s_vgg16, SCORE32),
        (fcn16s_vgg16, SCORE32 + (512 * 21 + 21) + UPSAMPLE),
        (fcn8s_vgg16, SCORE32 + (512 * 21 + 21) + (256 * 21 + 21) + 2 * UPSAMPLE),
    ],
)
def test_parameters_are_vgg16s_and_the_scores(builder: Callable[[], FCN], scores: int) -> None:
    with torch.device("meta"):
        network = builder()
    assert parameters(network) == VGG16_PARAMETERS + scores


@pytest.mark.parametrize(
    ("builder", "strides"), [(fcn32s_vgg16, [32]), (fcn16s_vgg16, [32, 16]), (fcn8s_vgg16, [32, 16, 8])]
)
def test_the_scores_come_at_every_stride_down_to_the_networks_own(
    builder: Callable[[], FCN], strides: list[int]
) -> None:
    with torch.device("meta"):
        network = builder().eval()
        features = network.encode(torch.empty(1, 3, 225, 160))
        sides = network.side_logits(features)
        assert network.decode(features).shape == sides[-1].shape
    assert [tuple(side.shape) for side in sides] == [(1, 21, -(-225 // s), 160 // s) for s in strides]


@pytest.mark.parametrize("builder", [fcn_mobilenetv2, fcn8s_vgg16, fcn16s_vgg16, fcn32s_vgg16])
@pytest.mark.parametrize("size", [(33, 65), (1, 1), (224, 100)])
def test_any_size_comes_back(builder: Callable[[int], FCN], size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = builder(5).eval()
        assert network(torch.empty(2, 3, *size)).shape == (2, 5, *size)


def small_decoder() -> FCNDecoder:
    torch.manual_seed(0)
    return FCNDecoder((4, 5, 6), nn.Identity(), 6, num_classes=3).eval()


def small_features() -> list[Tensor]:
    return [torch.randn(1, 4, 24, 32), torch.randn(1, 5, 12, 16), torch.randn(1, 6, 6, 8)]


def test_without_the_skips_the_coarse_scores_are_interpolated() -> None:
    decoder, features = small_decoder(), small_features()
    for parameter in decoder.skip_scores.parameters():
        nn.init.zeros_(parameter)
    logits = decoder.score(features[-1])
    for _ in range(2):
        logits = functional.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(interior(decoder(features), 6), interior(logits, 6), atol=1e-5, rtol=0)


def test_on_a_grid_of_corners_the_coarse_scores_are_interpolated_from_corner_to_corner() -> None:
    torch.manual_seed(0)
    decoder = FCNDecoder((4, 5, 6), nn.Identity(), 6, num_classes=3, align_corners=True).eval()
    for parameter in decoder.skip_scores.parameters():
        nn.init.zeros_(parameter)
    features = [torch.randn(1, 4, 25, 33), torch.randn(1, 5, 13, 17), torch.randn(1, 6, 7, 9)]
    expected = functional.interpolate(decoder.score(features[-1]), (25, 33), mode="bilinear", align_corners=True)
    torch.testing.assert_close(decoder(features), expected, atol=1e-5, rtol=0)


def test_every_skip_is_added_at_its_own_scale() -> None:
    decoder, (stride8, stride16, stride32) = small_decoder(), small_features()
    other = torch.randn_like(stride8)
    change = decoder([other, stride16, stride32]) - decoder([stride8, stride16, stride32])
    weight = decoder.state_dict()["skip_scores.8.weight"]
    expected = torch.einsum("nchw,oc->nohw", other - stride8, weight[:, :, 0, 0])
    torch.testing.assert_close(change, expected, atol=1e-5, rtol=0)


def test_the_prediction_can_be_taken_at_a_coarser_stride() -> None:
    decoder, features = small_decoder(), small_features()
    predictions = decoder.all_strides(features)
    for count in (1, 2, 3):
        coarser = FCNDecoder((4, 5, 6), nn.Identity(), 6, 3, (32, 16, 8)[:count], (-1, -2, -3)[:count]).eval()
        own = coarser.state_dict()
        coarser.load_state_dict({name: tensor for name, tensor in decoder.state_dict().items() if name in own})
        assert torch.equal(coarser(features), predictions[32 >> (count - 1)])


@pytest.mark.parametrize("strides", [(32, 8), (8, 16), (32, 16)])
def test_other_strides_are_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must halve"):
        FCNDecoder((4, 5, 6), nn.Identity(), 6, 3, strides, levels=(-1, -2, -3)[: 3 if strides == (32, 16) else 2])
