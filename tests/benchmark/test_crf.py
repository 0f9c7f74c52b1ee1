"""The ways that the CRF is measured beside do the same as it does."""

import pytest
import torch

from segmodels.benchmark import crf
from segmodels.crf.lattice import Lattice
from segmodels.crf.parameters import CRF


def test_the_plain_lattice_filters_like_ours() -> None:
    numbers = torch.Generator().manual_seed(0)
    points, values = torch.randn(5, 300, generator=numbers), torch.rand(300, 3, generator=numbers)
    torch.testing.assert_close(
        crf.PlainLattice(points.T).filter(values), Lattice(points).filter(values), atol=1e-4, rtol=1e-3
    )


def test_our_way_and_the_plain_one_agree_on_a_photo() -> None:
    pixels, probabilities = crf.photo_and_probabilities(quick=True)
    ours, plain = (way(pixels, probabilities, CRF()) for way in (crf.our_way, crf.plain_way))
    assert (probabilities.argmax(0).numpy() != plain).mean() > 0.005  # there is something to do
    assert (ours == plain).mean() > 0.99


def test_the_authors_own_code_agrees() -> None:
    pytest.importorskip("pydensecrf.densecrf", reason="the authors' code is measured where it is installed")
    authors = crf.authors_way()
    assert authors is not None
    pixels, probabilities = crf.photo_and_probabilities(quick=True)
    assert (crf.our_way(pixels, probabilities, CRF()) == authors(pixels, probabilities, CRF())).mean() > 0.985
