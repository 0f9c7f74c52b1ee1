"""What it costs to compute in the visitor's browser: ``python -m tools.measure.in_browser``.

In one run: the network's time on this server as the page runs it, and in Chromium on one WebAssembly thread, for the first mask
of a photo and for a moved rate; bytes over the wire; the pixels on which both agree. Then 200 visitors who fetch such a page at
once from the running demo: seconds until all have it, and the demo's processor time. Needs Chromium, playwright, onnx and
onnxscript.
"""

import argparse
import base64
import shutil
import statistics
import threading
import time
from typing import Any

import httpx
import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import segmodels
from segmodels.checkpoints.paths import EXAMPLES
from segmodels.models import registry
from tools.stress.running import RunningApp

MODELS = ("fcn_mobilenetv2", "deeplabv3plus_mobilenetv2")
TURNS = 5
VISITORS = 200
WAIT = 240_000
"""Milliseconds."""
ANSWER = """() => {
  const shown = document.getElementById('pictures'), {labels} = shown.answer;
  const times = document.querySelector('.ran').textContent.match(/backbone (\\d+) ms, decoder (\\d+) ms/);
  shown.answer = null;
  return [labels.width, btoa(Array.from(labels.labels, label => String.fromCharCode(label)).join('')), Number(times[1]), Number(times[2])];
}"""
MOVE = "rate => { const slider = document.getElementById('rate'); slider.value = rate; slider.dispatchEvent(new Event('input')) }"


def answered(page: Page) -> tuple[np.ndarray[Any, Any], int, int]:
    """Return the next label map, and the milliseconds of backbone and decoder."""
    page.wait_for_function("document.getElementById('pictures').answer", timeout=WAIT)
    width, labels, backbone, decoder = page.evaluate(ANSWER)
    return np.frombuffer(base64.b64decode(labels), np.uint8).reshape(-1, width), backbone, decoder


def measure(page: Page, address: str, name: str) -> str:
    """Return a line of the table."""
    segmenter = segmodels.load(name)
    exact = segmodels.load(name, precision="float32")
    photo = Image.open(EXAMPLES / "astronaut.jpg").convert("RGB")
    rate = registry.card(name).atrous_rate
    length = len(httpx.get(address, timeout=600).content)
    page.goto(address)
    page.wait_for_selector("#pictures[data-ready]", timeout=WAIT)
    here: dict[str, list[float]] = {"first": [], "moved": []}
    there: dict[str, list[float]] = {"first": [], "moved": []}
    features, equal = exact.encode(photo), 1.0
    for turn in range(TURNS):
        page.set_input_files("input[type=file]", EXAMPLES / "astronaut.jpg")
        labels, backbone, decoder = answered(page)
        here["first"].append(backbone + decoder)
        result = segmenter(photo)
        there["first"].append(result.milliseconds["encode"] + result.milliseconds["decode"])
        equal = min(equal, np.mean(labels == exact.decode(features, rate, size=labels.shape[::-1]).labels))
        if rate is not None:
            rate = 8 + turn  # the page keeps it for the next photo
            page.evaluate(MOVE, rate)
            labels, _, decoder = answered(page)
            here["moved"].append(decoder)
            there["moved"].append(segmenter.decode(segmenter.encode(photo), rate).milliseconds["decode"])
            equal = min(equal, np.mean(labels == exact.decode(features, rate, size=labels.shape[::-1]).labels))
    cells = [f"`{name}`", f"{length / 1e6:.1f} MB", f"{equal:.2%}"]
    for what in ("first", "moved"):
        if here[what]:
            mine, server = statistics.median(here[what]), statistics.median(there[what])
            cells.append(f"{mine:.0f} ms, server {server:.0f} ms: {mine / server:.1f} times")
        else:
            cells.append("")
    return f"| {' | '.join(cells)} |"


def crowd(app: RunningApp, address: str) -> str:
    """Return a sentence on visitors who fetch a page at once."""
    lengths: list[int] = []

    def visit() -> None:
        with httpx.stream("GET", address, timeout=600) as answer:
            lengths.append(sum(len(part) for part in answer.iter_raw()))

    before, began = app.processor_seconds(), time.perf_counter()
    threads = [threading.Thread(target=visit) for _ in range(VISITORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, cost = time.perf_counter() - began, app.processor_seconds() - before
    assert len(set(lengths)) == 1
    assert len(lengths) == VISITORS
    return (
        f"{VISITORS} visitors at once, {sum(lengths) / 1e9:.1f} GB in all: {took:.1f} s, of them {cost:.1f} s of the demo's "
        f"processor time, {1000 * cost / VISITORS:.0f} ms a visitor."
    )


def main() -> None:
    """Print the table and the sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=MODELS, metavar="NAME")
    names = parser.parse_args().model
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with RunningApp() as app, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        print(f"{torch.get_num_threads()} threads on the server", flush=True)
        print("| network | over the wire | pixels as the server's | first mask | rate moved |\n|---|---|---|---|---|")
        for name in names:
            print(measure(page, f"{app.url}/in-browser/{name}.html", name), flush=True)
        browser.close()
        print(crowd(app, f"{app.url}/in-browser/{names[0]}.html"))


if __name__ == "__main__":
    main()
