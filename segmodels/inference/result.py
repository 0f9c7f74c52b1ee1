"""What a network makes of a photo: the features half-way, the segmentation at the end."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..crf.mean_field import SampledPhoto
from ..crf.parameters import CRF
from ..kernels.fused import ProductCache
from ..labels import ClassList
from .instances import Instances, find_instances, has_instances
from .label_map import Size
from .photo import as_photo
from .pictures import figure, label_image, outlined, overlay


@dataclass(frozen=True)
class Features:
    """What the backbone saw of one photo: everything a decoder needs, whatever its settings."""

    maps: Sequence[Tensor]
    """Feature maps from fine to coarse, (1, C, h, w)."""
    photo_size: tuple[int, int]
    """(width, height) of the photo in pixels."""
    working_size: tuple[int, int]
    """(width, height) at which the network saw it."""
    output_stride: int
    milliseconds: float
    backbone: str
    """The hash of the backbone's weights: only a decoder that goes with it can read the maps."""
    align_corners: bool = False
    """Where the cells of the maps, and of the logits made of them, lie."""
    pixels: Tensor | None = None
    """The photo at the working size, (height, width, 3) uint8: what the CRF compares. None leaves it without one."""
    products: ProductCache = field(default_factory=ProductCache, init=False, repr=False, compare=False)
    """What a decoder has made of the maps and will need again at another rate."""

    _sampled: "list[SampledPhoto]" = field(default_factory=list, init=False, repr=False, compare=False)
    """The CRF's lattice of this photo, once one was needed: that of the last parameters."""

    @property
    def nbytes(self) -> int:
        """What the maps and the photo take, with all that is remembered of them."""
        kept = sum(map_.nbytes for map_ in self.maps) + self.products.nbytes
        kept += sum(sampled.nbytes for sampled in self._sampled)
        return kept + (0 if self.pixels is None else self.pixels.nbytes)

    def sampled(self, crf: CRF) -> SampledPhoto:
        """The photo as the CRF sees it, with its lattice: made once, and again where ``crf`` has other lengths.

        Raises:
            ValueError: for features that were made without the photo's pixels.
        """
        if self.pixels is None:
            raise ValueError(
                "the CRF compares the photo's colours, and these features have no pixels: encode the photo"
            )
        for known in self._sampled:
            if known.fits(crf):
                return known
        sampled = SampledPhoto.of(self.pixels, crf)
        self._sampled[:] = [sampled]
        return sampled

    @property
    def aligned_size(self) -> Size | None:
        """For ``label_map``: (height, width) of the network's input, where ``align_corners`` is set."""
        return self.working_size[::-1] if self.align_corners else None


