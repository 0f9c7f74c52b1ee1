"""Single layers in bfloat16, as oneDNN has them and as ``segmodels/kernels`` runs them: ``python -m tools.measure.layers``.

Medians in milliseconds, in turns. Only on a processor with fast bfloat16 does this say anything.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from segmodels.benchmark.tables import table
from segmodels.kernels.fused import FusedConv2d, GlobalAveragePooling, ProductCache, caching_products
from segmodels.kernels.transposed_conv import PhasedConvTranspose2d

TURNS = 15


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(markdown(list(measure())))


def measure() -> Iterator[tuple[str, float, float]]:
    """What the layer is, and the time of both ways."""
    with torch.inference_mode():
        for name, own, ours in layers():
            own(), ours()
            times = [(elapsed(own), elapsed(ours)) for _ in range(TURNS)]
            first, second = (statistics.median(side) for side in zip(*times, strict=True))
            yield name, first, second


def layers() -> Iterator[tuple[str, Callable[[], object], Callable[[], object]]]:
    """Layers of the compact zoo and of the ResNets, at the size of a 4:3 photo."""
    for kernel, rate, maps, height, width in ((3, 9, 320, 24, 32), (3, 18, 320, 24, 32), (5, 4, 1152, 48, 64)):
        conv = convolution(maps, maps, kernel, rate, groups=maps)
        name = f"depthwise {kernel}x{kernel}, {maps} maps, rate {rate}, padded beforehand"
        yield name, *both(conv, random_map(maps, height, width))
    for rate in (12, 24, 36):
        conv, x = convolution(2048, 256, 3, rate), random_map(2048, 65, 87)
        own, anew = both(conv, x)
        yield f"3x3, 2048 to 256, rate {rate}, by taps", own, anew
        yield f"the same map once more, after rate {rate} was moved", own, again(conv, x)
    yield "3x3, 2048 to 512, in halves", *both(convolution(2048, 512, 3, 1), random_map(2048, 65, 87))
    conv, x, summand = convolution(512, 2048, 1), random_map(512, 65, 87), random_map(2048, 65, 87)
    yield (
        "1x1, 512 to 2048, and a sum, in place",
        lambda: torch.ops.mkldnn._convolution_pointwise(
            x, summand, conv.weight, conv._bias_like(x), [0, 0], [1, 1], [1, 1], 1, "add", 1.0, "relu", [], ""
        ),
        lambda: conv(x, summand),
    )
    for maps, out, height, width in ((256, 96, 25, 33), (96, 64, 49, 65)):
        up = nn.ConvTranspose2d(maps, out, 3, stride=2, padding=1).requires_grad_(False).bfloat16()
        name = f"transposed 3x3, {maps} to {out}, stride 2, a phase at a time"
        yield name, *transposed(up.to(memory_format=torch.channels_last), random_map(maps, height, width))
    x = random_map(2048, 65, 87)
    yield "mean of 2048 maps", lambda: nn.functional.adaptive_avg_pool2d(x, 1), lambda: GlobalAveragePooling()(x)


def convolution(maps: int, out: int, kernel: int, rate: int = 1, groups: int = 1) -> FusedConv2d:
    """With a ReLU, in bfloat16; the map keeps its size."""
    plain = nn.Conv2d(maps, out, kernel, padding=rate * (kernel // 2), dilation=rate, groups=groups)
    fused = FusedConv2d(plain.requires_grad_(False), nn.ReLU())
    return fused.bfloat16().to(memory_format=torch.channels_last)


def random_map(maps: int, height: int, width: int) -> Tensor:
    return torch.randn(1, maps, height, width).bfloat16().contiguous(memory_format=torch.channels_last)


def both(conv: FusedConv2d, x: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    """oneDNN's convolution, and ours."""
    padding = cast("tuple[int, int]", conv.padding)
    return lambda: conv._one_pass(x, padding), lambda: conv(x)


def transposed(conv: nn.ConvTranspose2d, x: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    """oneDNN's transposed convolution, and ours."""
    phased = PhasedConvTranspose2d(conv)
    return lambda: conv(x), lambda: phased(x)


def again(conv: FusedConv2d, x: Tensor) -> Callable[[], object]:
    """The convolution on a map that it has seen."""
    products = ProductCache()

    def run() -> None:
        with caching_products(products):
            conv(x)

    return run


def elapsed(run: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)


def markdown(rows: list[tuple[str, float, float]]) -> str:
    """Return the table."""
    cells = [(name, f"{own:.2f} ms", f"{ours:.2f} ms", f"{own / ours:.1f}") for name, own, ours in rows]
    return table(
        "Single layers in bfloat16", ("layer, and what is done", "oneDNN's own", "ours", "times faster"), cells
    )


if __name__ == "__main__":
    main()
