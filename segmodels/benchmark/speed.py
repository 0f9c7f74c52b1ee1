"""How fast this is on the machine at hand, beside what people would otherwise run for the same picture.

Every row compares two sides measured in turn, so that whatever else the machine does slows both alike, and gives
medians. Times are in milliseconds and run from a decoded photo to a label map at the photo's own size.
"""

import io
import statistics
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image

from ..checkpoints.paths import EXAMPLES
from ..crf.parameters import CRF
from ..inference.loading import load
from ..inference.result import Features
from ..inference.segmenter import Segmenter
from ..insight.cost import count
from ..models import registry
from . import crf
from .growth import growth
from .machine import machine, matrix_rate, times_of
from .neighbours import medians_beside
from .rival import RIVAL, Way, same_weights, torchvision_network, torchvision_way, untrained
from .tables import Row

PUBLISHED = ("deeplabv3_resnet101", "deeplabv3_resnet50", "fcn_resnet50", "deeplabv3_mobilenet_v3_large")
"""torchvision's networks that are measured if none are named."""

MEGAPIXELS = (0.25, 1.0, 4.0, 12.0, 40.0)


def bench(names: Sequence[str] = (), quick: bool = False, say: Callable[[str], None] = lambda line: None) -> Row:
    """All measurements, as printed by ``python -m segmodels bench --json``.

    Args:
        names: the networks to measure; the bundled ones and ``PUBLISHED`` if there are none. LRASPP, which is taken for
            speed, is beside the compact zoo alone: a U-Net from scratch was made for something else.
        quick: small pictures and a single turn: whether all of this runs, not how fast.
        say: is told what is being measured.

    Raises:
        ValueError: for a name that is unknown or has neither bundled nor published weights.
    """
    cards = [registry.card(name) for name in names or (*registry.bundled_models(), *PUBLISHED)]
    for card in cards:
        if not card.trained:
            card.weights_file()  # which says what to do
    turns = 1 if quick else 5
    compact_zoo = [card.name for card in cards if card.name in registry.compact_models()]
    parts = ("same_network", "compact_zoo", "neighbours", "atrous_rate", "peak")
    report: Row = {"machine": machine(), **{part: [] for part in parts}}
    for card in cards:
        say(card.name)
        if card.published:
            report["same_network"].append(same_network(card.name, turns, quick))
        elif card.name in compact_zoo:
            report["compact_zoo"].append(compact(card.name, turns, quick))
            report["neighbours"].append(beside_neighbours(card.name, turns, quick))
        segmenter = load(card.name) if card.at_hand else untrained(card.name)[0]
        if card.atrous_rate is not None:
            report["atrous_rate"].append(moving_the_rate(segmenter, turns, quick))
        report["peak"].append(share_of_peak(segmenter, turns, quick))
    if compact_zoo:
        say("the CRF")
        report["crf"] = crf_rows(turns, quick)
        say("growth")
        report["growth"] = growth(compact_zoo[-1], MEGAPIXELS[:2] if quick else MEGAPIXELS)
    return report


def same_network(name: str, turns: int, quick: bool = False) -> Row:
    """The same network with the same weights, here and in torchvision's own way (target: 2.2 times, MobileNet 3).

    ``agreement`` is at the network's input size. With weights that were never fetched both run random ones; then what
    bfloat16 does to the label map says nothing, and agreement is that of float32.
    """
    segmenter, theirs = untrained(name)
    photo = _photo(1440, 1080, quick)
    size = segmenter.input_size(photo.size, 128 if quick else None)
    reference = torchvision_way(theirs, size)
    row = _in_turns(name, _ours(segmenter, 128 if quick else None), reference, photo, turns)
    trained = registry.card(name).at_hand
    exact = segmenter if trained else Segmenter(same_weights(name, theirs), segmenter.card, "cpu", "float32")
    return {
        **row,
        "input": list(size),
        "precision": segmenter.precision,
        "agreement": _agreement(_ours(exact, max(size)), reference, [photo.resize(size)]),
        "agreement_of": exact.precision,
        "weights": "published" if trained else "random",
        "target": 3.0 if "mobilenet" in name else 2.2,
    }


def compact(name: str, turns: int, quick: bool = False) -> Row:
    """One of the compact zoo beside torchvision's LRASPP on the same photo at the same size (target: 1 / 0.55 times).

    ``agreement`` is that of the precision in use with float32, on three photos.
    """
    segmenter, exact = load(name), load(name, precision="float32")
    photo = _photo(1155, 866, quick)
    size = segmenter.input_size(photo.size, 128 if quick else None)
    rival = torchvision_way(torchvision_network(RIVAL), size)
    row = _in_turns(name, _ours(segmenter, 128 if quick else None), rival, photo, turns)
    photos = [Image.open(EXAMPLES / f"{title}.jpg").convert("RGB") for title in ("cat", "astronaut", "grace_hopper")]
    return {
        **row,
        "input": list(size),
        "precision": segmenter.precision,
        "agreement": _agreement(_ours(segmenter), _ours(exact), photos),
        "target": 1.82,
    }


def beside_neighbours(name: str, turns: int, quick: bool = False) -> Row:
    """One of the compact zoo alone, beside one busy program and beside two (targets: 1.5 and 2.2 times as long on two
    processors), and LRASPP as well. Milliseconds by the number of programs.
    """
    segmenter, photo = load(name), _photo(1155, 866, quick)
    size = segmenter.input_size(photo.size, 128 if quick else None)
    ways = {
        "ours": _ours(segmenter, 128 if quick else None),
        "theirs": torchvision_way(torchvision_network(RIVAL), size),
    }
    sides = {side: partial(way, photo) for side, way in ways.items()}
    times = medians_beside(sides, turns, runs=1 if quick else 5)
    return {"model": name, "photo": list(photo.size), **times, "targets": [1.0, 1.5, 2.2]}