@dataclass(frozen=True)
class Segmentation:
    """The label map of a photo and what is known about how it came about."""

    labels: NDArray[np.uint8]
    """(H, W), an index into ``classes``, at the photo's own size."""
    class_list: ClassList
    """What the labels mean: names and colours."""
    model: str
    atrous_rate: int | None
    """None for a network without an ASPP."""
    output_stride: int | None
    """None for a network whose stride cannot be chosen."""
    working_size: tuple[int, int]
    """(width, height) in pixels at which the network saw the photo."""
    precision: str
    milliseconds: dict[str, float]
    """``encode``, ``decode``, ``resize`` from logits to the label map, ``crf`` where there was one, which includes that, and
    ``total``, their sum: all but reading the photo and bringing it to the working size."""
    confidence: dict[str, float]
    """Mean probability of each class found, over the cells of the logits that were given it; with the CRF, the CRF's, over
    the pixels that it samples."""
    notes: tuple[str, ...] = ()
    """Sentences about settings that differ from those the weights were trained with."""
    probabilities: NDArray[np.float32] | None = None
    """(num_classes, height, width) at ``working_size``: the softmax, which sums to 1 over the classes. It is there if it was
    asked for, ``segmenter(photo, probabilities=True)``, since it takes many times what the labels take. With the CRF they
    are the CRF's, and 0 for classes that cannot win."""
    crf: CRF | None = None
    """The parameters of the fully connected CRF that the labels went through; None where they are the network's own."""
    shares: dict[str, float] = field(init=False)
    """Part of the photo that each class found covers, largest first; they sum to 1."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by index."""
        return self.class_list.names

    def __post_init__(self) -> None:
        shares, left = {}, self.labels.size
        for name in dict.fromkeys((*self.confidence, *self.classes)):  # those that won somewhere first
            if not left:
                break
            if count := int(np.count_nonzero(self.labels == self.classes.index(name))):
                shares[name] = count / self.labels.size
                left -= count
        object.__setattr__(self, "shares", dict(sorted(shares.items(), key=lambda item: -item[1])))

    @cached_property
    def instances(self) -> Instances:
        """The single objects, where the network was trained to part them: ``unet_nuclei``, and weights of one's own.

        Raises:
            ValueError: if the network's classes make no objects.
        """
        return find_instances(self.labels, self.class_list)

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Where the class called ``name`` was found, (H, W).

        Raises:
            ValueError: if the network does not know such a class.
        """
        if name not in self.classes:
            raise ValueError(f"there is no class called {str(name)[:40]!r}; there are {', '.join(self.classes)}")
        found: NDArray[np.bool_] = self.labels == self.classes.index(name)
        return found

    def overlay(self, photo: Image.Image | NDArray[np.uint8], opacity: float = 0.6) -> Image.Image:
        """``photo``, the one that was segmented, with every class but the background in its colour.

        Where objects are told apart, each has an outline.

        Raises:
            ValueError: if the photo has another size than the label map.
        """
        coloured = overlay(self._own(photo), self.labels, opacity, self.class_list)
        return outlined(coloured, self.instances.outlines) if has_instances(self.class_list) else coloured

    def save(
        self, folder: str | Path, photo: Image.Image | NDArray[np.uint8] | None = None, name: str | None = None
    ) -> dict[str, Path]:
        """Write ``<name>_labels.png``, a palette image of the photo's size, and ``<name>_report.json`` into ``folder``.

        With the photo that was segmented there are also ``<name>_overlay.png`` and ``<name>_figure.png``, photo and label
        map side by side. Where objects are told apart, their labels, table and outlines are written too
        (``Instances.save``). ``name`` is that of the photo's file, where it was opened from one, else ``photo``. The folder is
        made if it is missing; files of these names are written over.

        Returns:
            The files, by ``labels``, ``report``, ``overlay``, ``figure``, and those of objects as ``Instances.save`` says.

        Raises:
            ValueError: if the photo has another size than the label map.
            OSError: if a file cannot be written.
        """
        own = None if photo is None else self._own(photo)
        stem = name or Path(getattr(photo, "filename", "")).stem or "photo"
        files = {"labels": Path(folder) / f"{stem}_labels.png", "report": Path(folder) / f"{stem}_report.json"}
        Path(folder).mkdir(parents=True, exist_ok=True)
        label_image(self.labels, self.class_list).save(files["labels"])
        if own is not None:
            files |= {kind: Path(folder) / f"{stem}_{kind}.png" for kind in ("overlay", "figure")}
            self.overlay(own).save(files["overlay"])
            figure(own, self.labels, self.class_list).savefig(files["figure"])
        if has_instances(self.class_list):
            files |= self.instances.save(folder, stem)
        report = self.report(outputs={kind: str(file) for kind, file in files.items()})
        files["report"].write_text(json.dumps(report, indent=2), encoding="utf-8")
        return files

    def _own(self, photo: Image.Image | NDArray[np.uint8]) -> Image.Image:
        image = as_photo(photo)
        if image.size != self.labels.shape[::-1]:
            width, height = self.labels.shape[::-1]
            raise ValueError(
                f"this is a label map of {width} x {height} pixels, and the photo has {image.width} x {image.height}"
            )
        return image

    def report(self, file: str | None = None, outputs: dict[str, str] | None = None) -> dict[str, Any]:
        """The result as JSON: what ``segment --json`` prints and what the page's ``/segment`` answers."""
        height, width = self.labels.shape
        return {
            "file": file,
            "model": self.model,
            "atrous_rate": self.atrous_rate,
            "output_stride": self.output_stride,
            "size": [width, height],
            "working_size": list(self.working_size),
            "precision": self.precision,
            "crf": None if self.crf is None else asdict(self.crf),
            "classes": {name: round(share, 6) for name, share in self.shares.items()},
            "confidence": {name: round(value, 4) for name, value in self.confidence.items()},
            "milliseconds": {name: round(value, 1) for name, value in self.milliseconds.items()},
            "notes": list(self.notes),
            "outputs": outputs or {},
            **self._objects(),
        }

    def _objects(self) -> dict[str, Any]:
        if not has_instances(self.class_list):
            return {}
        return {"instances": {"count": len(self.instances), "median_area": self.instances.median_area}}
