"""Which device a network runs on."""

import torch


def best_device() -> torch.device:
    """Return the best device of this machine: CUDA, else Apple's MPS, else the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def synchronise(device: torch.device) -> None:
    """Wait until ``device`` has finished its work, for measuring time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
