"""The processor at hand and what it can do, and how long something takes on it."""

import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from ..kernels import openmp
from ..kernels.precision import choose_precision
from .tables import Row

IMITATED = 10.0
"""Billions of operations a second; no processor of today that has the instructions is as slow."""


def machine() -> Row:
    """The processor and what it can do: the rate of a product of two 2048 x 2048 matrices, in GFLOP/s."""
    choice = choose_precision(torch.device("cpu"))
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": choice.precision,
        "reason": choice.reason,
        "waiting": openmp.waiting(),
        "excess": openmp.excess(),
        "gflops": {name: matrix_rate(name) for name in ("float32", "bfloat16")},
    }


def _processor() -> str:
    """The processor's name, with the instructions that matter here, as far as Linux tells."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    name = next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "")
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f" {flag} " in text]
    return f"{name or platform.processor()} ({', '.join(flags) or 'flags unknown'})"


def matrix_rate(precision: str) -> float:
    """Billions of floating-point operations a second of a product of two 2048 x 2048 matrices, at the best of ten.

    Where a smaller product shows that the processor only imitates the precision, it is that one's: ten large ones would
    take minutes.
    """
    for side, runs in ((512, 1), (2048, 10)):
        matrix = torch.randn(side, side).to(getattr(torch, precision))
        rate = round(2 * side**3 / min(times_of(partial(torch.matmul, matrix, matrix), runs)) / 1e6, 1)
        if rate < IMITATED:
            break
    return rate


def times_of(run: Callable[[], object], repeats: int) -> list[float]:
    """Return how long each of ``repeats`` runs took, in milliseconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - started))
    return times
