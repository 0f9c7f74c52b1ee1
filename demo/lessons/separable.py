"""Lesson 8: depthwise separable convolution, one product taken apart into a sum."""

from typing import Any

import torch
from torch import nn

from segmodels.inference.settings import check_integer
from segmodels.insight.cost import convolution_multiplications, count, separable_multiplications

from ..components.figures import PANEL, arrow, figure, panel, rect, svg, text
from .lesson import Lesson, See, slider


def parameters(in_channels: int, out_channels: int, kernel: int) -> tuple[int, int]:
    """The weights of the plain convolution and of the separable one, of real layers without numbers."""
    with torch.device("meta"):
        plain = nn.Conv2d(in_channels, out_channels, kernel, bias=False)
        separable = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, kernel, groups=in_channels, bias=False),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )
    plain_cost, separable_cost = (count(layer, kernel, kernel, in_channels) for layer in (plain, separable))
    return plain_cost.parameters, separable_cost.parameters


def draw(side: Any, in_channels: Any, out_channels: Any, kernel: Any) -> str:
    """Both ways to the same output, their products with the numbers filled in, and bars to scale."""
    side, kernel = check_integer("the output's side", side, 1, 64), check_integer("the kernel", kernel, 1, 7)
    in_channels = check_integer("the input's channels", in_channels, 1, 512)
    out_channels = check_integer("the output's channels", out_channels, 1, 512)
    sizes = (side, side, in_channels, out_channels, kernel)
    plain, separable = convolution_multiplications(*sizes), separable_multiplications(*sizes)
    weights = parameters(in_channels, out_channels, kernel)
    most = max(plain, separable)
    wide, tall = side + kernel - 1, kernel
    taken = f"{wide}×{wide}×{in_channels}"
    given = f"{side}×{side}×{out_channels}"
    plain_steps = [(f"{out_channels} kernels", f"{tall}×{tall}×{in_channels}")]
    both_steps = [
        (f"{in_channels} kernels", f"{tall}×{tall}×1"),
        (f"{out_channels} kernels", f"1×1×{in_channels}"),
    ]
    product = f"{side}·{side}·{kernel}·{kernel}·{in_channels}·{out_channels} = {plain:,}"
    total = f"{side}·{side}·{in_channels}·({kernel}·{kernel} + {out_channels}) = {separable:,}"
    between = f"{side}×{side}×{in_channels}"
    panels = [
        panel("Plain convolution", _way([taken, given], plain_steps, plain / most, "plain"), f"<b>{product}</b>"),
        panel(
            "Depthwise separable",
            _way([taken, between, given], both_steps, separable / most, "separable"),
            f"<b>{total}</b>",
        ),
    ]
    share = separable / plain
    words = (
        f"<b>{plain:,}</b> multiplications against <b>{separable:,}</b>: "
        f"{'the separable one needs' if share <= 1 else 'here it needs more,'} {share:.1%} "
        f"(1/{out_channels} + 1/{kernel}²), and {weights[1]:,} weights in place of {weights[0]:,}"
    )
    return figure("lesson-separable", panels, words)


def _way(maps: list[str], steps: list[tuple[str, str]], share: float, name: str) -> str:
    """Maps as boxes with the kernels on the arrows between them, and a bar of the multiplications."""
    width, height, top = 92.0, 46.0, 40.0
    gap = (PANEL - width * len(maps)) / (len(maps) - 1)
    parts = []
    for index, size in enumerate(maps):
        x = index * (width + gap)
        parts += [rect(x + 1, top, width - 2, height, "box"), text(x + width / 2, top + 28, size, "name")]
    for index, (kernels, shape) in enumerate(steps):
        x = index * (width + gap) + width
        parts.append(arrow(x + 1, top + height / 2, x + gap - 1, top + height / 2))
        parts += [text(x + gap / 2, top - 22, kernels), text(x + gap / 2, top - 6, shape, "name")]
    bar = top + height + 26
    parts += [rect(0, bar, PANEL, 16, "frame"), rect(0, bar, max(PANEL * share, 1), 16, f"bar {name}")]
    way = ", then ".join(f"{kernels} of {shape}" for kernels, shape in steps)
    return svg(bar + 20, f"From {maps[0]} to {maps[-1]} by {way}; a bar of {share:.1%}", *parts)


LESSON = Lesson(
    name="Separable",
    title="One product, taken apart",
    minutes=4,
    aim="You can count what a depthwise separable convolution saves.",
    text="""
A plain convolution looks around *and* mixes channels in one step, and the costs multiply. A **depthwise separable
convolution** looks around with one flat kernel a channel, then mixes by a 1 × 1 convolution: the product becomes a sum.
The paper's DeepLab v3+ builds its ASPP and decoder this way; ours on MobileNet v2 its decoder.

The sliders start at the article's example.
""",
    question="What saves most, a larger kernel or more output channels? Can it cost more?",
    choices=(
        "A larger kernel; with one channel out it costs more",
        "More channels out; it never costs more",
        "Both alike; it never costs more",
    ),
    answer="""
The share is 1/*out* + 1/*k*². One output channel costs *more*: there is nothing to mix into. Beyond a hundred only the
kernel counts: the share stays above 1/9 at 3 × 3, 1/25 at 5 × 5.
""",
    controls=lambda: [
        slider("Output side", 8, 1, 64),
        slider("Channels in", 3, 1, 512),
        slider("Channels out", 256, 1, 512),
        slider("Kernel", 5, 1, 7),
    ],
    figure=draw,
    python="""
import torch
from torch import nn

plain = nn.Conv2d(3, 256, 5, bias=False)
separable = nn.Sequential(nn.Conv2d(3, 3, 5, groups=3, bias=False), nn.Conv2d(3, 256, 1, bias=False))
x = torch.rand(1, 3, 12, 12)
for layer in (plain, separable):
    weights = sum(weight.numel() for weight in layer.parameters())
    print(tuple(layer(x).shape), weights, "weights,", 8 * 8 * weights, "multiplications")
""",
    references=(
        ("mobilenet", "section 3.1"),
        ("deeplabv3plus", "section 3.1"),
    ),
    see=See("anatomy", "Count it in DeepLab v3+", "deeplabv3plus_mobilenetv2"),
)
