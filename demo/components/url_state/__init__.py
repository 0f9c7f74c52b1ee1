"""The address is the page's state: example photo, network, settings, tab, and the settings of what is open in it.

A plain query string, not gradio's ``DeepLinkButton``: that one keeps the page's state in a file on the server, which is
gone after a restart, and a link that can be read can also be written by hand.
"""

import filecmp
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
from gradio.processing_utils import hash_file

from segmodels.inference.settings import RATE_RANGE, check_integer, check_settings
from segmodels.models import registry
from segmodels.models.registry import DEFAULT_MODEL

from ...server.settings import control_updates, variant_names, variant_update
from ...server.uploads import Upload
from ..examples import FIRST, PHOTOS
from ..model_picker.choices import choices
from ..model_picker.following import FOLLOWERS
from ..templates import render

OWN = "own"
"""What stands for a photo that no link can name."""
SWITCH = ("0", "1")
"""How a link says off and on."""
NONE: Mapping[str, gr.Component] = {}


@dataclass(frozen=True)
class UrlState:
    """What a link asks for, as far as it can be had; None where it says nothing."""

    photo: str | None = None
    model: str | None = None
    rate: int | None = None
    stride: int | None = None
    tab: str | None = None
    section: str | None = None
    own: Mapping[str, Any] = field(default_factory=dict)
    """The settings of the Lab's sections and of lessons, by their names in links."""
    ignored: tuple[str, ...] = ()
    """A sentence for each part of the link that cannot be had."""
    part: str | None = None
    """The variant of the decoder."""
    crf: bool | None = None


