"""The page in another language, in a real browser."""

import pytest
from playwright.sync_api import Browser, expect

from demo.components.language import LANGUAGES
from tools.repository.messages import PARTS, Walk, missing

from ..conftest import NEEDS_CHROMIUM
from ..helpers import load, unharmed, watched

pytestmark = NEEDS_CHROMIUM
SHOWN = "() => ['.tab-wrapper', '#pictures', '#model', '#variant', '#table', '#downloads'].map(one => document.querySelector(one).innerText).join()"
"""What is on the page, but for how long it took."""


@pytest.mark.slow  # a walk through everything
@pytest.mark.parametrize("part", PARTS)
def test_every_text_is_in_every_catalogue(browser: Browser, url: str, part: str) -> None:
    """Else run ``python -m tools.repository.messages`` and translate what it adds."""
    walk = Walk(browser, url)
    PARTS[part](walk)
    assert missing(walk.keys()) == {language: [] for language in LANGUAGES}
    walk.page.close()


def test_a_choice_is_kept_in_the_link_and_english_comes_back(browser: Browser, url: str) -> None:
    with watched(browser) as (page, errors), unharmed(errors):
        load(page, f"{url}?photo=cat")
        assert page.evaluate("document.documentElement.lang") == "en"
        english = page.evaluate(SHOWN)
        page.get_by_label("Language").select_option("de")
        expect(page.locator("html")).to_have_attribute("lang", "de")
        expect(page.locator(".segmented figcaption")).to_have_text("Segmentierte Ausgabe")
        expect(page.locator("#pictures .legend")).to_contain_text("Katze")
        page.wait_for_function("document.querySelector('#link a').search.includes('lang=de')")
        assert "model=deeplabv3plus_mobilenetv2" in page.url
        page.locator("#variant label").nth(1).click()
        expect(page.locator("#changed")).to_contain_text("%")
        page.get_by_label("Sprache").select_option("en")
        expect(page.locator(".segmented figcaption")).to_have_text("Segmented output")
        page.locator("#variant label").first.click()
        expect(page.locator("#pictures .legend")).to_contain_text("cat")
        page.wait_for_function(f"text => ({SHOWN})() === text", arg=english)


@pytest.mark.parametrize(("locale", "language", "fetched"), [("de-AT", "de", 1), ("en-GB", "en", 0), ("sv", "en", 0)])
def test_a_browser_gets_its_own_language_and_an_english_one_fetches_nothing(
    browser: Browser, url: str, locale: str, language: str, fetched: int
) -> None:
    with watched(browser, locale=locale) as (page, errors), unharmed(errors):
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        load(page, f"{url}?photo=cat")
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.locator("#link select")).to_have_value(language)
        assert len([address for address in asked if "/language/" in address]) == fetched
