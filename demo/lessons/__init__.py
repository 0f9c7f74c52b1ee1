"""The lessons: a guided walk through the article, one file a lesson."""

import gradio as gr


def lessons_tab(photo: gr.Image) -> None:
    """Put all lessons into the tab that is being built. ``photo`` is the Segment tab's: there is one photo on the page."""
