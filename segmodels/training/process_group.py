"""Training by several processes at once, started by ``torchrun``: each takes its share of every batch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ..kernels.device import best_device


@dataclass(frozen=True)
class Team:
    """The processes that train together, as one of them sees it. On its own it is a team of one."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that scores, logs and writes."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """``module``, its gradients averaged over the team; on CUDA its batch norms see the whole team's batch too."""
        if self.size == 1:
            return module
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return DistributedDataParallel(module)

    def mean(self, value: Tensor) -> float:
        """The mean of a number over the team."""
        value = value.detach().clone()
        if self.size > 1:
            distributed.all_reduce(value)
        return value.item() / self.size


@contextmanager
def joined_team() -> Iterator[Team]:
    """The team that ``torchrun`` started this process in, or a team of one, on the machine's best device.

    In a team each has a GPU of its own by CUDA, where there are any. By MPS there is one for all, and nothing that
    averages gradients on it, so a team trains on processors there.
    """
    device = best_device()
    if "WORLD_SIZE" not in os.environ:
        yield Team(device)
        return
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device.type == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(device, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
