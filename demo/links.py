"""Links that bring a lecturer back: example photo, network, settings and tab, all in the address itself.

A plain query string, not gradio's ``DeepLinkButton``: that one keeps the page's state in a file on the server, which is
gone after a restart, and a link that can be read can also be written by hand.
"""

import filecmp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from segmodels import zoo
from segmodels.files import EXAMPLES
from segmodels.settings import check_settings

from .segment_tab import CREDITS, DEFAULT_MODEL, SLIDER, Upload, choices
from .server.settings import sentence, updates, whole

PHOTOS = {Path(name).stem: EXAMPLES / name for name in CREDITS}
"""The photos that a link can name."""
OWN = "own"
"""What stands for a photo that no link can name."""
OWN_PHOTO = "Your own photo cannot be in a link: whoever follows it sees an example, and can upload the photo again."


@dataclass(frozen=True)
class Linked:
    """What a link asks for, as far as it can be had; None where it says nothing."""

    photo: str | None = None
    model: str | None = None
    rate: int | None = None
    stride: int | None = None
    tab: str | None = None
    section: str | None = None
    ignored: tuple[str, ...] = ()
    """A sentence for each part of the link that cannot be had."""


def read(query: Mapping[str, str], places: Mapping[str, Sequence[str]]) -> Linked:
    """A link's query, checked part by part. Names that no link of this page has are nobody's business here.

    ``places`` are the page's tabs, each with the names of its sections, if it has any.
    """
    found: dict[str, Any] = {}
    ignored: list[str] = []

    def look(name: str, check: Any) -> None:
        if name in query:
            try:
                found[name] = check(query[name])
            except ValueError as error:
                ignored.append(str(error))

    look("photo", lambda value: _one_of("example photo", value, PHOTOS))
    look("model", _trained)
    card = zoo.card(found.get("model", DEFAULT_MODEL))

    def rate(value: str) -> int:
        number = whole("the atrous rate", _number(value), *SLIDER)
        check_settings(card, atrous_rate=number)
        return number

    def stride(value: str) -> int:
        return check_settings(card, output_stride=_number(value)).output_stride

    look("rate", rate)
    look("stride", stride)
    look("tab", lambda value: _one_of("tab", value, places))
    look("section", lambda value: _one_of("section of that tab", value, places.get(found.get("tab", ""), ())))
    return Linked(**found, ignored=tuple(ignored))


def _one_of(what: str, value: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    if value not in names:
        others = f", only {', '.join(names)}" if names else ""
        raise ValueError(f"there is no {what} called {value[:40]!r}{others}")
    return value


def _trained(name: str) -> str:
    card = zoo.card(name)
    if not card.trained:
        raise ValueError(f"{card.name} has no trained weights, so it cannot segment a photo")
    return card.name


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() and len(text) < 10 else text


def write(photo: str, model: str, rate: float, stride: int, tab: str, section: str | None = None) -> str:
    """The query that brings back the page as it is; ``photo`` is what ``named`` says of it."""
    parts: dict[str, Any] = {"photo": photo if photo in PHOTOS else None, "model": model}
    card = zoo.card(model)
    if card.atrous_rate is not None:
        parts["rate"] = rate
    if card.chooses_stride:
        parts["stride"] = stride
    parts |= {"tab": tab, "section": section}
    return "?" + urlencode({name: value for name, value in parts.items() if value is not None})


def named(upload: Upload) -> str:
    """The name of the example that an upload is, by its content; ``OWN`` for any other photo, nothing without one."""
    if upload is None:
        return ""
    try:
        return next((name for name, file in PHOTOS.items() if filecmp.cmp(upload["path"], file, shallow=False)), OWN)
    except OSError:
        return OWN


FREE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}

COPY = """
element.addEventListener('click', async event => {
  if (!event.target.closest('button')) return;
  const said = element.querySelector('[role=status]');
  try {
    await navigator.clipboard.writeText(element.querySelector('a').href);
    said.textContent = 'Copied.';
  } catch {
    said.textContent = 'The browser does not let this page copy: copy the link itself.';
  }
});
"""


def link_bar() -> tuple[gr.HTML, gr.HTML]:
    """The link to the page as it is, with a button that copies it, and a place for what a link asked for in vain."""
    bar = gr.HTML(_bar("cat", DEFAULT_MODEL, 6, 16), elem_id="link", js_on_load=COPY)
    return bar, gr.HTML(elem_id="link-note")


