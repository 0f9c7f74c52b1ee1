"""What the page says in words of the bundled weights, against what was measured of them."""

import json
from typing import Any

from demo.lab import rate_weights
from demo.lessons import skips
from segmodels.models import registry
from segmodels.training import rates


def parts(network: str) -> dict[str, dict[str, Any]]:
    measured = json.loads((registry.WEIGHTS / "compact.parts.json").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = measured[0]["networks"][network]
    return found


def miou7(kind: str) -> dict[int, float]:
    return {row["rate"]: row["miou7"] for row in rates.measured()[kind] if row["stride"] == 16}


def test_what_fcns_skips_give() -> None:
    whole, (coarse,) = (
        parts("fcn_mobilenetv2")["as trained"],
        [row for name, row in parts("fcn_mobilenetv2").items() if name.startswith("FCN-32s")],
    )
    words = " ".join(skips.LESSON.answer.split())
    assert f"change {coarse['changed_median']:.1%} of".replace("%", " %") in words
    assert f"from {coarse['near_edges']:.3f} to {whole['near_edges']:.3f}" in words
    assert f"from {coarse['miou7']:.3f} to {whole['miou7']:.3f}" in words


def test_what_learning_at_a_rate_brings_back() -> None:
    moved, fitted = miou7("moved"), miou7("fitted")
    home = moved[rates.HOME[0]]
    assert "At rate 1 that brings back most of what moving loses" in rate_weights.ABOUT
    assert fitted[1] - moved[1] > 0.5 * (home - moved[1])
    assert "at 3 and 12, where moving loses little, it costs more than it gives" in rate_weights.ABOUT
    for rate in (3, 12):
        assert home - moved[rate] < 0.01
        assert fitted[rate] < moved[rate]
