"""The Space's entry point: ``python app.py`` opens the demo."""

from demo import build, launch_options

demo = build()

if __name__ == "__main__":
    demo.queue(max_size=64).launch(**launch_options())
