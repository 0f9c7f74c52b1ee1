"""How torch's threads wait for each other, and how many they are: set before torch is loaded, since OpenMP reads it then.

A network runs through some two hundred small parallel loops, with a barrier at the end of each. GNU's OpenMP spins at a
barrier, by default for milliseconds. When another process has the core of the thread that is waited for, that time is
lost, and it is lost two hundred times a photo. And it starts a thread a processor, whatever a container's quota grants.
"""

import os
import sys

from .cpus import available_cpus, usable_cpus

SPIN_COUNT = 1000
"""Turns of GNU OpenMP's waiting loop before a thread sleeps. On two cores 1,000 are as fast as the default when nothing
else runs (none at all, ``OMP_WAIT_POLICY=PASSIVE``, takes 5 to 10 % longer), and do not slow down beside a busy process."""

SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""The environment variables by which a user says how threads wait: where one is set, it holds."""

COUNT = "OMP_NUM_THREADS"
"""The environment variable by which a user says how many threads there are: where it is set, it holds."""

COUNT_GIVEN = COUNT in os.environ
"""Whether a user said so."""


def bound_spinning() -> bool:
    """Let waiting threads sleep early, unless the environment says how they wait.

    Returns:
        Whether it takes effect: False if torch was loaded before, which then waits as it was told to.
    """
    if "torch" in sys.modules:
        return any(name in os.environ for name in SETTINGS)
    if not any(name in os.environ for name in SETTINGS):
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
    return True


def bound_threads(cpus: int) -> bool:
    """Start no more threads than ``cpus``, the processors that are granted, unless the environment says how many.

    Returns:
        Whether torch's threads are no more than that: False if it was loaded before, with more.
    """
    if COUNT_GIVEN or cpus >= usable_cpus():  # OpenMP itself counts the processors that may be used
        return True
    if torch := sys.modules.get("torch"):
        return bool(torch.get_num_threads() <= cpus)
    os.environ[COUNT] = str(cpus)
    return True


def waiting() -> str:
    """Return, in words, how threads wait in this process."""
    if not BOUNDED:
        return "spinning, since torch was loaded before segmodels: import segmodels first, or set GOMP_SPINCOUNT=1000"
    return ", ".join(f"{name}={os.environ[name]}" for name in SETTINGS if name in os.environ)


def excess() -> str:
    """Return, in words, that torch has more threads than this process may use; nothing where it has not."""
    if FITTING:
        return ""
    cpus = available_cpus()
    return (
        f"more threads than the {cpus} processors granted, since torch was loaded before segmodels: "
        f"import segmodels first, or set {COUNT}={cpus}"
    )


BOUNDED = bound_spinning()
FITTING = bound_threads(available_cpus())
