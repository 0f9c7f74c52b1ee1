"""What the Segment tab says of a result in words and numbers: classes, network, cost, time."""

from typing import Any

from segmodels import Card, Segmentation
from segmodels.inference.instances import has_instances
from segmodels.insight.cost import Cost
from segmodels.labels import CAMVID, VOC

from ..components.templates import render
from ..server import in_browser
from ..server.settings import settings_text

SURE_OF_A_STREET = 0.85
"""Mean confidence. Thirty photos of CamVid gave 0.88 to 0.94; of fifty-three photos of other things, nearly all gave less than 0.82."""


def about(card: Card, note: str) -> str:
    """Return what a network is, which settings it has, and where it runs in the visitor's own browser."""
    return render("segment/about.html", card=card, note=note, in_browser=in_browser.is_offered(card.name))


def table(result: Segmentation) -> str:
    """Return the classes found: share of the photo, mean confidence."""
    return render("segment/table.html", result=result)


def what_ran(card: Card, result: Segmentation, cost: Cost, remembered: bool) -> str:
    """Return network, weights and what they were trained on, cost, time, size, and any note on the settings."""
    times = result.milliseconds
    backbone = "features cached" if remembered else f"backbone {times['encode']:.0f} ms"
    width, height = result.working_size
    return render(
        "segment/ran.html",
        card=card,
        result=result,
        weights={**_counted(result), **_no_street(result), **_weights(card)},
        cost=f"{cost.parameters / 1e6:.2f} M parameters, {cost.macs / 1e9:.1f} G multiply-accumulates at {width} × {height}",
        time=f"{backbone}, decoder {times['decode']:.0f} ms, {_last(times)}, in {result.precision}",
        settings=_settings(result),
    )


def _last(times: dict[str, float]) -> str:
    """Return how long the label map took, by the CRF where it made it."""
    return f"CRF {times['crf']:.0f} ms" if "crf" in times else f"label map {times['resize']:.0f} ms"


def _counted(result: Segmentation) -> dict[str, str]:
    """Return how many objects there are, where they are told apart; how large only where no pixel was scaled."""
    if not has_instances(result.class_list):
        return {}
    own_size = result.labels.shape[::-1] == result.working_size
    return {"Count": result.instances.sentence if own_size else f"{len(result.instances):,} nuclei"}


def _no_street(result: Segmentation) -> dict[str, str]:
    """Return a word where the network for streets looks at something else: it has no class for what is not on a street."""
    sure = sum(share * result.confidence[name] for name, share in result.shares.items())
    if result.class_list != CAMVID or sure >= SURE_OF_A_STREET:
        return {}
    return {
        "No street?": f"This network knows only what is seen from a car. It is {sure:.0%} sure here; of streets it is about 92% sure."
    }


def _weights(card: Card) -> dict[str, str]:
    """Return what the weights were trained on, how they score, and their licence where it is not the code's.

    Of a visitor's own weights it is what their file says.
    """
    if card.source == "own":
        return {"Weights": f"Your own, {card.origin or ''}"}
    scores = card.measured["scores"]
    licence = {} if card.class_list == VOC else {"Licence": card.measured["licence"]}
    return {
        "Weights": card.measured["training"]["summary"],
        "Scores": f"{_miou(scores)}, pixel accuracy {scores['pixel_accuracy']:.3f} on {scores['data']}",
        **licence,
    }


def _miou(scores: dict[str, Any]) -> str:
    return (
        f"mIoU-7 {scores['miou7']:.3f} (mean IoU of seven classes)"
        if "miou7" in scores
        else f"mIoU {scores['miou']:.3f}"
    )


def setting(card: Card, result: Segmentation, variant: str) -> str:
    """Return in a few words what a result was made with: rate, stride, what of the decoder ran, and the CRF."""
    words = [settings_text(result.atrous_rate, result.output_stride)]
    if len(card.variants) > 1:
        words.append(variant if variant in dict(card.variants) else card.variants[0][0])
    words.append("with the CRF" if result.crf else "without the CRF")
    return ", ".join(filter(None, words))


def _settings(result: Segmentation) -> str:
    width, height = result.working_size
    size = f"working size {width} × {height}"
    if result.output_stride is None:
        return f"{size}; atrous rate and output stride do not apply"
    rate = result.atrous_rate
    rates = "" if rate is None else f"atrous rates {rate}, {2 * rate}, {3 * rate} at "
    return f"{rates}output stride {result.output_stride}, {size}"
