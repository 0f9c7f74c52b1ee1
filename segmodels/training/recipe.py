"""The settings of a training run."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf

LEAST: dict[str, float] = {"epochs": 1, "batch": 1, "crop": 32, "smallest_window": 0.001}
"""What a setting must at least be; 0 where nothing is said."""

MOST: dict[str, float] = {
    "epochs": 100_000,
    "batch": 4096,
    "crop": 2048,
    "smallest_window": 1,
    "backbone_rate": 1,
    "decoder_rate": 1,
    "weight_decay": 1,
    "label_smoothing": 0.9,
    "lovasz_weight": 100,
    "ema_decay": 0.99999,
    "poly_power": 10,
    "seed": 2**31,
}


@dataclass(frozen=True)
class Recipe:
    """The settings of a run; the defaults are those of ``segmodels train``.

    Raises:
        ValueError: with a sentence, for a value that no run can have.
    """

    epochs: int = 2
    batch: int = 8
    crop: int = 385  # pixels: 25 cells at stride 16, so that every tap of the atrous rates 6, 12, 18 meets the map
    smallest_window: float = 0.4  # of the photo's area, shown in a crop
    backbone_rate: float = 1.5e-4  # 0 freezes the backbone, and the decoder alone is written
    decoder_rate: float = 3e-3
    most_often: float = 5.0  # how many times as often as others a photo with a thin class is drawn
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    lovasz_weight: float = 0.5
    ema_decay: float = 0.998
    warmup: int = 200  # steps; in a short run a fifth of them
    poly_power: float = 0.9
    atrous_rate: int = 0  # 0, here and below: as on the card
    output_stride: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least, most = getattr(self, field.name), LEAST.get(field.name, 0), MOST.get(field.name, inf)
            if field.name not in ("atrous_rate", "output_stride") and not least <= value <= most:
                upper = f" to {most:g}" if most < inf else " on"
                raise ValueError(f"{field.name} must be from {least:g}{upper}, not {value:g}")

    @classmethod
    def of(cls, settings: Sequence[str]) -> "Recipe":
        """The defaults, but for ``settings`` such as ``"batch=4"``.

        Raises:
            ValueError: for a name that there is not, or a value that is not of its kind.
        """
        kinds = {field.name: type(getattr(cls, field.name)) for field in fields(cls)}
        chosen = {}
        for setting in settings:
            name, _, value = setting.partition("=")
            if name not in kinds:
                raise ValueError(f"the recipe has no setting {name!r}; it has {', '.join(kinds)}")
            try:
                chosen[name] = kinds[name](value)
            except ValueError:
                raise ValueError(f"{name} must be a number like {getattr(cls, name)}, not {value!r}") from None
        return cls(**chosen)