def _bar(photo: str, model: str, rate: float, stride: int, tab: str = "segment", section: str | None = None) -> str:
    try:
        query = write(photo, model, rate, stride, tab, section)
    except ValueError as error:
        return f'<p class="hint">{escape(sentence(error))}</p>'
    note = f'<span class="own">{OWN_PHOTO}</span>' if photo == OWN else ""
    return (
        f'<button type="button">Copy link</button> <a href="{escape(query)}">to this photo, network, settings and tab</a> '
        f'<span role="status">{note}</span>'
    )


def follow(
    page: gr.Blocks,
    bar: tuple[gr.HTML, gr.HTML],
    photo: gr.Image,
    settings: Sequence[Any],
    tabs: gr.Tabs,
    sections: Mapping[str, gr.Tabs],
    load: dict[str, Any],
) -> None:
    """Bring the page to where the link leads that it was opened with, then ``load``; keep the link in the bar up to date.

    ``settings`` are the Segment tab's source, network, atrous rate and output stride; ``sections`` the tabs inside of
    those tabs that have any.
    """
    link, note = bar
    places: dict[str, Sequence[str]] = dict.fromkeys(_names(tabs), ())
    places |= {name: list(_names(group)) for name, group in sections.items()}

    def restore(request: gr.Request) -> tuple[Any, ...]:
        linked = read(dict(request.query_params), places)
        # The photo as gradio keeps it, since the page may not be allowed to hand out the project's own files.
        shown = photo.move_resource_to_block_cache(PHOTOS[linked.photo]) if linked.photo else gr.skip()
        opened = [_opened(tabs, linked.tab)]
        opened += [_opened(group, linked.section if name == linked.tab else None) for name, group in sections.items()]
        return shown, *setting_updates(linked), *opened, sentences(linked)

    def refresh(name: str, model: str, rate: float, stride: int, tab: str, *inside: str) -> str:
        return _bar(name, model, rate, stride, tab, dict(zip(sections, inside, strict=True)).get(tab))

    load_link = page.load(restore, None, [photo, *settings, tabs, *sections.values(), note], **FREE)
    load_link.then(**load)
    name = gr.Textbox("cat", visible=False)  # kept, so that moving a slider neither sends nor compares the photo
    photo.change(named, [photo], [name], preprocess=False, trigger_mode="always_last", **FREE)
    state = [name, *settings[1:], *(_place(group) for group in (tabs, *sections.values()))]
    gr.on([part.change for part in state], refresh, state, [link], preprocess=False, trigger_mode="always_last", **FREE)


def _names(tabs: gr.Tabs) -> dict[str, gr.Tab]:
    """The tabs by the names that links have for them."""
    return {str(tab.id): tab for tab in tabs.children if isinstance(tab, gr.Tab)}


def _opened(tabs: gr.Tabs, name: str | None) -> Any:
    return gr.skip() if name is None else gr.Tabs(selected=_names(tabs)[name].id)


def _place(tabs: gr.Tabs) -> gr.Textbox:
    """The name of the tab that is open, kept in the browser."""
    names = _names(tabs)
    place = gr.Textbox(next(iter(names)), visible=False)
    for name, tab in names.items():
        tab.select(None, None, [place], js=f"() => '{name}'", api_visibility="private")
    return place


def setting_updates(linked: Linked) -> tuple[Any, Any, Any, Any]:
    """What a link changes about source, network, atrous rate and output stride."""
    if linked.model is None and linked.rate is None and linked.stride is None:
        return (gr.skip(),) * 4
    card = zoo.card(linked.model or DEFAULT_MODEL)
    source = card.source or "bundled"
    network = gr.update(value=source), gr.update(value=card.name, choices=choices(source))
    rate, stride = updates(card)
    if linked.rate is not None:
        rate["value"] = linked.rate
    if linked.stride is not None:
        stride["value"] = linked.stride
    return *network, rate, stride


def sentences(linked: Linked) -> str:
    """What the page says of a link that asks for what cannot be had; nothing if it does not."""
    if not linked.ignored:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in linked.ignored)
    return f'<div role="alert">Not all of the link could be followed:<ul>{items}</ul></div>'
