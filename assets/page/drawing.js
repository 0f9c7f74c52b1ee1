// Draws results. The server sends a photo once and, for each answer, one label map with the numbers that belong to it;
// all pictures, the classes' colours and what the pointer tells are made here, so opacity and isolation cost it nothing.
//
// Nothing is read back from a canvas: a browser that guards against fingerprinting gives scripts other pixels than were drawn.
//
// A result:  {photo: {file, upload, size: [width, height], notes, own}, labels: 'data:image/png;...', summary, nothing,
//             classes: [{index, name, nothing, share, confidence, colours: {display, voc}}, ...], table, ran}, the largest
//             class first. `own`: whether the browser decodes the file as the server did. The result's `nothing` is what to say where no class was found; table and ran are HTML.
// In place of one: {problem: 'a sentence'}, or null without a photo.
window.drawing = (() => {
  const EDGE = 256;
  const LINE = 0xd8ffffff;  // white, not quite opaque; colours are 0xAABBGGRR, as a canvas has them in memory
  const LEAST = .0005;  // of a photo: a class with less would be listed with 0.0 %
  const SIDE = 960;  // the longer side of a label map, at most; as the server's DISPLAY_SIDE
  let kept = {}, under = {}, told = null, marked = (/** @type {boolean} */ _on) => {};  // the photo that was chosen here, the one that is drawn, and the last answer

  // The address of a file that the server keeps: below the page's own, whatever a proxy makes of the server's idea of that.
  const address = file => `${location.pathname.replace(/\/*$/, '/')}gradio_api/file=${file.split('/').map(encodeURIComponent).join('/')}`;

  // A photo that was chosen on this page is drawn from its own file, which the browser decodes while it goes to the server:
  // `path` is where it lies there, `bitmap` the promise of a bitmap, or of null if the browser cannot read it.
  // It is scaled once the question has gone out.
  const keep = (path, bitmap) => { kept = {path, ready: after().then(() => bitmap).then(bitmap => bitmap && small(bitmap))}; };
  const after = () => new Promise(resolve => setTimeout(resolve));

  // A bitmap as it lies under its label map, with its own size.
  function small(bitmap) {
    const size = [bitmap.width, bitmap.height], scale = Math.min(SIDE / Math.max(...size), 1);
    const [width, height] = size.map(side => Math.max(Math.round(side * scale), 1));
    return {...lit(bitmap, {width, height}), size};
  }

  // A photo, bright and dim, at the size of its label map; made once however often it is drawn.
  function photo({file, upload, size, own}, map) {
    if (under.file === file) return under.ready;
    const ready = openedHere(upload, own, size, map).then(own => own ?? fetched(file).then(bitmap => lit(bitmap, map)));
    ready.catch(() => { if (under.ready === ready) under = {}; });
    under = {file, ready};
    return ready;
  }

  // The same of the photo that was chosen here; null of another, and where the server may see another picture in the file.
  async function openedHere(path, same, size, map) {
    const own = path === kept.path && same ? await kept.ready : null;
    if (path === kept.path) kept = {};
    return `${own?.size}` === `${size}` && own.width === map.width && own.height === map.height ? own : null;
  }

  // The photo that the server shows, with the colours of its file.
  const fetched = async file => createImageBitmap(await (await fetch(address(file))).blob(), {colorSpaceConversion: 'none'});

  // A photo at a size, as it is and as it lies under what is nothing: half grey and dark. What is transparent is shown on white.
  function lit(source, {width, height}) {
    const [bright, dim] = [0, 1].map(() => new OffscreenCanvas(width, height)), pen = bright.getContext('2d'), dimmer = dim.getContext('2d');
    const wash = (context, colour) => { context.fillStyle = colour; context.fillRect(0, 0, width, height); };
    pen.imageSmoothingQuality = 'medium';
    wash(pen, 'white');
    pen.drawImage(source, 0, 0, width, height);
    source.close?.();
    dimmer.drawImage(bright, 0, 0);
    Object.assign(dimmer, {globalCompositeOperation: 'saturation', globalAlpha: .5});
    wash(dimmer, 'grey');
    Object.assign(dimmer, {globalCompositeOperation: 'multiply', globalAlpha: 1});
    wash(dimmer, '#7a7a7a');
    return {width, height, bright, dim};
  }

  // Whether a canvas gives back what was drawn, but for a little noise. What guards against fingerprinting may give anything.
  function readable() {
    const context = Object.assign(document.createElement('canvas'), {width: 16, height: 16}).getContext('2d', {willReadFrequently: true});
    const drawn = new Uint8ClampedArray(1024).map((_, at) => at % 4 === 3 ? 255 : at * 37);
    context.putImageData(new ImageData(drawn, 16, 16), 0, 0);
    const {data} = context.getImageData(0, 0, 16, 16);
    return data.reduce((sum, value, at) => sum + Math.abs(value - drawn[at]), 0) / drawn.length < 3;
  }

  // What a PNG's filter of some kind takes for a byte, from those beside and above it.
  function predicted(kind, left, up, corner) {
    if (kind < 3) return kind && (kind === 1 ? left : up);
    if (kind === 3) return left + up >> 1;
    const across = Math.abs(up - corner), down = Math.abs(left - corner), both = Math.abs(left + up - 2 * corner);
    return across <= down && across <= both ? left : down <= both ? up : corner;
  }

  // The classes in a label map's PNG: indexed, with the class in each colour's red; see `label_png`.
  async function decoded(url) {
    const file = Uint8Array.from(atob(url.slice(url.indexOf(',') + 1)), letter => letter.charCodeAt(0)), view = new DataView(file.buffer);
    const parts = {IHDR: [], PLTE: [], IDAT: []};
    for (let at = 8; at < file.length; at += 12 + view.getUint32(at))
      parts[String.fromCharCode(...file.subarray(at + 4, at + 8))]?.push(file.subarray(at + 8, at + 8 + view.getUint32(at)));
    const width = view.getUint32(16), height = view.getUint32(20), depth = file[24], [palette] = parts.PLTE, labels = new Uint8Array(width * height);
    const unpacked = new Blob(parts.IDAT).stream().pipeThrough(new DecompressionStream('deflate'));
    const rows = new Uint8Array(await new Response(unpacked).arrayBuffer()), step = 1 + Math.ceil(width * depth / 8);
    for (let row = 0; row < rows.length; row += step)
      for (let at = rows[row] ? row + 1 : row + step; at < row + step; at++) {
        const first = at === row + 1;
        rows[at] += predicted(rows[row], first ? 0 : rows[at - 1], row ? rows[at - step] : 0, row && !first ? rows[at - step - 1] : 0);
      }
    for (let at = 0, row = 1; at < labels.length; row += step)
      for (let bit = 0; bit < width * depth; bit += depth, at++)
        labels[at] = palette[3 * (rows[row + (bit >>> 3)] >>> 8 - depth - (bit & 7) & (1 << depth) - 1)];
    return {width, height, labels};
  }

  // A label map, given as a PNG or as it is: the class of every pixel, with `EDGE` added where a border runs along it.
  async function labelMap(given) {
    const {width, height, labels} = typeof given === 'string' ? await decoded(given) : given;
    const cells = Uint16Array.from(labels);
    for (let at = 0, y = 0; y < height; y++)
      for (let x = 0; x < width; x++, at++) {
        const label = labels[at], right = at + 1, below = at + width;
        if (x + 1 < width && label !== labels[right]) { cells[at] |= EDGE; cells[right] |= EDGE; }
        if (y + 1 < height && label !== labels[below]) { cells[at] |= EDGE; cells[below] |= EDGE; }
      }
    return {width, height, labels, cells};
  }

  const channels = colour => [1, 3, 5].map(place => parseInt(colour.slice(place, place + 2), 16));
  const packed = (red, green, blue, alpha = 255) => (alpha << 24 | blue << 16 | green << 8 | red) >>> 0;

  // The colour of each class of a result, by its index.
  function colours(classes) {
    const voc = document.documentElement.classList.contains('voc');
    const table = new Uint32Array(256);
    for (const one of classes) table[one.index] = packed(...channels(one.colours[voc ? 'voc' : 'display']));
    return table;
  }

  function put(canvas, map, picture) {
    if (canvas.width !== map.width || canvas.height !== map.height) {
      canvas.width = map.width;
      canvas.height = map.height;
    }
    const bytes = new Uint8ClampedArray(picture.buffer);
    canvas.getContext('2d').putImageData(new ImageData(bytes, map.width, map.height), 0, 0);
  }

  // The picture of a label map: what `table` has for every cell, along borders in its second half.
  function looked({cells}, table) {
    const picture = new Uint32Array(cells.length);
    for (let at = 0; at < picture.length; at++) picture[at] = table[cells[at]];
    return picture;
  }

  // The label map in colours; of a class that is isolated, the others are all but gone.
  function segmented(canvas, map, classes, only) {
    const table = new Uint32Array(2 * EDGE);
    table.set(colours(classes));
    for (let label = 0; label < EDGE; label++) {
      const isolated = only === null || label === only;
      if (!isolated) table[label] = table[label] & 0xffffff | 0x26000000;
      table[EDGE + label] = isolated ? LINE : table[label];
    }
    put(canvas, map, looked(map, table));
  }

  // A photo's canvas on another one, and on that what is laid over it: pictures, each of which `photo` may shine through.
  const aside = new OffscreenCanvas(1, 1);
  function laid(canvas, map, ground, ...layers) {
    if (canvas.width !== map.width) canvas.width = map.width;
    if (canvas.height !== map.height) canvas.height = map.height;
    const context = canvas.getContext('2d'), pen = aside.getContext('2d');
    context.drawImage(ground, 0, 0);
    for (const {picture, photo} of layers) {
      put(aside, map, picture);
      pen.globalCompositeOperation = 'source-in';
      if (photo) pen.drawImage(photo, 0, 0);
      pen.globalCompositeOperation = 'source-over';
      context.drawImage(aside, 0, 0);
    }
  }

  // The photo, dimmed where there is nothing, with its classes in their colours.
  function overlays(canvas, map, classes, only, under, opacity) {
    const colour = colours(classes), shine = new Uint32Array(2 * EDGE), table = new Uint32Array(2 * EDGE);
    for (const {index, nothing} of classes) {
      if (nothing || only !== null && index !== only) continue;
      shine[index] = 0xffffffff;
      table[index] = colour[index] & 0xffffff | Math.round(255 * opacity) << 24;
      table[EDGE + index] = 0xffffffff;
    }
    laid(canvas, map, under.dim, {picture: looked(map, shine), photo: under.bright}, {picture: looked(map, table)});
  }

  // The classes that have a colour, to lie over a photo; as marks they are opaque and have no outlines.
  function layer(canvas, map, classes, marks) {
    const table = new Uint32Array(2 * EDGE), colour = colours(classes);
    for (let label = 0; label < EDGE; label++) {
      table[label] = marks || !colour[label] ? colour[label] : colour[label] & 0xffffff | 0xa6000000;
      table[EDGE + label] = marks ? colour[label] : LINE;
    }
    put(canvas, map, looked(map, table));
  }

  const CHANGED = packed(255, 214, 0);  // no class of the page has this yellow

  // The photo, dimmed, with what differs between two label maps of one size marked.
  function changes(canvas, map, reference, under) {
    const picture = new Uint32Array(map.labels.length);
    for (let at = 0; at < picture.length; at++)
      if (map.labels[at] !== reference.labels[at]) picture[at] = CHANGED;
    laid(canvas, map, under.dim, {picture});
  }

  // What a move did, in words: how many pixels differ between two results of a photo, and the classes that changed most.
  function difference(now, before) {
    const {labels} = now.map, others = before.map.labels;
    let changed = 0;
    for (let at = 0; at < labels.length; at++) if (labels[at] !== others[at]) changed++;
    const share = (classes, name) => classes.find(one => one.name === name)?.share ?? 0;
    const names = new Set([...now.classes, ...before.classes].map(one => one.name));
    const moves = [...names].map(name => ({name, from: share(before.classes, name), to: share(now.classes, name)}))
      .filter(({from, to}) => percent(from) !== percent(to))
      .sort((one, other) => Math.abs(other.to - other.from) - Math.abs(one.to - one.from));
    const told = moves.slice(0, 3).map(({name, from, to}) => `${name} ${percent(from)} to ${percent(to)}`).join(', ');
    return `${percent(changed / labels.length)} of the pixels changed from ${before.setting.name}${told && `: ${told}`}.`;
  }

  const percent = share => `${(100 * share).toFixed(1)}%`;

  const NUMBERS = ['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight', 'Nine', 'Ten'];
  const ACROSS = ['left', 'centre', 'right'], DOWN = ['at the top', 'half way down', 'at the bottom'];
  const SPECK = 500;  // an area that is smaller than one part in so many of the picture is not counted

  // What a picture shows, to be read aloud: for each class, the largest first, how many areas, how much and where.
  function spoken({map: {width, height, labels}, classes}) {
    const step = Math.max(1, Math.ceil(Math.max(width, height) / 200)), wide = Math.ceil(width / step), high = Math.ceil(height / step);
    const left = Uint8Array.from({length: wide * high}, (_, at) => labels[Math.floor(at / wide) * step * width + at % wide * step]);
    const seen = new Uint8Array(left.length), areas = {}, columns = {}, rows = {};
    for (let start = 0; start < left.length; start++) {
      if (seen[start]) continue;
      const label = left[start], reached = [start];
      seen[start] = 1;
      for (let next = 0; next < reached.length; next++) {
        const at = reached[next], x = at % wide;
        const near = to => { if (left[to] === label && !seen[to]) { seen[to] = 1; reached.push(to); } };
        if (x) near(at - 1);
        if (x + 1 < wide) near(at + 1);
        if (at >= wide) near(at - wide);
        if (at + wide < left.length) near(at + wide);
      }
      if (reached.length >= left.length / SPECK) areas[label] = (areas[label] ?? 0) + 1;
      columns[label] ??= [0, 0, 0];
      rows[label] ??= [0, 0, 0];
      for (const at of reached) {
        columns[label][Math.floor(3 * (at % wide) / wide)]++;
        rows[label][Math.floor(3 * Math.floor(at / wide) / high)]++;
      }
    }
    // The thirds in which nine of ten pixels lie; of each third, it is given how many do.
    const thirds = ([first, second, third]) => [.05, .95].map(share => {
      const at = Math.floor(share * (first + second + third));
      return Number(at >= first) + Number(at >= first + second);
    });
    const sentences = classes.filter(one => !one.nothing && columns[one.index]).map(({index, name, share}) => {
      const [from, to] = thirds(columns[index]), [top, bottom] = thirds(rows[index]), count = areas[index] ?? 0;
      const number = count ? `${NUMBERS[count] ?? count} ${count === 1 ? 'area' : 'areas'}` : 'Specks';
      const across = from === to ? ACROSS[from] : to - from === 1 ? `${ACROSS[from]} to ${ACROSS[to]}` : 'from left to right';
      const down = top === bottom ? `, ${DOWN[top]}` : bottom - top === 1 ? `, in the ${top ? 'lower' : 'upper'} part` : '';
      return `${number} of ${name}, ${share < .005 ? 'less than 1' : Math.round(100 * share)} % of the picture, ${across}${down}.`;
    });
    return sentences.join(' ');
  }

  function entry(one, tag) {
    const item = document.createElement(tag);
    item.translate = false;  // a name is a name, and with a page that is translated its choice would be another
    const swatch = document.createElement('span');
    swatch.className = 'swatch';
    swatch.style.cssText = `--display: ${one.colours.display}; --voc: ${one.colours.voc}`;
    item.append(swatch, one.name);
    return item;
  }

  // The classes found as a table, and what ran, in their places further down on the page; in the Lab, the photo in use.
  function facts(value) {
    for (const part of ['table', 'ran']) {
      const place = document.getElementById(part);
      if (place) place.innerHTML = value?.[part] ?? '';
    }
    photoInUse();
  }

  function photoInUse(value = told) {
    const place = document.getElementById('photo-in-use');
    if (!place) return;
    const words = document.createElement('p'), picture = new Image();
    words.textContent = value?.problem ?? (value ? `Photo in use\n${value.photo.size.join(' × ')} pixels` : 'There is no photo yet: upload one, or pick an example.');
    words.setAttribute('role', 'status');
    Object.assign(picture, {loading: 'lazy', alt: 'The photo in use', src: value?.photo ? address(value.photo.file) : ''});
    place.replaceChildren(...value?.photo ? [picture, words] : [words]);
  }

  // The three pictures of the Segment tab, in `element`.
  function result(element) {
    const find = selector => element.querySelector(selector);
    const canvases = {segmented: find('.segmented canvas'), overlays: find('.overlays canvas')};
    let shown = null, hovered = null, chosen = null, asked = 0, last = null, references = {}, reference = null, marking = false;
    let said = 0, saying = 0;  // when words were last put to a frame, and the next time

    // What an answer is compared with: the one as trained with the same edges, or where it is that one, the one before it
    // that differs in its edges alone.
    function compare(value) {
      const {setting, photo} = value, now = {...shown, setting}, place = document.getElementById('changed');
      const fits = other => setting && other?.file === photo.file && other.setting.model === setting.model
        && other.map.labels.length === now.map.labels.length;
      if (!fits(last)) references = {};
      else if (last.setting.name === setting.name) return;
      if (setting?.trained) references[setting.crf] = now;
      const before = setting?.trained ? last?.setting.trained && last : references[setting?.crf] ?? references[!setting?.crf] ?? last;
      reference = fits(before) ? before : null;
      last = setting ? now : null;
      if (place) place.textContent = reference ? difference(now, reference) : '';
    }

    function paint() {
      if (!shown) return;
      const {map, classes, under} = shown;
      const only = hovered ?? (classes.some(one => one.index === chosen) ? chosen : null);
      const opacity = Number(element.style.getPropertyValue('--opacity') || .5);
      segmented(canvases.segmented, map, classes, only);
      paintPart(only, opacity);
      const comparable = marking && under && reference?.map.labels.length === map.labels.length;
      if (comparable) changes(canvases.overlays, map, reference.map, under);
      else if (under) overlays(canvases.overlays, map, classes, only, under, opacity);
    }

    // A part of the photo at its own pixels, over the pictures; see the server's `segment/part.py`.
    async function part({box, labels, photo}) {
      const now = shown, picture = Object.assign(new Image(), {src: photo});
      const [map] = await Promise.all([labelMap(labels), picture.decode()]), under = lit(picture, map);
      if (shown !== now || !now) return;
      shown.part = {map, under, box};
      paint();
      element.dispatchEvent(new CustomEvent('part'));
    }

    function paintPart(only, opacity) {
      const {part, classes} = shown, found = part && !marking ? ['input', 'segmented', 'overlays'] : [];
      const [over, coloured, mixed] = found.map(name => partCanvas(find(`.${name} .zoomed`), part.box));
      if (!found.length) for (const old of element.querySelectorAll('canvas.part')) old.remove();
      else {
        laid(over, part.map, part.under.bright);
        segmented(coloured, part.map, classes, only);
        overlays(mixed, part.map, classes, only, part.under, opacity);
      }
    }

    // `box` is [left, top, right, bottom], as shares of the photo.
    function partCanvas(place, [left, top, right, bottom]) {
      const canvas = place.querySelector('canvas.part') ?? document.createElement('canvas');
      canvas.className = 'part';
      canvas.setAttribute('aria-hidden', 'true');
      const [x, y, width, height] = [left, top, right - left, bottom - top].map(share => `${100 * share}%`);
      Object.assign(canvas.style, {left: x, top: y, width, height});
      place.append(canvas);
      return canvas;
    }

    function words(value) {
      const {classes, photo} = value;
      const [width, height] = photo.size;
      element.style.setProperty('--ratio', `${width} / ${height}`);
      element.style.setProperty('--wide', width / height);
      find('.input .size').textContent = `${width} × ${height} pixels${photo.notes}`;
      find('.input canvas').setAttribute('aria-label', `The photo, ${width} by ${height} pixels`);
      const seen = spoken(shown) || value.nothing || value.summary;
      canvases.segmented.setAttribute('aria-label', `Segmented output. ${seen}`);
      canvases.overlays.setAttribute('aria-label', `The photo, dimmed, with each class highlighted. ${seen}`);
      find('.found').textContent = value.photo.file ? seen : '';
      const listed = classes.filter(one => one.share > LEAST);
      find('.legend').replaceChildren(...listed.map(one => {
        const item = entry(one, 'li'), share = document.createElement('small');
        share.textContent = ` ${percent(one.share)}`;
        item.append(share);
        return item;
      }));
      const found = listed.filter(one => !one.nothing);
      find('.choices').hidden = !found.length;
      find('.nothing').hidden = found.length > 0;
      find('.nothing').textContent = value.nothing;
      find('.choices').replaceChildren(find('.choices legend'), choice('all', 'all classes'), ...found.map(choice));
    }

    function choice(one, name) {
      const label = one === 'all' ? document.createElement('label') : entry(one, 'label');
      const input = document.createElement('input');
      if (one === 'all') label.append(name);
      Object.assign(input, {type: 'radio', name: 'chosen-class', value: one === 'all' ? 'all' : one.index});
      input.checked = String(chosen ?? 'all') === input.value;
      label.dataset.class = input.value;
      label.prepend(input);
      return label;
    }

    async function show(value) {
      told = value;
      const turn = ++asked;
      find('.problem').textContent = value?.problem ?? '';
      element.dataset.state = value?.problem ? 'problem' : value ? 'result' : 'empty';
      if (!value || value.problem) {
        shown = null;
        find('.input .size').textContent = '';
        find('.input canvas').setAttribute('aria-label', 'No photo');
        find('.found').textContent = '';
        facts(value);
        return;
      }
      const map = await labelMap(value.labels);
      if (turn !== asked) return;  // a later answer was faster
      const same = shown?.file === value.photo.file ? shown.under : null;
      shown = {map, classes: value.classes, file: value.photo.file, under: same};
      words(value);
      facts(value);
      compare(value);
      if (!same) {
        const under = await photo(value.photo, map);
        if (turn !== asked) return;
        shown.under = under;
        laid(find('.input canvas'), under, under.bright);
      }
      paint();
      element.dataset.drawn = turn;
      element.dispatchEvent(new CustomEvent('drawn', {bubbles: true}));
    }

    // What lies at a place of the photo, given as shares of its width and height, said beside a place of the window; or null.
    function tell(across, down = 0, left = 0, top = 0) {
      const label = find('.under-pointer');
      label.hidden = across === null || !shown;
      if (label.hidden) return;
      const {map, classes} = shown;
      const x = Math.min(Math.floor(across * map.width), map.width - 1), y = Math.min(Math.floor(down * map.height), map.height - 1);
      const one = classes.find(one => one.index === map.labels[y * map.width + x]);
      if (!one) return;
      const sure = one.confidence === null ? '' : `, mean confidence ${percent(one.confidence)}`;
      label.replaceChildren(...entry(one, 'span').childNodes, `: ${percent(one.share)} of the photo${sure}`);
      label.style.left = `${Math.max(Math.min(left + 14, innerWidth - label.offsetWidth - 8), 8)}px`;
      label.style.top = `${Math.min(top + 16, innerHeight - label.offsetHeight - 4)}px`;
    }

    function point(event) {
      const canvas = event.target.closest?.('.picture canvas');
      if (!canvas) return tell(null);
      const box = canvas.getBoundingClientRect();
      tell((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, event.clientX, event.clientY);
    }

    function hover(label) {
      const value = label ? Number(label.dataset.class) : null;
      const now = Number.isNaN(value) ? null : value;
      if (now !== hovered) {
        hovered = now;
        paint();
      }
    }

    element.addEventListener('change', event => {
      if (event.target.name !== 'chosen-class') return;
      chosen = event.target.value === 'all' ? null : Number(event.target.value);
      paint();
    });
    element.addEventListener('pointerover', event => hover(event.target.closest('.choices label')));
    element.addEventListener('pointerleave', event => { hover(null); if (event.pointerType !== 'touch') tell(null); });
    for (const kind of ['pointermove', 'pointerdown']) element.addEventListener(kind, point);
    document.addEventListener('recoloured', paint);
    // An answer to a frame of the camera, over the picture of the video that runs meanwhile.
    async function frame(answer, video) {
      const turn = ++asked;
      const map = await labelMap(answer.labels);
      if (turn !== asked) return;
      shown = {map, classes: answer.classes, file: null, under: lit(video, map)};
      element.dataset.state = 'result';
      paint();
      // Words follow twice a second: more cannot be read, and choices that are made anew cannot be clicked.
      const now = shown;
      clearTimeout(saying);
      saying = setTimeout(() => {
        if (shown !== now) return;
        said = performance.now();
        words({...answer, photo: {file: null, size: [map.width, map.height], notes: ', live'}});
      }, said + 500 - performance.now());
    }

    // Mark what changed on the overlays' picture, in place of the classes.
    function markChanges(on) {
      marking = on;
      paint();
    }

    marked = markChanges;
    show(null);
    return {show, frame, part, tell, again: () => show(told)};
  }

  // <label-map>: a label map over its photo, wherever the page shows one. What it needs stands on it or on what it is in:
  // data-photo, a file that the server keeps; data-labels, as in a result; data-classes, the index and colours of each class
  // that has any. With data-marks, the classes are marks on the photo dimmed. Drawn when it comes near the window, and again
  // when what it needs has changed: gradio keeps elements and changes them, and what they hold; so this holds its own apart.
  class LabelMap extends HTMLElement {
    connectedCallback() {
      if (!this.shadowRoot) this.attachShadow({mode: 'open'}).innerHTML = '<img part="photo" alt="" draggable="false"><canvas part="layer"></canvas>';
      again(this);
    }

    async draw() {
      const given = name => /** @type {HTMLElement | null} */ (this.closest(`[data-${name}]`))?.dataset[name];
      const labels = given('labels'), photo = this.shadowRoot.querySelector('img'), canvas = this.shadowRoot.querySelector('canvas');
      if (!labels) return;
      photo.src = address(given('photo'));
      const [map] = await Promise.all([labelMap(labels), photo.decode().catch(() => null)]);
      if (labels !== given('labels')) return;
      layer(canvas, map, JSON.parse(given('classes')), 'marks' in this.dataset);
      this.drawn = labels;
    }
  }
  const near = new IntersectionObserver(entries => {
    for (const {isIntersecting, target} of entries) if (isIntersecting) {
      near.unobserve(target);
      /** @type {LabelMap} */ (target).draw();
    }
  }, {rootMargin: '100%'});
  function again(one) {
    near.unobserve(one);
    near.observe(one);
  }
  new MutationObserver(changes => changes.forEach(({target: node}) => {
    const target = /** @type {Element} */ (node);
    (target.matches('label-map') ? [target] : target.querySelectorAll('label-map')).forEach(again);
  }))
    .observe(document, {subtree: true, attributeFilter: ['data-photo', 'data-labels', 'data-classes']});
  document.addEventListener('recoloured', () => document.querySelectorAll('label-map').forEach(again));
  customElements.define('label-map', LabelMap);

  // Whether classes have Pascal VOC's colours everywhere, or those that are made for eyes.
  function useVoc(on) {
    document.documentElement.classList.toggle('voc', on);
    document.dispatchEvent(new CustomEvent('recoloured'));
  }

  function setOpacity(value) {
    for (const element of document.querySelectorAll('.panels.drawn'))
      element.parentElement.style.setProperty('--opacity', value);
    document.dispatchEvent(new CustomEvent('recoloured'));
  }

  return {result, readable, labelMap, spoken, photoInUse, keep, told: () => told, address, useVoc, setOpacity, markChanges: on => marked(on)};
})();
