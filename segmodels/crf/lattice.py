"""The permutohedral lattice: Gaussian filtering of scattered points in a time that is linear in their number.

Adams, Baek and Davis 2010, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", as used for the CRF by
Krähenbühl and Koltun (arXiv 1210.5644, section 3.2): values are splatted onto the corners of the simplices around their
points, the corners are blurred along each axis, and each point slices the sum out of its corners again.

The lattice lives in the plane of d + 1 coordinates that sum to 0. Its vertices have whole coordinates that all leave the
same remainder k when divided by d + 1; the simplex around a point has one vertex of each remainder. A vertex is written as
the first d quotients and k, and these as one number, its key.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from .key_table import KeyTable


@dataclass(frozen=True)
class Simplices:
    """In which simplex each of N points of d dimensions lies, and where in it."""

    quotients: Tensor
    """(d, N): of the vertex with remainder 0."""
    ranks: Tensor
    """(d + 1, N): the place of each coordinate if they were sorted by how far they are above that vertex, largest first."""
    weights: Tensor
    """(d + 1, N): barycentric coordinates, that of the vertex with remainder k in row k. They sum to 1."""

    @classmethod
    def around(cls, points: Tensor) -> "Simplices":
        """The simplices around (d, N) points. A unit of theirs is a standard deviation of the filter (section 3.1)."""
        elevated = _elevated(points).div_(len(points) + 1)
        quotients = elevated.round()
        ranks = _ranks(elevated - quotients) + quotients.sum(0).to(torch.int8)  # the sum is off by the wrapped ones
        dimensions = len(points)
        wrapped = (ranks < 0).view(torch.int8) - (ranks > dimensions).view(torch.int8)
        quotients += wrapped
        places = (ranks + wrapped * (dimensions + 1)).long()
        above = torch.empty_like(elevated).scatter_(0, places, elevated - quotients)
        weights = torch.empty_like(above)
        torch.sub(above[:-1].flip(0), above[1:].flip(0), out=weights[1:])
        weights[0] = 1 - (above[0] - above[-1])
        return cls(quotients[:-1], places, weights)

    def keys(self, first: Tensor, factors: Tensor) -> Tensor:
        """(d + 1, N) int64: the keys of the vertices, that with remainder k in row k.

        ``first`` are the least quotients that have a key, ``factors`` what a step of each quotient adds to it.
        """
        dimensions, points = self.quotients.shape
        base = ((self.quotients.long() - first[:, None]) * factors[:, None]).sum(0)
        steps = torch.cat([factors, factors.new_zeros(1)])[:, None].expand(-1, points)
        by_place = torch.empty(dimensions + 1, points, dtype=torch.long).scatter_(0, self.ranks, steps)
        keys = torch.empty_like(by_place)
        keys[0] = base
        for remainder in range(1, dimensions + 1):
            # One more in every coordinate, and d + 1 less in the one that comes last of those not lowered yet.
            torch.sub(keys[remainder - 1] + 1, by_place[dimensions - remainder + 1], out=keys[remainder])
        return keys


def _elevated(points: Tensor) -> Tensor:
    """(d, N) points in the plane of d + 1 coordinates, scaled so that splat, blur and slice have the standard deviation 1."""
    dimensions, count = points.shape
    elevated = points.new_empty(dimensions + 1, count)
    rest = points.new_zeros(count)
    for axis in range(dimensions, 0, -1):
        scaled = points[axis - 1] * ((2 / 3) ** 0.5 * (dimensions + 1) / (axis * (axis + 1)) ** 0.5)
        torch.add(rest, scaled, alpha=-axis, out=elevated[axis])
        rest = rest + scaled
    elevated[0] = rest
    return elevated


def _ranks(values: Tensor) -> Tensor:
    """(D, N) int8: how many in its column are larger than each of the values; of equals the upper comes first."""
    ranks = torch.zeros(values.shape, dtype=torch.int8)
    for upper in range(len(values)):
        for lower in range(upper + 1, len(values)):
            before = (values[upper] >= values[lower]).view(torch.int8)
            ranks[lower] += before
            ranks[upper] += 1 - before
    return ranks


class Lattice:
    """The lattice of N points, to filter any values that they have.

    Args:
        points: (d, N) float32, in standard deviations of the Gaussian; d is at most 7.
        own: how much of its own value ``filter`` gives back to a point. It is 1 for the Gaussian. A point that stands for
            others near it, which are not among the points, would have too much of its own.

    Raises:
        ValueError: if the points are so far apart that their vertices cannot be numbered.
    """

    def __init__(self, points: Tensor, own: float = 1.0) -> None:
        dimensions, self.points = points.shape
        simplices = Simplices.around(points)
        # Corners reach one below their point's quotients, neighbours one further; beyond is room for points without any.
        self._least, self._most = simplices.quotients.amin(1) - 2, simplices.quotients.amax(1) + 2
        self._first = self._least.long() - 1
        spans = (self._most.long() - self._first + 1).tolist()
        if math.prod(spans) * (dimensions + 1) * 8 * self.points >= 2**63 or dimensions > 7:
            raise ValueError("these points are too many, or too far apart, for a lattice")
        self._factors = torch.tensor([(dimensions + 1) * math.prod(spans[:axis]) for axis in range(dimensions)])
        keys = self._number_vertices(simplices)
        self._table = KeyTable(keys)
        self._neighbours = self._find_neighbours(keys)
        self.total = self.blur(self.splat(torch.ones(self.points, 1)))
        """(vertices + 1, 1): what a vertex has if every point has the value 1."""
        surplus = (1 - own) * self._own_kernel()
        self.norm = (self.slice(self.total).ravel() - surplus).rsqrt()
        """(N,): 1 over the square root of the sum of the kernel over all points, for symmetric normalisation."""
        self.surplus = surplus * self.norm.square()
        """(N,): how much of its own value a point has too much of after splat, blur and slice with ``norm`` on both sides."""

    def _number_vertices(self, simplices: Simplices) -> NDArray[np.int64]:
        """Number the vertices that are a corner of some point's simplex, by their keys, which are returned."""
        keys = simplices.keys(self._first, self._factors)
        corners = len(keys)
        entry_bits = (self.points - 1).bit_length() + 3  # a corner is at most 7
        entries = (torch.arange(self.points) << 3) | torch.arange(corners)[:, None]
        ordered = keys.bitwise_left_shift_(entry_bits).bitwise_or_(entries).ravel().numpy()
        ordered.sort()  # keys and where they come from in one go: much faster than sorting with indices
        sorted_keys = ordered >> entry_bits
        starts = np.ones(len(ordered), dtype=np.bool_)
        np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=starts[1:])
        first = np.flatnonzero(starts)
        self.vertices = len(first)
        origins = ordered & ((1 << entry_bits) - 1)
        points = origins >> 3
        places = points * corners + (origins & 7)
        self._weights = simplices.weights.T.contiguous()
        numbers = np.empty(len(ordered), dtype=np.int32)  # numpy is several times as fast at this as torch
        numbers[places] = np.cumsum(starts, dtype=np.int32) - 1
        self._corners = torch.from_numpy(numbers).view(self.points, corners)
        self._splat_from = torch.from_numpy(points.astype(np.int32))
        self._splat_weights = torch.from_numpy(self._weights.numpy().ravel().take(places))
        self._splat_offsets = torch.from_numpy(np.append(first, len(ordered)).astype(np.int32))
        return sorted_keys.take(first)

    def _find_neighbours(self, keys: NDArray[np.int64]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """For each axis the vertices one step ahead and those one behind, (vertices + 1,) each; ``vertices`` where there is none.

        A step along axis a adds 1 to every coordinate and takes d + 1 from that one.
        """
        dimensions = len(self._factors)
        last = keys % (dimensions + 1) == dimensions
        forward = keys + np.where(last, int(self._factors.sum()) - dimensions, 1)
        neighbours = []
        for axis in range(dimensions + 1):
            found = self._table.find(forward - (int(self._factors[axis]) if axis < dimensions else 0))
            ahead = np.append(found, self.vertices).astype(np.intp)
            behind = np.full_like(ahead, self.vertices)
            there = np.flatnonzero(found != self.vertices)
            behind[found.take(there)] = there
            neighbours.append((ahead, behind))
        return neighbours

    def _own_kernel(self) -> Tensor:
        """(N,): what the kernel is between a point and itself, where no vertex is missing around it.

        From a corner to the one whose remainder is k more, it is k steps along different axes, or d + 1 - k back along the
        others; blurring leaves a half at each.
        """
        corners = self._weights.shape[1]
        steps = (torch.arange(corners)[:, None] - torch.arange(corners)) % corners
        return ((self._weights @ (0.5**steps + 0.5 ** (corners - steps))) * self._weights).sum(1)

    @property
    def nbytes(self) -> int:
        """What it takes."""
        tensors = (
            self._corners,
            self._weights,
            self._splat_from,
            self._splat_weights,
            self._splat_offsets,
            self.total,
            self.norm,
            self.surplus,
        )
        neighbours = sum(ahead.nbytes + behind.nbytes for ahead, behind in self._neighbours)
        return self._table.nbytes + neighbours + sum(tensor.nbytes for tensor in tensors)

    def splat(self, values: Tensor) -> Tensor:
        """(N, C) values of the points, added to the vertices by weight: (vertices + 1, C). The last row is nobody's: zeros."""
        sums = values.new_zeros(self.vertices + 1, values.shape[1])
        sums[:-1] = embedding_bag(
            self._splat_from,
            values,
            self._splat_offsets,
            mode="sum",
            per_sample_weights=self._splat_weights,
            include_last_offset=True,
        )
        return sums

    def blur(self, vertices: Tensor) -> Tensor:
        """Every vertex with half of its two neighbours along an axis, one axis after the other: (vertices + 1, C).

        Rows of 1, 2, 4 or 8 values are copied fastest.
        """
        taken, *results = (torch.empty_like(vertices) for _ in range(3))
        for axis, (ahead, behind) in enumerate(self._neighbours):
            blurred, rows = results[axis % 2], vertices.numpy()
            # All are within; numpy checks that while it copies, but in this mode. It is twice as fast as torch's ways.
            np.take(rows, ahead, 0, blurred.numpy(), "clip")
            np.take(rows, behind, 0, taken.numpy(), "clip")
            vertices = torch.add(vertices, blurred.add_(taken), alpha=0.5, out=blurred)
        return vertices

    def slice(self, vertices: Tensor) -> Tensor:
        """The weighted sum of the corners of each point's simplex: (N, C)."""
        return embedding_bag(self._corners, vertices, mode="sum", per_sample_weights=self._weights)

    def slice_at(self, points: Tensor, vertices: Tensor) -> Tensor:
        """As ``slice``, at any (d, P) points. A vertex that none of the lattice's own points has counts as 0."""
        simplices = Simplices.around(points)
        simplices.quotients.clamp_(self._least[:, None], self._most[:, None])  # whose corners the lattice does not have
        keys = simplices.keys(self._first, self._factors)
        corners = torch.from_numpy(self._table.find(keys.T.reshape(-1).numpy())).view(points.shape[1], -1)
        weights = simplices.weights.T.contiguous()
        return embedding_bag(corners, vertices, mode="sum", per_sample_weights=weights)

    def filter(self, values: Tensor) -> Tensor:
        """The Gaussian filter of (N, C) values, symmetrically normalised: (N, C)."""
        norm = self.norm[:, None]
        return norm * self.slice(self.blur(self.splat(norm * values))) - self.surplus[:, None] * values
