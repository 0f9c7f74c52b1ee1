#!/bin/sh
# torch.set_num_threads(1), as servers call it at the start so that requests do not fight for the cores.
# One would guess: it holds for the whole process, since torch.get_num_threads() says 1 in every thread. True: OpenMP keeps
# that number for each thread, and a Python thread that starts later (a worker of Gradio, FastAPI or a thread pool) has
# OMP_NUM_THREADS, or all cores, again: a convolution there starts a second thread and takes the time of both, though
# get_num_threads() in the same thread says 1. A server with a worker a core computes with more threads than cores.
# Setting it again inside the worker, or OMP_NUM_THREADS=1 before the start, holds. Exit status 1 if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.4.6
OMP_NUM_THREADS=2 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import threading
import time

import torch


def extra_share():
    """The processor time of other threads while this one convolves, as a share of its own; and torch's number of threads."""
    with torch.inference_mode():
        convolution, pixels = torch.nn.Conv2d(32, 32, 3), torch.rand(1, 32, 256, 256)
        everything, own = time.process_time(), time.thread_time()
        for _ in range(10):
            convolution(pixels)
        everything, own = time.process_time() - everything, time.thread_time() - own
    return everything / own - 1, torch.get_num_threads()


def in_new_thread(said_again):
    def work():
        if said_again:
            torch.set_num_threads(1)
        found.append(extra_share())

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


torch.set_num_threads(1)
print("torch", torch.__version__)
found = {"main thread": extra_share(), "later thread": in_new_thread(False), "said again there": in_new_thread(True)}
for name, (share, number) in found.items():
    print(f"{name}: get_num_threads() {number}, other threads' time {share:.0%} of its own")
later = found.pop("later thread")
sys.exit(not (later[1] == 1 and later[0] > 0.3 and all(share < 0.1 for share, _ in found.values())))
PYTHON
