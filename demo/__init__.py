"""The page: a Gradio app over ``segmodels``."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from gradio.routes import App
from starlette.middleware import Middleware

from segmodels.checkpoints.paths import PAGE

from .anatomy.tab import anatomy_tab
from .components import examples
from .components.model_picker.following import follow_segment
from .components.url_state import follow, link_bar
from .components.viewer import drop_zone
from .lab import lab_tab
from .lessons import Ways, lessons_tab
from .segment.tab import segment_tab
from .server import cache, uploads
from .server.checked_blocks import CheckedBlocks, Mailboxes, Sessions
from .server.gradio_check import check_page
from .server.route_filter import MAX_UPLOAD, RouteFilter

SCRIPTS = (
    PAGE / "drawing.js",
    "computed/computed.js",
    "computed/running.js",
    "figures/save_png.js",
    "viewer/questions.js",
    "viewer/zoom.js",
    "brush/brush.js",
    "viewer/photo_input.js",
    "viewer/camera.js",
    "url_state/url_state.js",
    "language/language.js",
    "../lessons/projector.js",
    "gradio_fixes.js",
)
"""The scripts of the page's head, in ``components``, in the order in which they need each other."""
PRINTED = """<style media="print">
footer, .toast-wrap { display: none !important; }
:root, body, .dark, gradio-app, .gradio-container, main { background: #fff !important; min-height: 0 !important; padding-block: 0 !important; }
</style>"""
"""What is printed of what lies around the page, where gradio lets no style of the page reach. The rest is in ``style.css``."""

STYLES = (
    "style.css",
    "study.css",
    "components/viewer/zoom.css",
    "components/computed/computed.css",
    "components/brush/brush.css",
)
TITLE = "FCN, U-Net, DeepLab: see what they see"
ABOUT = "Three families of networks say what every pixel of a photo shows. Change a setting and see what follows."
ROOT = Path(__file__).resolve().parent.parent
LONGEST_QUEUE = 64
"""Events that may wait at once; whoever comes then is told that the queue is full."""
SESSIONS = 128
"""Visitors whom gradio remembers, and for twice as many the answers they have not fetched; the oldest go first."""


def build() -> gr.Blocks:
    """All tabs, ready to launch. Loads no weights and runs no network.

    Raises:
        RuntimeError: with a gradio that the page is not made for.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")  # else gradio sums up all events after each
    kept = (uploads.SWEEP_SECONDS, uploads.KEPT_SECONDS)
    with CheckedBlocks(title=TITLE, fill_width=True, analytics_enabled=False, delete_cache=kept) as page:
        gr.Markdown(f"# FCN, U-Net and DeepLab, side by side\n{ABOUT}", elem_id="introduction")
        bar = link_bar()
        drop = drop_zone()
        ways = Ways()
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            with gr.Tab("Segment", id="segment"):
                photo, settings, load = segment_tab(drop)
                page.segment_settings = settings[1:4]
            with gr.Tab("Lab", id="lab", elem_id="lab"):
                sections = lab_tab(photo, network=settings[1])
                ways.to_lessons("lab")
            with gr.Tab("Lessons", id="lessons", elem_id="lessons"):
                walk = lessons_tab(photo, ways)
            with gr.Tab("Anatomy", id="anatomy"):
                model = anatomy_tab()
                ways.to_lessons("anatomy")
        ways.connect(tabs, walk, sections, model)
        follow_segment(page, *settings[1:4])
        follow(page, bar, photo, settings, tabs, {"lab": sections, "lessons": walk}, load)
    page.api_open, page._queue.max_size = False, LONGEST_QUEUE  # as by queue(), which would make one more server
    check_page(page)
    page._queue.pending_messages_per_session = Mailboxes(2 * SESSIONS, page._queue)
    return page


def launch_options() -> dict[str, Any]:
    """How the page is served, for ``Blocks.launch``."""
    return {
        "theme": _theme(),
        "css": "".join(map(_text, STYLES)),
        "head": f'<link rel="icon" href="data:image/svg+xml,{quote(_text("icon.svg"))}"><style>{examples.style()}</style>'
        + "".join(f"<script>{_text(Path('components') / name)}</script>" for name in SCRIPTS)
        + PRINTED,
        "max_file_size": MAX_UPLOAD,
        "state_session_capacity": SESSIONS,
        "allowed_paths": [],
        "blocked_paths": [str(ROOT)],
        "app_kwargs": {"middleware": [Middleware(RouteFilter)], "lifespan": _housekept},
        "enable_monitoring": False,
        "ssr_mode": False,  # its front and its workers would hand out files past the route filter
        "num_workers": 0,
        "run_history": False,
        "footer_links": ["api"],
    }


def _text(file: str | Path) -> str:
    return (Path(__file__).parent / file).read_text(encoding="utf-8")


@asynccontextmanager
async def _housekept(app: App) -> AsyncIterator[None]:
    """While the app runs, sessions are lean, and files and memory that nobody needs any more go."""
    app.state_holder = Sessions()
    app.state_holder.set_blocks(app.get_blocks())
    async with uploads.swept(app), cache.trimmed():
        yield


def _theme() -> gr.themes.Base:
    """Quiet: system fonts, one accent, labels that are words and no badges.

    Text stands out from its ground by 4.5 to 1 at least, in light and dark; so the accent is a dark teal under white
    words, and hints are no paler than ``neutral_600``.
    """
    theme = gr.themes.Soft(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    both = {
        "button_primary_background_fill": "*primary_700",
        "button_primary_background_fill_hover": "*primary_800",
        "checkbox_label_background_fill_selected": "*primary_700",
        "checkbox_background_color_selected": "*primary_900",
        "block_title_background_fill": "none",
        "block_title_text_color": "*body_text_color",
        "block_label_background_fill": "*background_fill_primary",
        "block_label_text_color": "*body_text_color",
    }
    return theme.set(
        **both,
        **{f"{name}_dark": value for name, value in both.items()},
        block_title_padding="0",
        button_secondary_background_fill_hover_dark="*primary_800",
        color_accent="*primary_700",
        slider_color="*primary_700",
        slider_color_dark="*primary_500",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        link_text_color="*primary_700",
        link_text_color_hover="*primary_800",
        link_text_color_visited="*primary_700",
        link_text_color_dark="*primary_300",
        link_text_color_hover_dark="*primary_200",
        link_text_color_visited_dark="*primary_300",
    )
