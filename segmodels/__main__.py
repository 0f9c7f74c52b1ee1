"""``python -m segmodels``: the command line, for where the ``segmodels`` command is not installed."""

from .cli import main

if __name__ == "__main__":
    main()
