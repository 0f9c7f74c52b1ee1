"""The permutohedral lattice: Gaussian filtering of scattered points in a time that is linear in their number.

Adams, Baek and Davis 2010, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", as used for the CRF by
Krähenbühl and Koltun (arXiv 1210.5644, section 3.2): values are splatted onto the corners of the simplices around their
points, the corners are blurred along each axis, and each point slices the sum out of its corners again.

The lattice lives in the plane of d + 1 coordinates that sum to 0. Its vertices have whole coordinates that all leave the
same remainder k when divided by d + 1; the simplex around a point has one vertex of each remainder. A vertex is written as
the first d quotients and k, and these as one number, its key.
"""

from dataclasses import dataclass

import numpy as np
import torch
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
        elevated = _elevated(points) / (len(points) + 1)
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

    Raises:
        ValueError: if the points are so far apart that their vertices cannot be numbered.
    """

    def __init__(self, points: Tensor) -> None:
        dimensions, self.points = points.shape
        simplices = Simplices.around(points)
        # Corners reach one below their point's quotients, neighbours one further; beyond is room for points without any.
        self._least, self._most = simplices.quotients.amin(1) - 2, simplices.quotients.amax(1) + 2
        self._first = self._least.long() - 1
        spans = self._most.long() - self._first + 1
        self._factors = (dimensions + 1) * torch.cat([torch.ones(1, dtype=torch.long), spans.cumprod(0)])
        if (self.points - 1).bit_length() + 3 + int(self._factors[-1]).bit_length() > 63 or dimensions > 7:
            raise ValueError("these points are too many, or too far apart, for a lattice")
        self._factors = self._factors[:-1]
        keys = self._number_vertices(simplices)
        self._table = KeyTable(keys.numpy())
        self._neighbours = self._find_neighbours(keys.numpy())
        ones = torch.ones(self.points, 1)
        self.total = self.blur(self.splat(ones))
        """(vertices + 1, 1): what a vertex has if every point has the value 1."""
        self.norm = self.slice(self.total).rsqrt().ravel()
        """(N,): 1 over the square root of the sum of the kernel over all points, for symmetric normalisation."""

    def _number_vertices(self, simplices: Simplices) -> Tensor:
        """Number the vertices that are a corner of some point's simplex, by their keys, which are returned."""
        keys = simplices.keys(self._first, self._factors)
        corners = len(keys)
        entry_bits = (self.points - 1).bit_length() + 3  # a corner is at most 7
        entries = (torch.arange(self.points) << 3) | torch.arange(corners)[:, None]
        packed = ((keys << entry_bits) | entries).ravel().numpy()
        packed.sort()  # keys and where they come from in one go: much faster than sorting with indices
        ordered = torch.from_numpy(packed)
        keys = ordered >> entry_bits
        starts = torch.ones(len(keys), dtype=torch.bool)
        torch.ne(keys[1:], keys[:-1], out=starts[1:])
        first = starts.nonzero().ravel()
        self.vertices = len(first)
        numbers = torch.from_numpy(np.cumsum(starts.numpy(), dtype=np.int32)) - 1
        entries = ordered & ((1 << entry_bits) - 1)
        points, corner = entries >> 3, entries & 7
        self._weights = simplices.weights.T.contiguous()
        flat = points * corners + corner
        self._corners = torch.empty(self.points, corners, dtype=torch.int32)
        self._corners.view(-1)[flat] = numbers
        self._splat_from = points.int()
        self._splat_weights = self._weights.view(-1)[flat]
        self._splat_offsets = torch.cat([first, torch.tensor([len(keys)])]).int()
        return keys[first]

    def _find_neighbours(self, keys: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[Tensor]:
        """For each axis, (vertices + 1, 2): the vertices one step ahead and one behind; ``vertices`` where there is none.

        A step along axis a adds 1 to every coordinate and takes d + 1 from that one.
        """
        dimensions = len(self._factors)
        last = keys % (dimensions + 1) == dimensions
        ahead = keys + np.where(last, int(self._factors.sum()) - dimensions, 1)
        neighbours = []
        for axis in range(dimensions + 1):
            found = self._table.find(ahead - (int(self._factors[axis]) if axis < dimensions else 0))
            pair = np.full((self.vertices + 1, 2), self.vertices, dtype=np.int32)
            pair[:-1, 0] = found
            there = np.flatnonzero(found != self.vertices)
            pair[found[there], 1] = there
            neighbours.append(torch.from_numpy(pair))
        return neighbours

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
            *self._neighbours,
        )
        return self._table.nbytes + sum(tensor.nbytes for tensor in tensors)

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
        """Every vertex with half of its two neighbours along an axis, one axis after the other: (vertices + 1, C)."""
        for neighbours in self._neighbours:
            vertices = torch.add(vertices, embedding_bag(neighbours, vertices, mode="sum"), alpha=0.5)
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
        return norm * self.slice(self.blur(self.splat(norm * values)))
