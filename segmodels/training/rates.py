"""DeepLab v3's decoder trained again at other atrous rates: what it is worth that the weights fit the rate.

All of these decoders were trained by one recipe on one frozen backbone. The one at ``HOME`` is the bundled network's own.
"""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ..checkpoints.files import read_state
from ..inference.loading import assemble
from ..inference.segmenter import Segmenter
from ..models import registry

NETWORK = "deeplabv3_mobilenetv2"
"""The network whose backbone the decoders share."""

FITTED = ((1, 16), (3, 16), (6, 16), (12, 16))
"""The (atrous rate, output stride) that a decoder was trained at."""

HOME = (6, 16)
"""Those whose decoder is also run at other rates, to compare."""

FACTS = registry.WEIGHTS / f"{NETWORK}.rates.json"
"""What was measured of them by ``tools/weights/rates.py``."""


def weights_file(rate: int, stride: int) -> Path:
    """Return the file of the decoder trained at ``rate`` and ``stride``; at ``HOME`` it is the whole network's.

    Raises:
        ValueError: if there is none.
    """
    if (rate, stride) == HOME:
        return registry.WEIGHTS / f"{NETWORK}.safetensors"
    if (rate, stride) not in FITTED:
        trained = ", ".join(f"{rate} at stride {stride}" for rate, stride in FITTED)
        raise ValueError(f"no weights were trained at atrous rate {rate} and stride {stride}, only at {trained}")
    return registry.WEIGHTS / f"{NETWORK}.rate{rate}_stride{stride}.safetensors"


def load_fitted(rate: int, stride: int, precision: str | None = None) -> Segmenter:
    """A Segmenter whose decoder was trained at ``rate`` and ``stride``; for it these are the trained settings.

    Raises:
        ValueError: if there is no such decoder, or its file is damaged.
        FileNotFoundError: if its file is missing.
    """
    decoder = read_state(weights_file(rate, stride), measured()["files"][f"{rate}/{stride}"]["sha256"])
    card = registry.card(NETWORK)
    return Segmenter(
        assemble(card, decoder), replace(card, atrous_rate=rate, output_stride=stride), precision=precision
    )


@cache
def measured() -> dict[str, Any]:
    """``moved`` and ``fitted``: rows of rate, stride, miou7, miou and pixel accuracy, of the decoder of ``HOME`` run at
    other rates and of those trained there; ``files``: size and hash of each; ``data`` and ``images`` scored on.
    """
    facts: dict[str, Any] = json.loads(FACTS.read_text(encoding="utf-8"))
    return facts
