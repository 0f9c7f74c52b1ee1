// The address says what the page shows: it follows every setting, and Back and a reload bring it back. Settings that are
// moved replace the address; another photo, network or tab is a step that Back goes back.
window.address = (() => {
  const WAIT = 200;  // milliseconds in which several changes are one
  let parts = [], timer = 0, settled = false, going = Date.now();  // of the last load or step back: what follows from it is no step

  // `spec` has a part for each of `values`: {name, start, views, moved}. One that belongs to some views alone is left out
  // in others, and where it stands at its start. `starts` has the start for each network.
  function begin(spec, values) {
    parts = spec;
    write(0, values);
  }

  // New values of the parts from `first` on. Before the page has begun there are none.
  function write(first, values) {
    if (!parts.length) return;
    values.forEach((value, place) => { parts[first + place].value = value; });
    clearTimeout(timer);
    timer = setTimeout(settle, WAIT);
  }

  function query() {
    const known = Object.fromEntries(parts.map(part => [part.name, part.value]));
    const view = known[known.tab] ? `${known.tab}/${known[known.tab]}` : known.tab;
    const pairs = parts.filter(part => !part.inner && part.value !== null && part.value !== '' && part.value !== 'own')
      .filter(part => !part.views || part.views.includes(view) && String(part.value) !== String(part.start))
      .filter(part => !part.models || part.models.includes(known.model))
      .filter(part => !part.starts || known.model in part.starts && String(part.value) !== part.starts[known.model])
      .map(part => [part.name, typeof part.value === 'boolean' ? Number(part.value) : part.value]);
    if (known[known.tab]) pairs.push(['section', known[known.tab]]);
    const own = new Set([...parts.map(part => part.name), 'section']);
    const foreign = [...new URLSearchParams(location.search)].filter(([name]) => !own.has(name));
    return `?${new URLSearchParams([...pairs, ...foreign])}`;
  }

  function settle() {
    const bar = document.querySelector('#link'), photo = parts.find(part => part.name === 'photo').value;
    const next = query();
    const link = bar.querySelector('a');
    link.href = next;
    link.dataset.printed = link.href;
    /** @type {HTMLElement} */ (bar.querySelector('.own')).hidden = photo !== 'own';
    if (next === location.search) {
      settled = true;
      return;
    }
    const steps = query => parts.filter(part => !part.moved && !part.inner).map(part => query.get(part.name)).concat(query.get('section'));
    const same = `${steps(new URLSearchParams(next))}` === `${steps(new URLSearchParams(location.search))}`;
    const replace = same || !settled || Date.now() - going < 3000;
    history[replace ? 'replaceState' : 'pushState'](null, '', next);
    settled = true;
  }

  // What was changed just before is no longer where the page is going; when it has arrived, `settle` looks at all parts.
  addEventListener('popstate', () => {
    clearTimeout(timer);
    lastChoice.begin();
    going = Date.now();
    /** @type {HTMLElement | null} */ (document.querySelector('#go-to-address'))?.click();
  });
  function arrived() {
    write(0, []);
    document.dispatchEvent(new CustomEvent('arrived'));
  }

  // The button beside the link copies it.
  function bar(element) {
    const said = element.querySelector('[role=status]'), button = element.querySelector('button');
    const selected = () => {  // browsers give the clipboard to pages with https alone
      const field = Object.assign(document.createElement('textarea'), {value: element.querySelector('a').href, readOnly: true});
      element.append(field);
      field.select();
      const done = document.execCommand('copy');
      field.remove();
      button.focus();
      if (!done) throw new Error('copying is not allowed');
    };
    button.addEventListener('click', async () => {
      try {
        await (navigator.clipboard ? navigator.clipboard.writeText(element.querySelector('a').href) : selected());
        said.textContent = 'Copied.';
      } catch {
        said.textContent = 'The browser does not let this page copy: the link is in its address bar.';
      }
    });
  }
  return {begin, write, arrived, bar};
})();
