// The page in another language. All that is sent and written is English; here each text that is shown is looked up in a catalogue,
// a JSON file whose keys are the English texts. What has no translation stays English. While the page is English, nothing is
// watched and nothing is fetched.
//
// A key is the text of a block. Elements within it are numbered, `The <0>skip</0> of ...`; numbers, names and classes stand
// in it as `{0}`, `{name0}` and `{class0}`. A translation may put them in another order.
window.language = (() => {
  const NAMES = {en: 'English', de: 'Deutsch', es: 'Español', fr: 'Français', zh: '中文'};
  const ATTRIBUTES = ['alt', 'aria-label', 'placeholder', 'title'];
  const INLINE = /^(a|abbr|b|bdi|cite|code|dfn|em|i|kbd|mark|q|s|small|span|strong|sub|sup|tspan|u|var)$/i;
  // `translate="no"` means names; where it only keeps the browser's own translator from what changes, words are translated here.
  const NEVER = `script, style, textarea, select, pre, code, kbd, [role=listbox],
    [translate=no]:not(.legend, .legend li, .choices label, .under-pointer, .classes tr, fieldset .wrap, .block)`;
  // Prose, whose numbers belong to it; and other texts that are written once, in which `person` is no class that was found.
  const PROSE = '[data-testid=markdown], details, dl:not(.ran), .check, .question';
  const STILL = `${PROSE}, button, label, summary, th, legend, h1, h2, h3, a, [role=tab]`;
  // What stands before the name of a control or a lesson; its entry has `…` for that name.
  const BEFORE = /^(number input for|range slider for|Next:|Back:|\d+) (\S.*)$/;
  const KEPT = 'language', MOST = 5000;  // outputs that are remembered
  const NUMBER = String.raw`(?<![\p{L}\d_.,]|[\p{L}\d]-)\d+(?:[.,]\d+)*(?:%|k|M|G|s|ms|px|x)?(?![\p{L}\d_])`;
  const TAG = String.raw`(?<tag><\/?\d+\/?>)`;
  const NAMED = String.raw`(?<![\p{L}\d_])(?:'[^']{1,41}'|[\w-]+\.(?:jpe?g|png|zip|csv|json|onnx|mp4)|\w+(?:_\w+)+|[a-z_]\w+(?:\.\w+)+)(?![\p{L}\d_])`;

  let current = 'en', catalogue = null, names = new Set(), one = /^$/u, still = /^$/u, moving = /^$/u;
  let waiting = false;
  const records = new WeakMap();  // of texts and attributes: {source, shown}
  const places = new WeakMap(), made = new WeakSet();  // where a node stood in English; text nodes that are not the page's
  const ours = new Map(), loaded = {}, blocks = new Set(), whole = new Set();

  const words = text => text.replace(/\s+/g, ' ').trim();
  const untagged = text => text.replace(/<\/?\d+\/?>/g, '');
  const isText = (/** @type {Node} */ node) => node.nodeType === Node.TEXT_NODE;
  const isElement = (/** @type {Node} */ node) => node.nodeType === Node.ELEMENT_NODE;
  const has = key => Object.hasOwn(catalogue, key);

  // What a script copied from the page may be a translation.
  const origin = text => (catalogue && has(words(text)) ? text : ours.get(words(text)) ?? text);
  const english = (/** @type {Text} */ node) => {
    const kept = records.get(node);
    return kept?.shown === node.data ? kept.source : origin(node.data);
  };

  function number(text, key) {
    const [, digits, unit] = /^([\d.,]+)(.*)$/.exec(text), [points, groups] = {de: ',.', es: ',.', fr: ',\u202f', zh: '.,'}[current];
    const plain = /\b(sections?|figures?|table|version)\b/i.test(key) || !/^\d{1,3}((,\d{3})+|\d*)(\.\d+)?$/.test(digits);
    const shown = plain ? digits : digits.replace(/[.,]/g, mark => (mark === '.' ? points : groups));
    return shown + (unit === '%' && current !== 'zh' ? '\u00a0%' : unit);
  }

  // Classes, with their shares where these are told: `cat 42%, person under 1%`.
  const list = (text, key) => text.replace(one, name => entry(name) || name)
    .replace(/(?<= |^)(?:and|to|under)(?= )/g, word => entry(word) || word)
    .replace(RegExp(NUMBER, 'gu'), digits => number(digits, key));

  function entry(key) {
    window.keysMet?.add(key);
    return has(key) ? catalogue[key] : '';
  }

  // A text's key and what stands in it in place of numbers, names and classes.
  function abstracted(text, pattern) {
    const values = {}, counts = {};
    const key = text.replace(pattern, (found, ...more) => {
      const {tag, classes, name} = more.at(-1), kind = classes ? 'class' : name ? 'name' : '';
      if (tag) return tag;
      counts[kind] = (counts[kind] ?? -1) + 1;
      values[`{${kind}${counts[kind]}}`] = found;
      return `{${kind}${counts[kind]}}`;
    });
    return {key, values};
  }

  // The translation of a text; nothing where there is none.
  function translated(text, /** @type {Element | null} */ place) {
    if (names.has(text) || !/\p{L}|\d/u.test(text)) return null;
    if (/% of the picture, /.test(text) && !text.includes('<')) return spoken(text);
    const [, change, settings, shares] = /^(.+ of the pixels changed from )([^:<]+)(?:: (.+))?\.$/.exec(text) ?? [];
    if (change && settings !== '…') return translated(`${change}….`, null)?.replace('…', [pieces(settings), shares && translated(shares, null)].filter(Boolean).join(': '));
    const [, before, named] = BEFORE.exec(text) ?? [];
    if (before && (/^\D/.test(before) || place?.closest('button, [role=tab]'))) {
      const whole = /^\d/.test(before) ? `${before} …` : entry(`${before} …`), inner = translated(named, place) ?? named;
      return whole ? whole.replace('…', inner) : null;
    }
    const prose = place?.closest(PROSE), isStill = place?.closest(STILL);
    let {key, values} = prose ? {key: text, values: {}} : abstracted(text, still);
    if (!isStill && !has(key)) ({key, values} = abstracted(text, moving));
    const nothing = !/\p{L}{2}/u.test(key.replace(/\{\w+\}|<[^>]+>/g, ''));
    const found = nothing ? key : entry(key);
    return found ? found.replace(/\{(class|name)?\d+\}/g, (place, kind) => {
      const value = values[place] ?? place;
      return kind === 'name' ? value : kind ? list(value, key) : number(value, key);
    }) : null;
  }

  const pieces = text => text.split(', ').map(part => translated(part, null) ?? part).join(', ');

  // What is read aloud of a result: sentences of pieces, each of which has its own entry.
  const spoken = text => text.split(/(?<=\.) /).map(sentence => {
    return / % of the picture/.test(sentence) ? `${pieces(sentence.replace(/\.$/, ''))}.` : translated(sentence, null) ?? sentence;
  }).join(' ');

  function remember(shown, source) {
    if (ours.size > MOST) ours.clear();
    if (words(shown) !== words(source)) ours.set(words(shown), source);
  }

  function set(/** @type {Text} */ node, text) {
    const source = made.has(node) ? '' : english(node);
    if (node.data !== text) node.data = text;
    records.set(node, {source, shown: text});
  }

  // Nodes of a run as they stand in English, without those that were added here.
  function inEnglish(nodes) {
    const own = nodes.filter(node => !made.has(node));
    return own.every(node => places.has(node)) ? own.sort((a, b) => places.get(a) - places.get(b)) : own;
  }

  function order(parent, nodes, end) {
    const follows = (node, at) => !at || nodes[at - 1].compareDocumentPosition(node) === Node.DOCUMENT_POSITION_FOLLOWING;
    if (nodes.every(follows) && nodes[0]?.parentNode === parent) return;
    for (const node of nodes.toReversed()) {
      if (node.nextSibling !== end || node.parentNode !== parent) parent.insertBefore(node, end);
      end = node;
    }
  }

  function read(nodes, tags) {
    return inEnglish(nodes).map(node => {
      if (isText(node)) return english(node);
      if (!isElement(node)) return '';
      const at = tags.push(node) - 1;
      return node.matches(NEVER) || !node.textContent.trim() ? `<${at}/>` : `<${at}>${read([...node.childNodes], tags)}</${at}>`;
    }).join('');
  }

  function parsed(tokens) {
    const parts = [];
    while (tokens.length) {
      const token = tokens.shift(), [, end, tag, empty] = /^<(\/?)(\d+)(\/?)>$/.exec(token) ?? [];
      if (end) break;
      if (tag) parts.push({tag: Number(tag), parts: empty ? null : parsed(tokens)});
      else if (token) parts.push(token);
    }
    return parts;
  }

  function write(parent, nodes, parts, tags) {
    const end = nodes.at(-1)?.nextSibling ?? null, own = inEnglish(nodes);
    const texts = [...own.filter(isText), ...nodes.filter(node => made.has(node))];
    own.forEach((node, at) => { places.set(node, at); });
    const put = parts.map(part => {
      if (typeof part !== 'string') {
        if (part.parts) write(tags[part.tag], [...tags[part.tag].childNodes], part.parts, tags);
        return tags[part.tag];
      }
      const node = texts.shift() ?? document.createTextNode('');
      if (!node.parentNode) made.add(node);
      set(node, part);
      return node;
    });
    for (const rest of texts) set(rest, '');
    order(parent, put, end);
  }

  function restore(parent, nodes) {
    const own = inEnglish(nodes), end = nodes.at(-1)?.nextSibling ?? null;
    for (const node of nodes) {
      if (isText(node)) set(node, made.has(node) ? '' : english(node));
      else if (isElement(node) && !node.matches(NEVER)) restore(node, [...node.childNodes]);
    }
    order(parent, own, end);
  }

  // Text and inline elements between blocks: a text with a key, or elements that each have their own.
  function run(parent, nodes) {
    const idle = node => node && !made.has(node) && (isText(node) ? !english(node).trim() : !node.textContent.trim());
    while (idle(nodes[0])) nodes.shift();
    while (idle(nodes.at(-1))) nodes.pop();
    if (!nodes.some(node => isText(node) && english(node).trim())) {
      for (const node of nodes) if (isElement(node) && !node.matches(NEVER)) runs(node);
      return;
    }
    const tags = [], raw = read(nodes, tags), found = catalogue && inLines(parent, raw);
    if (!found) return restore(parent, nodes);
    const shown = (/^\s/.test(raw) ? ' ' : '') + found.replaceAll(' × ', '\u00a0×\u00a0') + (/\s$/.test(raw) ? ' ' : '');
    write(parent, nodes, parsed(shown.split(/(<\/?\d+\/?>)/)), tags);
    remember(untagged(shown), untagged(raw));
  }

  // Where lines are kept as they are written, each has its own key.
  function inLines(parent, raw) {
    const lines = raw.trim().split('\n');
    if (lines.length < 2 || !getComputedStyle(parent).whiteSpace.startsWith('pre')) return translated(words(raw), parent);
    return lines.map(line => translated(words(line), parent) ?? line).join('\n');
  }

  const inline = element => INLINE.test(element.tagName) && [...element.children].every(inline);

  function runs(/** @type {Element} */ block) {
    let nodes = [];
    for (const node of [...block.childNodes, null]) {
      if (node && (isText(node) || isElement(node) && inline(node) || made.has(node))) nodes.push(node);
      else if (!node || isElement(node)) {
        if (nodes.length) run(block, nodes);
        nodes = [];
      }
    }
  }

  function attributes(/** @type {Element} */ element) {
    if (element.closest(NEVER) && !element.matches('select')) return;
    for (const name of ATTRIBUTES) {
      const value = element.getAttribute(name);
      if (!value) continue;
      const kept = records.get(element)?.[name], source = kept?.shown === value ? kept.source : origin(value);
      const shown = (catalogue && translated(words(source), null)) ?? source;
      records.set(element, {...records.get(element), [name]: {source, shown}});
      if (shown !== value) element.setAttribute(name, shown);
      remember(shown, source);
    }
  }

  // All of a subtree.
  function all(/** @type {Element} */ root) {
    if (root.closest(NEVER)) return;
    for (const element of [root, ...root.querySelectorAll(ATTRIBUTES.map(name => `[${name}]`).join())]) attributes(element);
    const walk = element => {
      if (element.matches(NEVER)) return;
      if (!inline(element) || element === root) runs(element);
      for (const child of element.children) if (!inline(child)) walk(child);
    };
    walk(root);
  }

  const block = (/** @type {Element | null} */ element) => {
    while (element?.parentElement && inline(element)) element = element.parentElement;
    return element;
  };

  const observer = new MutationObserver(note);
  function note(/** @type {MutationRecord[]} */ changes) {
    for (const {type, target, addedNodes} of changes) {
      if (type === 'attributes') blocks.add(target);
      else blocks.add(block(isElement(target) ? /** @type {Element} */ (target) : target.parentElement));
      for (const added of addedNodes) if (isElement(added)) whole.add(added);
    }
    if (waiting || !blocks.size) return;
    waiting = true;
    requestAnimationFrame(work);
  }

  function work() {
    waiting = false;
    note(observer.takeRecords());
    const [parts, trees] = [[...blocks], [...whole]].map(list => list.filter(element => element?.isConnected));
    blocks.clear();
    whole.clear();
    for (const tree of trees) if (!trees.some(other => other !== tree && other.contains(tree))) all(tree);
    for (const part of parts) {
      if (part.closest(NEVER)) continue;
      runs(part);
      attributes(part);
    }
    observer.takeRecords();  // what was written here
  }

  const escaped = list => list.map(text => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|');

  function learn({texts, classes, names: titles}) {
    catalogue = texts;
    names = new Set(titles);
    // "train" is a verb, too: a class only with its share.
    const share = String.raw` (?:under )?[\d.]+%`, kind = `(?<![\\p{L}\\d_-])(?:${escaped(classes)})(?<!train(?!${share}))(?![\\p{L}\\d_-])`;
    const item = `${kind}(?:${share}(?: to [\\d.]+%)?)?`;
    one = RegExp(kind, 'gu');
    still = RegExp(`${TAG}|(?<name>${NAMED})|${NUMBER}`, 'gu');
    moving = RegExp(`${TAG}|(?<classes>${item}(?:(?:, and |, | and )${item})*)|(?<name>(?<![\\p{L}\\d_-])(?:${escaped(titles)})(?![\\p{L}\\d_+-])|${NAMED})|${NUMBER}`, 'gu');
  }

  const address = () => new URLSearchParams(location.search);
  const known = code => (Object.hasOwn(NAMES, code ?? '') ? code : null);
  const kept = () => { try { return localStorage.getItem(KEPT); } catch { return null; } };
  const wanted = () => known(address().get('lang')) ?? known(kept())
    ?? (navigator.languages ?? []).map(code => known(code.split('-')[0])).find(Boolean) ?? 'en';

  async function use(code) {
    if (code === current) return;
    current = code;
    const found = code === 'en' ? null : loaded[code] ?? await fetch(`language/${code}.json`).then(answer => answer.json()).catch(() => null);
    if (code !== current) return;
    loaded[code] = found;
    document.documentElement.lang = found ? code : 'en';
    observer.disconnect();
    if (found) learn(found);
    else catalogue = null;
    all(document.documentElement);
    if (found) observer.observe(document.documentElement, {subtree: true, childList: true, characterData: true, attributeFilter: ATTRIBUTES});
  }

  addEventListener('popstate', () => { use(wanted()); });
  use(wanted());

  return {
    begin(/** @type {HTMLElement} */ element) {
      const select = element.querySelector('select');
      document.documentElement.lang = catalogue ? current : 'en';  // gradio has put the browser's
      select.replaceChildren(...Object.entries(NAMES).map(([code, name]) => Object.assign(new Option(name, code), {lang: code})));
      select.value = current;
      addEventListener('popstate', () => { select.value = wanted(); });
      select.addEventListener('change', () => {
        try { localStorage.setItem(KEPT, select.value); } catch {} // a browser may keep nothing
        const query = address();
        query.set('lang', select.value);
        history.replaceState(null, '', `?${query}`);
        window.address.write(0, []);  // the link to copy says it too
        use(select.value);
      });
    },
  };
})();
