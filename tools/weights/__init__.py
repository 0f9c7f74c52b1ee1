"""What is imported first, since how threads wait is set before torch is loaded."""

from segmodels.kernels import openmp as _openmp  # noqa: F401
