"""Names in scripts that matplotlib's own font does not have never appear as boxes."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from segmodels.inference import legend
from segmodels.inference.pictures import figure
from segmodels.labels import ClassList


@pytest.mark.parametrize("fonts", [(), legend.FALLBACKS])
@pytest.mark.parametrize("name", ["猫", "قطة", "кошка"])
def test_a_legend_has_no_letter_that_its_fonts_have_not(
    monkeypatch: pytest.MonkeyPatch, fonts: tuple[str, ...], name: str
) -> None:
    monkeypatch.setattr(legend, "FALLBACKS", fonts)
    classes = ClassList(("background", name))
    labels = np.zeros((40, 60), dtype=np.uint8)
    labels[:, 30:] = 1
    drawing = figure(Image.new("RGB", (60, 40)), labels, classes)
    (written,) = drawing.legends
    texts = [text.get_text() for text in written.get_texts()]
    if name == "猫":
        assert texts[1] in ((name, "class 1") if fonts else ("class 1",))
    else:
        assert texts == ["background", name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of each letter that is missing
        drawing.savefig(io.BytesIO(), format="png")
