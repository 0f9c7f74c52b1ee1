// What gradio's own controls lack. The page works without it, less well for fingers and the keyboard.
(() => {
  // A finger that lands on a slider may only want to scroll. Nothing is heard of the slider until the finger has gone
  // sideways or has been lifted; if the page scrolls instead, the slider goes back to where it was.
  const DECIDED = 8; // pixels to the side
  let held = null;
  const say = (slider, kind) => slider.dispatchEvent(new Event(kind, {bubbles: true}));
  document.addEventListener('pointerdown', event => {
    const slider = /** @type {HTMLInputElement} */ (event.target);
    if (event.pointerType !== 'touch' || !slider.matches?.('input[type=range]')) return;
    held = {slider, value: slider.value, x: event.clientX};
  }, true);
  document.addEventListener('pointermove', event => {
    if (!held || Math.abs(event.clientX - held.x) < DECIDED) return;
    const {slider} = held;
    held = null;
    say(slider, 'input');
  }, true);
  document.addEventListener('pointerup', () => {
    const {slider, value} = held ?? {};
    held = null;
    if (slider && slider.value !== value) say(slider, 'input');
  }, true);
  document.addEventListener('pointercancel', () => {
    if (held) {
      const {slider, value} = held;
      slider.value = value;
      setTimeout(() => { held = null; }); // a last event of the same finger may be on its way
    }
  }, true);
  for (const kind of ['input', 'change']) document.addEventListener(kind, event => {
    if (held?.slider === event.target) event.stopImmediatePropagation();
  }, true);

  // Beside a slider of whole numbers one can type others: they are rounded before gradio hears of them.
  document.addEventListener('input', event => {
    const target = /** @type {HTMLInputElement} */ (event.target), value = Number(target.value);
    if (target.matches?.('input[type=number][step="1"]') && value % 1) target.value = String(Math.round(value));
  }, true);

  // Radios of one group share a name, so that Tab reaches the group once and arrows move inside; groups and
  // the places for files are called what is written on them.
  let groups = 0;
  const words = element => element?.textContent.trim() ?? '';
  const mend = () => {
    for (const group of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('fieldset.block:not([data-mended])'))) {
      const title = words(group.querySelector('[data-testid=block-info]'));
      if (title) group.setAttribute('aria-label', title);
      group.dataset.mended = String(groups++);
    }
    for (const radio of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('fieldset.block input[type=radio]'))) {
      const name = `group-${radio.closest('fieldset').dataset.mended}`;
      if (radio.name !== name) radio.name = name;
    }
    // At the end of each event gradio lets an untranslated key, "common.complete", be read aloud.
    for (const said of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('.sr-only[aria-live]:not([data-mended])'))) {
      said.dataset.mended = '';
      new MutationObserver(() => { if (words(said).startsWith('common.')) said.firstChild.nodeValue = ''; })
        .observe(said, {characterData: true, childList: true, subtree: true});
    }
    // A browser that translates would leave the names of before on other choices.
    for (const names of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('fieldset.block .wrap, .block:has(input[role=listbox])')))
      if (names.translate) names.translate = false;
    for (const place of document.querySelectorAll('button.upload-container[aria-label]')) {
      if (words(place) && place.ariaLabel !== words(place)) place.ariaLabel = words(place);
    }
  };
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mend(); });
  };
  new MutationObserver(soon).observe(document.documentElement, {childList: true, subtree: true, attributes: true, attributeFilter: ['name']});
})();
