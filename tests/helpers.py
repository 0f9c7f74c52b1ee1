"""What several test files do to networks."""

from torch import Tensor, nn


def randomise_norms(module: nn.Module) -> None:
    """Give every batch norm statistics that matter."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            nn.init.uniform_(norm.running_mean, -0.5, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)


def interior(x: Tensor, border: int) -> Tensor:
    """``x`` without ``border`` cells on every side."""
    return x[..., border:-border, border:-border]


def parameters(module: nn.Module) -> int:
    """How many numbers there are to learn."""
    return sum(parameter.numel() for parameter in module.parameters())


def parameters_used(network: nn.Module) -> int:
    """Those that a segmentation asks; the classifiers of U-Net's earlier blocks are for training."""
    sides = getattr(network.decoder, "sides", None)
    return parameters(network) - (parameters(sides) if isinstance(sides, nn.Module) else 0)
