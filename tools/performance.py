"""Measure everything and write it into ``docs/performance.md``: ``python -m tools.performance``.

On a machine that does nothing else; it takes some minutes. The comparison of engines is left as it is where ONNX Runtime
and OpenVINO are not installed.
"""

import importlib.util
import sys
from datetime import date
from pathlib import Path

from segmodels import bench

from . import bench_app, engines

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def main() -> None:
    measured = bench.bench(say=lambda line: print(f"measuring {line}", file=sys.stderr))
    put("tables", f"Measured on {date.today()}. {bench.markdown(measured)}")
    print("measuring the app", file=sys.stderr)
    put("app", bench_app.markdown(bench_app.bench_app()))
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "openvino")):
        print("measuring other engines", file=sys.stderr)
        put("engines", engines.markdown(engines.bench_engines()))


def put(part: str, text: str) -> None:
    """Replace what stands between the marks of a part of the page."""
    first, last = f"<!-- {part}: written by tools/performance.py -->", f"<!-- end of {part} -->"
    before, rest = PAGE.read_text(encoding="utf-8").split(first)
    after = rest.split(last)[1]
    PAGE.write_text(f"{before}{first}\n{text}\n{last}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
