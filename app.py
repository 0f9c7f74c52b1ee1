"""The Space's entry point: ``python app.py`` opens the demo."""

import signal
from contextlib import suppress

from demo import build, launch_options
from demo.server import uploads
from segmodels.speed import heap

heap.bound()
uploads.use_own_folder()
demo = build()

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as cleanly as with Ctrl-C
    with suppress(KeyboardInterrupt):  # while it starts; after that, gradio closes the server
        demo.launch(**launch_options())
