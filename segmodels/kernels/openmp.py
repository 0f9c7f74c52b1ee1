"""How torch's threads wait for each other: set before torch is loaded, since OpenMP reads it then.

A network runs through some two hundred small parallel loops, with a barrier at the end of each. GNU's OpenMP spins at a
barrier, by default for milliseconds. When another process has the core of the thread that is waited for, that time is
lost, and it is lost two hundred times a photo.
"""

import os
import sys

SPIN_COUNT = 1000
"""Turns of GNU OpenMP's waiting loop before a thread sleeps. On two cores 1,000 are as fast as the default when nothing
else runs (none at all, ``OMP_WAIT_POLICY=PASSIVE``, takes 5 to 10 % longer), and do not slow down beside a busy process."""

SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""The environment variables by which a user says how threads wait: where one is set, it holds."""


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


def waiting() -> str:
    """Return, in words, how threads wait in this process."""
    if not BOUNDED:
        return "spinning, since torch was loaded before segmodels: import segmodels first, or set GOMP_SPINCOUNT=1000"
    return ", ".join(f"{name}={os.environ[name]}" for name in SETTINGS if name in os.environ)


BOUNDED = bound_spinning()
