"""U-Net against its paper's figure 1: sizes, parameters, and the overlap-tile strategy."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from segmodels.models.base import SegmentationNetwork
from segmodels.models.unet import UNet, UNetDecoder, unet, unet_mobilenetv2, unet_resnet18

from ..helpers import parameters


def papers_own() -> UNet:
    return unet(2, in_channels=1, padding="valid", batch_norm=False)


def test_the_papers_network_takes_572_to_388() -> None:
    with torch.device("meta"):
        network = papers_own().eval()
        x = torch.empty(1, 1, 572, 572)
        assert network(x).shape == (1, 2, 388, 388)
        features = network.encode(x)
    # Figure 1, down the left side.
    assert [tuple(f.shape[1:]) for f in features] == [
        (64, 568, 568),
        (128, 280, 280),
        (256, 136, 136),
        (512, 64, 64),
        (1024, 28, 28),
    ]


def convs_of_the_paper(width: int) -> list[tuple[int, int]]:
    """(in, out) of the eighteen 3x3 convolutions of figure 1."""
    down = [(1, width), (width, width)]
    for level in range(4):
        above, below = width * 2**level, width * 2 ** (level + 1)
        down += [(above, below), (below, below)]
    up = []
    for level in reversed(range(4)):
        here = width * 2**level
        up += [(2 * here, here), (here, here)]  # half of the input is the skip, half comes from below
    return down + up


def test_the_papers_network_has_31_million_parameters() -> None:
    convs = convs_of_the_paper(64)
    assert len(convs) == 18
    three = sum(9 * i * o + o for i, o in convs)
    ups = sum(4 * 2 * width * width + width for width in (512, 256, 128, 64))
    last = 64 * 2 + 2
    assert three + ups + last == 31_030_658
    with torch.device("meta"):
        network = papers_own()
    assert parameters(network) == 31_030_658
    # "In total the network has 23 convolutional layers" (section 2).
    assert sum(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in network.modules()) == 23


def test_batch_norm_replaces_the_biases() -> None:
    with torch.device("meta"):
        plain, normed = unet(2, 1, width=8, batch_norm=False), unet(2, 1, width=8)
    outputs = sum(o for _, o in convs_of_the_paper(8))
    assert parameters(normed) - parameters(plain) == 2 * outputs - outputs
    assert sum(isinstance(module, nn.BatchNorm2d) for module in normed.modules()) == 18


def test_the_base_width_scales_every_step() -> None:
    with torch.device("meta"):
        network = unet(width=24)
    assert network.backbone.out_channels == (24, 48, 96, 192, 384)


@pytest.mark.parametrize("builder", [unet_mobilenetv2, unet_resnet18, unet])
@pytest.mark.parametrize("size", [(33, 65), (17, 16), (1, 1), (100, 224)])
def test_any_size_comes_back(builder: Callable[[int], SegmentationNetwork], size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = builder(5).eval()
        assert network(torch.empty(2, 3, *size)).shape == (2, 5, *size)


def test_tiles_make_the_same_picture_as_the_whole() -> None:
    """The overlap-tile strategy (figure 2): without padding a tile's scores are those of the whole photo, seamlessly."""
    torch.manual_seed(0)
    network = unet(2, in_channels=1, width=2, padding="valid", batch_norm=False).double().eval()
    photo = torch.randn(1, 1, 236, 236, dtype=torch.double)
    with torch.inference_mode():
        whole = network(photo)
        tile = network(photo[..., 16:220, 32:236])
    assert whole.shape[-2:] == (236 - 184, 236 - 184)
    assert tile.shape[-2:] == (204 - 184, 204 - 184)
    assert tile.std() > 1e-3
    torch.testing.assert_close(tile, whole[..., 16:36, 32:52])


def test_skips_are_cropped_in_the_middle() -> None:
    """With kernels that a mirror leaves alone, a mirrored photo gives the mirrored scores."""
    torch.manual_seed(0)
    network = unet(2, in_channels=1, width=2, padding="valid", batch_norm=False).double().eval()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1 / parameter[0].numel())
    photo = torch.rand(1, 1, 204, 204, dtype=torch.double)
    with torch.inference_mode():
        scores = network(photo)
        assert scores.std() > 1e-6
        torch.testing.assert_close(network(photo.flip(2, 3)), scores.flip(2, 3), atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [(571, 572), (570, 572), (572, 576)])
def test_a_tile_that_pools_an_odd_map_is_refused(size: tuple[int, int]) -> None:
    with torch.device("meta"):
        network = papers_own()
        with pytest.raises(ValueError, match="multiples of 16 plus 12"):
            network(torch.empty(1, 1, *size))


def test_the_classic_path_has_one_output_stride() -> None:
    with torch.device("meta"):
        backbone = unet(width=2).backbone
    backbone.set_output_stride(16)
    with pytest.raises(ValueError, match="16"):
        backbone.set_output_stride(8)


def test_weights_start_with_the_deviation_that_relus_keep() -> None:
    torch.manual_seed(0)
    network = unet(width=16)
    step = network.backbone
    assert isinstance(step, nn.Module)
    convs = [m for m in step.modules() if isinstance(m, nn.Conv2d)]
    deepest = convs[-1]  # 256 to 256 maps: enough weights to measure
    assert deepest.weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.01)


def test_every_skip_reaches_the_scores_and_the_finest_the_furthest() -> None:
    torch.manual_seed(0)
    decoder = UNetDecoder((4, 6, 8), (6, 4), num_classes=3).eval()
    features = [torch.randn(1, 4, 9, 7), torch.randn(1, 6, 5, 4), torch.randn(1, 8, 3, 2)]
    for feature in features:
        feature.requires_grad_()
    logits = decoder(features)
    assert logits.shape == (1, 3, 9, 7)
    for gradient in torch.autograd.grad(logits.square().sum(), features):
        assert gradient.abs().sum() > 0


def test_unet_resnet18_has_resnets_parameters_and_the_decoders() -> None:
    with torch.device("meta"):
        network, classifier = unet_resnet18(), resnet18()
    encoder = parameters(classifier) - (512 * 1000 + 1000)

    def block(below: int, width: int) -> int:
        up = 9 * below * width + width  # 3x3, see UpBlock
        return up + 9 * (2 * width) * width + 9 * width * width + 2 * 2 * width

    decoder = block(512, 256) + block(256, 128) + block(128, 64) + block(64, 64) + 64 * 21 + 21
    assert parameters(network) == encoder + decoder


def test_the_compact_unet_predicts_at_every_step() -> None:
    network = unet_mobilenetv2(num_classes=5).eval()
    with torch.no_grad():
        features = network.encode(torch.randn(1, 3, 65, 96))
        steps = network.side_logits(features)
        assert [tuple(logits.shape[1:]) for logits in steps] == [(5, 5, 6), (5, 9, 12), (5, 17, 24), (5, 33, 48)]
        assert torch.equal(steps[-1], network.decode(features))


def test_normed_skips_do_not_let_a_loud_skip_drown_the_others() -> None:
    torch.manual_seed(0)
    features = [torch.randn(2, channels, size, size) for channels, size in ((3, 16), (4, 8), (5, 4))]
    loud = [100 * features[0], *features[1:]]
    for norm_skips in (True, False):
        decoder = UNetDecoder((3, 4, 5), (6, 6), 2, norm_skips=norm_skips).train()
        same = torch.allclose(decoder(features), decoder(loud), atol=1e-3)
        assert same == norm_skips