def crf_rows(turns: int, quick: bool = False) -> list[Row]:
    """The fully connected CRF, lattice and iterations, beside the same at every pixel (target: 8 times) and the authors'
    code, where that is installed; and what of it a moved atrous rate costs (target: 20 ms, and 60 for a new photo of a
    megapixel).
    """
    pixels, probabilities = crf.photo_and_probabilities(quick)
    again = crf.iterations_alone(pixels, probabilities, CRF())
    ways = {"every pixel, in torch": (crf.plain_way, 8.0), "the authors' code": (crf.authors_way(), 5.0)}
    new, moved_megapixel = crf.new_and_moved(turns, quick)
    rows = []
    for name, (theirs, target) in ways.items():
        if theirs is None:
            continue
        labels = [way(pixels, probabilities, CRF()) for way in (crf.our_way, theirs)]
        again()
        whole, rival = (partial(way, pixels, probabilities, CRF()) for way in (crf.our_way, theirs))
        times = [[times_of(run, 1)[0] for run in (whole, again, rival)] for _ in range(turns)]
        ours, moved, other = (statistics.median(column) for column in zip(*times, strict=True))
        rows.append(
            {
                "beside": name,
                "photo": list(pixels.shape[1::-1]),
                "classes": len(probabilities),
                "ours": round(ours, 1),
                "moved": round(moved, 1),
                "new_megapixel": round(new, 1),
                "moved_megapixel": round(moved_megapixel, 1),
                "theirs": round(other, 1),
                "times": round(other / ours, 2),
                "target": target,
                "agreement": round(float((labels[0] == labels[1]).mean()), 5),
            }
        )
    return rows


def moving_the_rate(segmenter: Segmenter, turns: int, quick: bool = False) -> Row:
    """Another atrous rate on the features of a photo just seen, beside the run from the file that saw it (target: at
    most 0.25 of that).

    With weights that were never fetched both end at the logits: the label map of a random network is noise, in which
    every pixel is a border, and takes ten times as long as one of a trained network.
    """
    trained = segmenter.card.at_hand
    decode = segmenter.decode if trained else segmenter.logits
    photo = _photo(1155, 866, quick)
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=90)
    rate = segmenter.card.atrous_rate or 1
    features: list[Features] = []

    def whole() -> None:
        with Image.open(file) as opened:
            features[:] = [segmenter.encode(opened)]
        decode(features[0], rate)

    def again() -> None:
        decode(features[0], rate // 2)

    whole()
    again()
    pairs = [(times_of(whole, 1)[0], times_of(again, 1)[0]) for _ in range(turns)]
    first, second = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {
        "model": segmenter.card.name,
        "whole": round(first, 1),
        "moved": round(second, 1),
        "share": round(second / first, 3),
        "up_to": "label map" if trained else "logits",
        "target": 0.25,
    }


def share_of_peak(segmenter: Segmenter, turns: int, quick: bool = False) -> Row:
    """The network alone: operations a second, and beside those of a product of matrices measured in turn with it."""
    photo = _photo(1440, 1080, quick)
    pixels = segmenter.pixels(photo, 128 if quick else None)
    macs = count(registry.build(segmenter.card.name), *pixels.shape[-2:]).macs

    def run() -> None:
        with segmenter.exclusive() as network, torch.inference_mode():
            network.decode(network.encode(pixels))

    run()
    runs, rates = [], []
    for _ in range(turns):
        runs += times_of(run, 1)
        rates.append(matrix_rate(segmenter.precision))
    rate = 2 * macs / statistics.median(runs) / 1e6
    peak = statistics.median(rates)
    return {
        "model": segmenter.card.name,
        "precision": segmenter.precision,
        "milliseconds": round(statistics.median(runs), 1),
        "gmacs": round(macs / 1e9, 2),
        "gflops": round(rate, 1),
        "peak_gflops": peak,
        "share": round(rate / peak, 3),
        "target": 0.8,
    }


def _ours(segmenter: Segmenter, working_size: int | None = None) -> Way:
    return lambda photo: segmenter(photo, working_size=working_size).labels


def _photo(width: int, height: int, quick: bool) -> Image.Image:
    """A photo of that size in pixels, a small one if ``quick``."""
    size = (160, 120) if quick else (width, height)
    return Image.open(EXAMPLES / "cat.jpg").convert("RGB").resize(size)


def _in_turns(name: str, ours: Way, theirs: Way, photo: Image.Image, turns: int) -> Row:
    """Medians of both sides, run in turn after one run each that does not count."""
    ours(photo), theirs(photo)
    pairs = [(times_of(lambda: ours(photo), 1)[0], times_of(lambda: theirs(photo), 1)[0]) for _ in range(turns)]
    first, second = (statistics.median(times) for times in zip(*pairs, strict=True))
    times = {"ours": round(first, 1), "theirs": round(second, 1), "times": round(second / first, 2)}
    return {"model": name, "photo": list(photo.size), **times}


def _agreement(ours: Way, theirs: Way, photos: Sequence[Image.Image]) -> float:
    """The part of all pixels that are given the same class."""
    return round(float(np.mean([(ours(photo) == theirs(photo)).mean() for photo in photos])), 5)
