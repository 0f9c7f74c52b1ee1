"""Where the bundled files are: in the repository's ``assets/``, or in the installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent

ASSETS = next(folder for folder in (_PACKAGE / "assets", _PACKAGE.parent / "assets") if folder.is_dir())

EXAMPLES = ASSETS / "examples"
"""Photos, and ``credits.json``, which says whose they are."""

WEIGHTS = ASSETS / "weights"
"""``<name>.safetensors``, each beside ``<name>.json``, what was measured of it."""

PAGE = ASSETS / "page"
"""What draws results in a browser, and what an exported page is made of."""

ONNXRUNTIME_WEB = ASSETS / "onnxruntime_web"
"""onnxruntime-web's files, compressed, and ``about.json``, which says their version and hashes."""