def read(
    query: Mapping[str, str], places: Mapping[str, Sequence[str]], own: Mapping[str, gr.Component] = NONE
) -> UrlState:
    """A link's query, checked part by part. Names that no link of this page has are nobody's business here.

    ``places`` are the page's tabs, each with the names of its sections, if it has any; ``own`` are the settings of these.
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
    card = registry.card(found.get("model", DEFAULT_MODEL))

    def rate(value: str) -> int:
        number = check_integer("the atrous rate", _number(value), *RATE_RANGE)
        check_settings(card, atrous_rate=number)
        return number

    def stride(value: str) -> int:
        return check_settings(card, output_stride=_number(value)).output_stride

    look("rate", rate)
    look("stride", stride)
    look("part", lambda value: _one_of(f"variant of {card.name}", value, variant_names(card)))
    look("crf", lambda value: _one_of("CRF", value, SWITCH) == "1")
    look("tab", lambda value: _one_of("tab", value, places))
    look("section", lambda value: _one_of("section of that tab", value, places.get(found.get("tab", ""), ())))
    linked = UrlState(**found, ignored=tuple(ignored))
    for name, component in own.items():
        look(name, partial(own_value, component))
    mine = {name: value for name, value in found.items() if name in own}
    return replace(linked, own=mine, ignored=tuple(ignored))


def _one_of(what: str, value: str, names: Sequence[str] | Mapping[str, Any]) -> str:
    if value not in names:
        others = f", only {', '.join(names)}" if names else ""
        raise ValueError(f"there is no {what} called {value[:40]!r}{others}")
    return value


def _trained(name: str) -> str:
    card = registry.card(name)
    if not card.trained:
        raise ValueError(f"{card.name} has no trained weights, so it cannot segment a photo")
    return card.name


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() and len(text) < 10 else text


def named(upload: Upload) -> str:
    """The name of the example that an upload is, by its content; ``OWN`` for any other photo, nothing without one."""
    if upload is None:
        return ""
    try:
        return next((name for name, file in PHOTOS.items() if filecmp.cmp(upload["path"], file, shallow=False)), OWN)
    except OSError:
        return OWN


def _naming() -> str:
    """``named`` for the browser: gradio keeps each file in a folder that is called after its content."""
    names = {hash_file(file): name for name, file in PHOTOS.items()}
    return f"photo => photo ? {json.dumps(names)}[photo.path.split(/[\\\\/]/).at(-2)] ?? '{OWN}' : ''"


def link_bar() -> tuple[gr.HTML, gr.HTML]:
    """The link to the page as it is, with a button that copies it, and a place for what a link asked for in vain."""
    bar = gr.HTML(
        render("components/url_state/bar.html"),
        elem_id="link",
        js_on_load="address.bar(element); language.begin(element)",
    )
    return bar, gr.HTML(elem_id="link-note")


Own = dict[str, tuple[str, gr.Component]]
"""The settings of single views, by their names in links: the view, ``lab/grid`` for example, and the component."""


def follow(
    page: gr.Blocks,
    bar: tuple[gr.HTML, gr.HTML],
    photo: gr.Image,
    settings: Sequence[Any],
    tabs: gr.Tabs,
    sections: Mapping[str, gr.Tabs],
    load: dict[str, Any],
) -> None:
    """Bring the page to where its address leads, then ``load``; keep the address what the page shows.

    ``settings`` are the Segment tab's source, network, atrous rate, output stride, variant of the decoder and CRF;
    ``sections`` the tabs inside of those tabs that have any.
    """
    _, note = bar
    places: dict[str, Sequence[str]] = dict.fromkeys(_names(tabs), ())
    places |= {name: list(_names(group)) for name, group in sections.items()}
    own = view_controls(tabs, sections)

    def restore(query: Mapping[str, str]) -> tuple[Any, ...]:
        linked = read(query, places, {name: component for name, (_, component) in own.items()})
        # The photo as gradio keeps it, since the page may not be allowed to hand out the project's own files.
        shown = photo.move_resource_to_block_cache(PHOTOS[linked.photo]) if linked.photo else gr.skip()
        opened = [_opened(tabs, linked.tab)]
        opened += [_opened(group, linked.section if name == linked.tab else None) for name, group in sections.items()]
        named_so = linked.photo or gr.skip()
        return shown, named_so, *setting_updates(linked), *opened, *_own_updates(own, linked), sentences(linked)

    # The example's name is kept, so that moving a slider neither sends nor compares the photo.
    name = gr.Textbox(Path(FIRST).stem, visible=False)
    targets = [photo, name, *settings, tabs, *sections.values(), *(component for _, component in own.values()), note]
    # Whatever shows an event's progress is looked up again at every step of any later event, with all that is inside.
    quiet: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": [note], "api_visibility": "private"}

    def from_request(request: gr.Request) -> tuple[Any, ...]:
        return restore(dict(request.query_params))

    def from_address(query: Any) -> tuple[Any, ...]:
        return restore(dict(parse_qsl(str(query)[:5000].removeprefix("?"))))

    loaded = page.load(from_request, None, targets, **quiet)
    loaded.then(**load)
    back = gr.Button("Go to the address", visible="hidden", elem_id="go-to-address")
    query = gr.Textbox(visible=False)
    here = "() => location.search"
    arrived = back.click(from_address, [query], targets, js=here, trigger_mode="always_last", **quiet)
    arrived.then(None, js="() => address.arrived()", api_visibility="private")
    arrived.then(**load)
    photo.change(None, [photo], [name], js=_naming(), api_visibility="private")
    _keep_address(loaded, name, settings[1:], tabs, sections, own)


def _own_updates(own: Own, linked: UrlState) -> list[Any]:
    """What a link changes about the settings of single views: all of the one that it opens, the network of the others."""
    view = "/".join(filter(None, [linked.tab, linked.section]))
    return [
        gr.update(value=linked.own.get(name, _start(component)))
        if belongs == view
        else _followed(name, component, linked)
        for name, (belongs, component) in own.items()
    ]


def _followed(name: str, component: Any, linked: UrlState) -> Any:
    """A network of another view is the one that the link names, where there is that choice."""
    prefix, _, kind = name.rpartition("-")
    offered = kind == "model" and prefix in FOLLOWERS and linked.model in [value for _, value in component.choices]
    return gr.update(value=linked.model) if offered else gr.skip()


Part = tuple[dict[str, Any], Any]
"""A part of the address: what ``url_state.js`` has to know of it, and the component that holds its value."""


def _keep_address(
    loaded: gr.events.Dependency,
    photo: gr.Textbox,
    settings: Sequence[Any],
    tabs: gr.Tabs,
    sections: Mapping[str, gr.Tabs],
    own: Own,
) -> None:
    """Let the browser write the address whenever something changes; the server is not asked."""
    atrous = [card.name for card in registry.CARDS.values() if card.atrous_rate is not None]
    strided = [card.name for card in registry.CARDS.values() if card.chooses_stride]
    whole = {card.name: variant_names(card)[0] for card in registry.CARDS.values()}
    page: list[Part] = [
        ({"name": "photo"}, photo),
        ({"name": "model"}, settings[0]),
        ({"name": "rate", "models": atrous, "moved": True}, settings[1]),
        ({"name": "stride", "models": strided, "moved": True}, settings[2]),
        ({"name": "part", "starts": whole, "moved": True}, settings[3]),
        ({"name": "crf", "starts": dict.fromkeys(registry.CARDS, "true"), "moved": True}, settings[4]),
    ]
    places: list[Part] = [({"name": "tab"}, _place(tabs))]
    places += [({"name": name, "inner": True}, _place(group)) for name, group in sections.items()]
    views: list[Part] = [
        ({"name": name, "views": [view], "start": _start(component), "moved": True}, component)
        for name, (view, component) in own.items()
    ]
    groups = [page, places, *(list(of_one) for _, of_one in groupby(views, lambda part: part[0]["views"]))]
    parts = [part for group in groups for part in group]
    spec = json.dumps([part for part, _ in parts])
    begin = f"(...values) => {{ address.begin({spec}, values); }}"
    loaded.then(None, [component for _, component in parts], js=begin, api_visibility="private")
    first = 0
    for group in groups:  # a move of a slider hands over what belongs to it, since the browser looks for each value
        components = [component for _, component in group]
        write = f"(...values) => {{ address.write({first}, values); }}"
        gr.on([one.change for one in components], None, components, js=write, api_visibility="private")
        first += len(group)


def view_controls(tabs: gr.Tabs, sections: Mapping[str, gr.Tabs]) -> Own:
    """All sliders, radios and lists of the Lab, the lessons and Anatomy: what is in such a tab is part of its links."""
    views: dict[str, gr.Tab] = {}
    for name, tab in _names(tabs).items():
        if name in sections:
            views |= {f"{name}/{section}": inner for section, inner in _names(sections[name]).items()}
        elif name != "segment":
            views[name] = tab
    own: Own = {}
    for view, tab in views.items():
        for component in _controls(tab):
            name = component.elem_id or f"{view.rpartition('/')[2]}-{_slug(str(component.label))}"
            own[name if name not in own else f"{name}-{len(own)}"] = view, component
    return own


def _controls(block: Any) -> Iterator[gr.Slider | gr.Radio | gr.Dropdown]:
    for child in block.children:
        if isinstance(child, gr.Slider | gr.Radio | gr.Dropdown):
            yield child
        elif hasattr(child, "children"):
            yield from _controls(child)


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def _start(component: Any) -> Any:
    return component.value


def own_value(component: Any, text: str) -> Any:
    """The value of a control that a link gives as text.

    Raises:
        ValueError: if the control cannot have it.
    """
    if isinstance(component, gr.Slider):
        try:
            number = float(text[:20])
        except ValueError:
            number = math.nan
        if not component.minimum <= number <= component.maximum:
            raise ValueError(
                f"{component.label} goes from {component.minimum} to {component.maximum}, not {text[:40]!r}"
            )
        return int(number) if number == int(number) else number
    for _, value in component.choices:
        if str(value) == text:
            return value
    raise ValueError(f"{component.label} has no choice {text[:40]!r}")


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


def setting_updates(linked: UrlState) -> tuple[Any, Any, Any, Any, Any, Any]:
    """What a link changes about source, network, atrous rate, output stride, variant of the decoder and CRF."""
    crf = gr.skip() if linked.crf is None else gr.update(value=linked.crf)
    if linked.model is None and linked.rate is None and linked.stride is None and linked.part is None:
        return *(gr.skip(),) * 5, crf
    card = registry.card(linked.model or DEFAULT_MODEL)
    source = "published" if card.source == "published" else "bundled"  # one's own stand with the bundled ones
    network = gr.update(value=source), gr.update(value=card.name, choices=choices(source))
    rate, stride = control_updates(card)
    if linked.rate is not None:
        rate["value"] = linked.rate
    if linked.stride is not None:
        stride["value"] = linked.stride
    return *network, rate, stride, variant_update(card, linked.part), crf


def sentences(linked: UrlState) -> str:
    """What the page says of a link that asks for what cannot be had; nothing if it does not."""
    return render("components/url_state/ignored.html", ignored=linked.ignored) if linked.ignored else ""
