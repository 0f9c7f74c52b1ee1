// Projector mode of the lessons: no header, larger type, keys that go from lesson to lesson. `projector=1` is in the link.
window.projector = (() => {
  const root = document.documentElement, STEPS = {ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1};

  // The mode belongs to the Lessons tab alone, so that a link to another tab has its header.
  function show() {
    const query = new URLSearchParams(location.search);
    root.toggleAttribute('data-projector', query.get('projector') === '1' && query.get('tab') === 'lessons');
  }

  function set(on) {
    const query = new URLSearchParams(location.search);
    query.set('tab', 'lessons');
    if (on) query.set('projector', '1'); else query.delete('projector');
    history.replaceState(null, '', `?${query}`);
    show();
    window.address.write(0, []);  // the link to copy says it too
  }

  function go(step) {
    const tabs = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('#walk > .tab-wrapper [role=tab]')]);
    tabs[tabs.findIndex(tab => tab.getAttribute('aria-selected') === 'true') + step]?.click();
    window.scrollTo(0, 0);
  }

  addEventListener('keydown', event => {
    if (!root.hasAttribute('data-projector') || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const within = /** @type {HTMLElement} */ (event.target), paged = event.key.startsWith('Page');
    if (!paged && within.closest?.('input, textarea, [role=radiogroup], pre, .wide')) return;  // there, arrows have their own use
    if (event.key in STEPS) {
      event.preventDefault();
      go(STEPS[event.key]);
    } else if (event.key === 'Escape') set(false);
  });
  addEventListener('popstate', show);
  document.addEventListener('arrived', show);
  show();

  return {
    begin(element) {
      element.addEventListener('click', event => {
        const button = /** @type {HTMLElement} */ (event.target).closest('button');
        if (button?.dataset.step) go(Number(button.dataset.step));
        else if (button) set(button.matches('.start'));
      });
    },
  };
})();
