"""Maps of a value per pixel, coloured; ``ui.scale`` in ``macros.html`` says in numbers what the colours mean."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Values = NDArray[np.float32]
"""A value per pixel, (H, W)."""


def map_image(values: Values, most: float, colours: str, alpha: NDArray[np.float64] | None = None) -> Image.Image:
    """``values`` from 0 to ``most`` in matplotlib's colour map ``colours``, as a palette image; beyond, the end's colour.

    ``alpha``, 256 values from 0 to 1, makes the colours see-through, from the one for 0 on.
    """
    steps = np.clip(values * (255 / most), 0, 255).round().astype(np.uint8)
    image = Image.fromarray(steps)
    image.putpalette(_table(colours, 256).tobytes())
    if alpha is not None:
        image.info["transparency"] = (np.asarray(alpha) * 255).round().astype(np.uint8).tobytes()
    return image


def gradient(colours: str) -> str:
    """The colours from the least to the largest value, as the stops of a CSS gradient."""
    return ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in _table(colours, 17).tolist())


def _table(colours: str, size: int) -> NDArray[np.uint8]:
    """(size, 3): the colour map's colours at equal steps."""
    import matplotlib  # here, because the page can start without it

    rgba = matplotlib.colormaps[colours](np.linspace(0, 1, size))
    return (np.asarray(rgba)[:, :3] * 255).round().astype(np.uint8)
