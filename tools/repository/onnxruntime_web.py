"""onnxruntime-web's files for pages that run a network in the browser, taken from npm and stored compressed.

    python -m tools.repository.onnxruntime_web            # the version that is here already
    python -m tools.repository.onnxruntime_web 1.31.0     # another

Writes ``assets/onnxruntime_web/``: the two files with gzip, the licence, and ``about.json`` with the version and the
hashes. Needs npm, and onnxruntime's Python package, which carries the licence's text.
"""

import argparse
import base64
import gzip
import hashlib
import json
import subprocess
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from segmodels.checkpoints.paths import ONNXRUNTIME_WEB

PACKAGE = "onnxruntime-web"
FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""The smallest build, for processors alone: its JavaScript and its WebAssembly."""


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    about = ONNXRUNTIME_WEB / "about.json"
    known = json.loads(about.read_text(encoding="utf-8"))["version"] if about.exists() else "latest"
    parser.add_argument("version", nargs="?", default=known, help=f"of {PACKAGE} (default: {known})")
    version = parser.parse_args().version
    ONNXRUNTIME_WEB.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        facts = fetch(version, Path(folder))
    (ONNXRUNTIME_WEB / "LICENSE").write_bytes(licence())
    about.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"{PACKAGE} {facts['version']} is in {ONNXRUNTIME_WEB}")


def fetch(version: str, folder: Path) -> dict[str, Any]:
    """Fetch a version with npm, which checks its hash; write its files compressed, and return what they are."""
    command = ["npm", "pack", f"{PACKAGE}@{version}", "--json", "--silent"]
    (packed,) = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)
    archive = folder / packed["filename"]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if packed["integrity"] != f"sha512-{digest}":
        raise ValueError(f"{archive.name} is not what npm says it is")
    files = {}
    with tarfile.open(archive) as tar:
        for name in FILES:
            member = tar.extractfile(f"package/dist/{name}")
            assert member is not None
            content = member.read()
            compressed = gzip.compress(content, 9, mtime=0)
            (ONNXRUNTIME_WEB / f"{name}.gz").write_bytes(compressed)
            files[name] = {
                "bytes": len(content),
                "compressed": len(compressed),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
    return {
        "package": PACKAGE,
        "version": packed["version"],
        "licence": "MIT",
        "integrity": packed["integrity"],
        "files": files,
    }


def licence() -> bytes:
    """The text of onnxruntime's licence, the same for all its packages."""
    spec = find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "LICENSE").read_bytes()


if __name__ == "__main__":
    main()
