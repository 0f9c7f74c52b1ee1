// A brush on one photo or two. Strokes stay in this page; after each one that ends, and each that is undone, the label map
// that they make goes to the server, and the fitted layer's label maps and numbers come back.
//
// An answer: {photos: [{key, file, size: [width, height], named}, ...]} and, where something was painted, {strokes, masks:
// [address, ...], flat, shows, facts, score, measure, settings, problem}; or {problem: 'a sentence'}. `named` is the class of
// which the photo has a label map.
window.brush = (element, server, trigger, id, COLOURS) => {
const ERASER = -1, MOST = 6, KEPT = 'taught', UNNAMED = 'my class';
const find = selector => element.querySelector(selector);
const canvases = [...element.querySelectorAll('canvas')];
const state = {
  classes: ['background', UNNAMED], strokes: [], photos: [], brush: 1, size: .03, curves: {}, cursors: [[.5, .5], [.5, .5]],
};
let drawing = null, kept = null, suggested = UNNAMED;

const UNPAINTED = 255, drawn = [];

// What was painted on a photo: a byte a pixel, the class or UNPAINTED. Of strokes that were drawn before, it is kept.
function labels(photo) {
  const {width, height} = canvases[photo], strokes = state.strokes.filter(stroke => stroke.photo === photo);
  const before = drawn[photo];
  const same = before && before.width === width && before.height === height && before.strokes.every((stroke, at) => stroke === strokes[at]);
  const map = same ? before.map : new Uint8Array(width * height).fill(UNPAINTED);
  for (const stroke of strokes.slice(same ? before.strokes.length : 0)) fill(map, width, height, stroke);
  drawn[photo] = {width, height, strokes, map};
  return map;
}

// Write a stroke into a label map: pixels whose middle is no farther from its line than its radius. Not read from the canvas,
// which need not give back what was drawn.
function fill(map, width, height, {points, size, class: index}) {
  const radius = Math.max(size * Math.max(width, height), 1) / 2, value = index === ERASER ? UNPAINTED : index;
  for (let at = 0; at < Math.max(points.length - 2, 2); at += 2) {
    const [x, y] = [points[at] * width, points[at + 1] * height];
    const [along, down] = points.length > 2 ? [points[at + 2] * width - x, points[at + 3] * height - y] : [0, 0];
    const length = along ** 2 + down ** 2 || 1;
    for (let row = Math.max(Math.floor(Math.min(y, y + down) - radius), 0); row < Math.min(Math.max(y, y + down) + radius, height); row++)
      for (let column = Math.max(Math.floor(Math.min(x, x + along) - radius), 0); column < Math.min(Math.max(x, x + along) + radius, width); column++) {
        const [right, under] = [column + .5 - x, row + .5 - y], part = Math.min(Math.max((right * along + under * down) / length, 0), 1);
        if ((right - part * along) ** 2 + (under - part * down) ** 2 <= radius ** 2) map[row * width + column] = value;
      }
  }
}

// A label map as runs of equal pixels: label, length, label, length and so on.
function runs(map) {
  const found = [];
  for (let at = 0, end; at < map.length; at = end) {
    end = at + 1;
    while (map[end] === map[at]) end++;
    found.push(map[at], end - at);
  }
  return found;
}

function painting() {
  const {classes, strokes, photos} = state;
  const maps = photos.flatMap((photo, at) => photo && strokes.some(stroke => stroke.photo === at) ? [{photo: photo.key, runs: runs(labels(at))}] : []);
  return {classes, strokes: strokes.length, maps};
}

window.brushPainting = () => JSON.stringify(painting());

function line(context, stroke) {
  const {width, height} = context.canvas;
  context.globalCompositeOperation = stroke.class === ERASER ? 'destination-out' : 'source-over';
  context.strokeStyle = context.fillStyle = COLOURS[stroke.class] ?? '#000';
  context.lineWidth = Math.max(stroke.size * Math.max(width, height), 1);
  context.lineCap = context.lineJoin = 'round';
  context.beginPath();
  if (stroke.points.length === 2) {  // a line of no length draws nothing
    context.arc(stroke.points[0] * width, stroke.points[1] * height, context.lineWidth / 2, 0, 2 * Math.PI);
    context.fill();
    return;
  }
  context.moveTo(stroke.points[0] * width, stroke.points[1] * height);
  for (let at = 0; at < stroke.points.length; at += 2) context.lineTo(stroke.points[at] * width, stroke.points[at + 1] * height);
  context.stroke();
}

function paint() {
  canvases.forEach((canvas, photo) => {
    const context = canvas.getContext('2d');
    context.globalCompositeOperation = 'source-over';
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (const stroke of state.strokes) if (stroke.photo === photo) line(context, stroke);
    if (drawing?.photo === photo) line(context, drawing);
  });
  find('.undo').disabled = find('.clear').disabled = !state.strokes.length;
}

function brush(index) {
  const label = document.createElement('label');
  label.className = 'brush named';
  label.style.setProperty('--colour', COLOURS[index]);
  label.innerHTML = '<input type="radio" name="teach-brush"><span class="swatch"></span><input type="text" maxlength="30">';
  const [radio, text] = label.querySelectorAll('input');
  Object.assign(radio, {value: index, ariaLabel: `Paint class ${index + 1}`});
  Object.assign(text, {ariaLabel: `Name of class ${index + 1}`});
  return label;
}

// What is there stays in its place, so that it keeps the keyboard.
function brushes() {
  const items = [...element.querySelectorAll('.brush.named')];
  for (const item of items.splice(state.classes.length)) item.remove();
  while (items.length < state.classes.length) {
    items.push(brush(items.length));
    find('.brush.eraser').before(items.at(-1));
  }
  items.forEach((item, index) => {
    const name = state.classes[index];
    Object.assign(item.querySelector('[type="text"]'), {value: name, size: Math.max(name.length, 6)});
  });
  /** @type {HTMLInputElement} */ (element.querySelector(`[name="teach-brush"][value="${state.brush}"]`)).checked = true;
  find('.more').disabled = state.classes.length >= MOST;
  find('.fewer').disabled = state.classes.length <= 2;
}

// Strokes that were taken back have no place on a curve, nor has an answer to them that comes late.
function forget() {
  for (const curve of Object.values(state.curves)) curve.length = Math.min(curve.length, state.strokes.length + 1);
}

// Let the server know, and keep what was painted in this tab of the browser for when the page is loaded again.
function changed() {
  const {classes, strokes, photos} = state;
  forget();
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({classes, strokes, photos: photos.map(photo => photo?.key)}));
  } catch {} // a browser may keep nothing
  element.dataset.pending = String(performance.now());
  computed.again(id);
}

function add(stroke) {
  kept = null;
  state.strokes.push(stroke);
  state.cursors[stroke.photo] = stroke.points.slice(-2);
  paint();
  changed();
}

function point(event) {
  const box = event.currentTarget.getBoundingClientRect();
  const part = (at, start, length) => Number(Math.min(Math.max((at - start) / length, 0), 1).toFixed(4));
  return [part(event.clientX, box.left, box.width), part(event.clientY, box.top, box.height)];
}

canvases.forEach((canvas, photo) => {
  canvas.addEventListener('pointerdown', event => {
    if (event.button || drawing || !state.photos[photo]) return;
    canvas.setPointerCapture(event.pointerId);
    drawing = {photo, class: state.brush, size: state.size, points: point(event)};
    paint();
  });
  canvas.addEventListener('pointermove', event => {
    if (!drawing || drawing.keys || drawing.photo !== photo) return;
    const [x, y] = point(event), [before, above] = drawing.points.slice(-2);
    if (Math.hypot(x - before, y - above) < .004) return;
    drawing.points.push(x, y);
    paint();
  });
  const end = event => {
    if (!drawing || drawing.keys || drawing.photo !== photo) return;
    const stroke = drawing;
    drawing = null;
    if (event.type === 'pointerup') add(stroke);
    else paint();
  };
  for (const kind of ['pointerup', 'pointercancel']) canvas.addEventListener(kind, end);
  canvas.addEventListener('keydown', event => key(event, canvas, photo));
  canvas.addEventListener('keyup', event => { if (event.key === 'Shift') lift(photo); });
  canvas.addEventListener('blur', () => lift(photo));
});

// --- The keyboard: a brush that arrows move by its own width ---

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

function say(text) { find('.said').textContent = text; }

function name(index) { return index === ERASER ? 'eraser' : state.classes[index]; }

function cursor() {
  canvases.forEach((canvas, photo) => {
    const [x, y] = state.cursors[photo], mark = /** @type {HTMLElement} */ (canvas.nextElementSibling);
    const wide = state.size * Math.max(canvas.width, canvas.height) / canvas.width;
    Object.assign(mark.style, {left: `${100 * x}%`, top: `${100 * y}%`, width: `max(${100 * wide}%, 7px)`});
    mark.style.setProperty('--colour', COLOURS[state.brush] ?? 'transparent');
  });
}

function stroke(photo, points) { return {photo, class: state.brush, size: state.size, points}; }

function lift(photo) {
  if (!drawing?.keys || drawing.photo !== photo) return;
  const line = stroke(photo, drawing.points);
  drawing = null;
  add(line);
  say(`Line of ${name(line.class)} painted. Strokes: ${state.strokes.length}.`);
}

function move([right, down], canvas, photo, draws) {
  const before = state.cursors[photo], step = state.size * Math.max(canvas.width, canvas.height);
  const part = (at, by, length) => Number(Math.min(Math.max(at + by * step / length, 0), 1).toFixed(4));
  const place = [part(before[0], right, canvas.width), part(before[1], down, canvas.height)];
  state.cursors[photo] = place;
  if (draws) {
    drawing ??= {...stroke(photo, [...before]), keys: true};
    drawing.points.push(...place);
    paint();
  }
  const [x, y] = place.map(value => Math.round(100 * value));
  say(`${draws ? `Painting ${name(state.brush)}, ` : ''}${x}% from the left, ${y}% from the top`);
}

function key(event, canvas, photo) {
  if (event.ctrlKey || event.altKey || event.metaKey || !state.photos[photo] || (drawing && !drawing.keys)) return;
  const number = Number(event.key);
  if (ARROWS[event.key]) move(ARROWS[event.key], canvas, photo, event.shiftKey);
  else if (event.key === ' ' || event.key === 'Enter') {
    if (!drawing && !event.repeat) {
      add(stroke(photo, [...state.cursors[photo]]));
      say(`Dab of ${name(state.brush)} painted. Strokes: ${state.strokes.length}.`);
    }
  } else if (number >= 1 && number <= state.classes.length || event.key === '0') {
    state.brush = number - 1;
    brushes();
    say(`Brush: ${name(state.brush)}.`);
  } else if (event.key === 'Backspace' && !drawing) {
    find('.undo').click();
    say(`Strokes: ${state.strokes.length}.`);
  } else if (event.key === 'Escape' && drawing) {
    drawing = null;
    paint();
  } else return;
  event.preventDefault();
  cursor();
}

element.addEventListener('change', event => {
  const target = /** @type {HTMLInputElement} */ (event.target);
  if (target.name === 'teach-brush') state.brush = Number(target.value);
  if (target.matches('.size')) state.size = Number(target.value) / 100;
  cursor();
  if (target.matches('.brush input[type="text"]')) {
    const index = [...element.querySelectorAll('.brush input[type="text"]')].indexOf(target);
    const name = target.value.trim();
    if (name && !state.classes.includes(name)) {
      state.classes[index] = name;
      if (state.strokes.length) changed();
    }
    brushes();
  }
});

element.addEventListener('click', event => {
  const button = /** @type {Element} */ (event.target).closest('button');
  if (!button) return;
  if (button.matches('.undo')) state.strokes.pop();
  if (button.matches('.clear')) state.strokes = [];
  if (button.matches('.more')) {
    let number = state.classes.length;
    while (state.classes.includes(`class ${number}`)) number++;
    state.brush = state.classes.push(`class ${number}`) - 1;
  }
  if (button.matches('.fewer')) {
    const last = state.classes.length - 1;
    state.classes.pop();
    state.strokes = state.strokes.filter(stroke => stroke.class !== last);
    state.brush = Math.min(state.brush, last - 1);
  }
  if (button.matches('.undo, .clear, .more, .fewer')) {
    brushes();
    paint();
    changed();
  }
});

function picture(image, address) {
  image.hidden = !address;
  if (address && image.getAttribute('src') !== address) image.src = address;
}

// Strokes of before the page was loaded again, if they belong to the photo.
function restore(place, photo) {
  if (!kept || kept.photos[place] !== photo.key) return;
  state.classes = kept.classes;
  if ([UNNAMED, photo.named].includes(kept.classes[1])) suggested = kept.classes[1];
  state.strokes.push(...kept.strokes.filter(stroke => stroke.photo === place));
  if (place === 1 || !kept.photos[1]) kept = null;
}

function frame(panel, canvas, {file, size: [width, height]}) {
  [canvas.width, canvas.height] = [width, height];
  picture(panel.querySelector('.photo'), window.drawing.address(file));
  for (const part of panel.querySelector('canvas') === canvases[0] ? [panel, find('.taught')] : [panel]) {
    part.style.setProperty('--ratio', `${width} / ${height}`);
    part.style.setProperty('--wide', width / height);
  }
}

function photos(given) {
  const before = JSON.stringify(state.strokes);
  given.forEach((photo, place) => {
    const panel = canvases[place].closest('figure');
    panel.classList.toggle('missing', !photo);
    if (state.photos[place]?.key === photo?.key) return;
    state.photos[place] = photo;
    state.strokes = state.strokes.filter(stroke => stroke.photo !== place);
    state.curves = {};
    picture(panel.querySelector('.mask'), null);
    if (photo) restore(place, photo);
    if (photo) frame(panel, canvases[place], photo);
    else picture(panel.querySelector('.photo'), null);
  });
  suggest(given[0]?.named);
  brushes();
  cursor();
  paint();
  if (before !== JSON.stringify(state.strokes)) changed();
}

// A photo with a label map brings the name of its class along, unless the visitor has given one.
function suggest(named) {
  find('.labelled').textContent = named ? ` This photo has a label map: paint the ${named}, and see the IoU grow.` : '';
  if (state.classes[1] !== suggested || state.strokes.length || state.classes.includes(named ?? UNNAMED)) return;
  suggested = state.classes[1] = named ?? UNNAMED;
}

// The IoU over the number of strokes, and faintly what other settings gave for strokes that are still there.
function curve({strokes, score, measure, settings}) {
  if (score !== null) {
    state.curves[settings] ??= [];
    state.curves[settings][strokes] = score;
  }
  forget();
  const most = Math.max(2, ...Object.values(state.curves).map(values => values.length - 1));
  const place = (count, value) => [(20 + 168 * count / most).toFixed(1), (52 - 44 * value).toFixed(1)];
  const drawn = Object.entries(state.curves).map(([its, values]) => {
    const known = Object.entries(values).map(([count, value]) => place(count, value));
    const dots = known.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="2.5"/>`).join('');
    return `<g class="${its === settings ? 'now' : 'other'}"><polyline points="${known.join(' ')}"/>${dots}</g>`;
  });
  drawn.sort((one, other) => Number(one.includes('"now"')) - Number(other.includes('"now"')));
  find('.curve').hidden = score === null;
  find('.curve svg').innerHTML = '<path class="axes" d="M20 8V52H190"/><text x="15" y="12">1</text><text x="15" y="55">0</text>' +
    `<text x="20" y="66">0</text><text x="188" y="66">${most}</text>${drawn.join('')}`;
  find('.curve span').textContent = score === null ? '' : `${measure} ${score.toFixed(3)}\nafter ${strokes} stroke${strokes === 1 ? '' : 's'}`;
}

function show(value) {
  if (!value) return;
  if (value.photos) photos(value.photos);
  find('.problem').textContent = value.problem ?? '';
  const masks = value.masks ?? [];
  element.querySelectorAll('.mask').forEach((image, place) => { picture(image, masks[place]); });
  picture(find('.flat'), value.flat);
  find('.taught figcaption').textContent = value.shows ?? 'Label map';
  find('.nothing').hidden = Boolean(value.flat || value.problem);
  find('.facts').innerHTML = value.facts ?? '';
  if (value.flat) curve(value);
  else find('.curve').hidden = true;
  element.dataset.took = String(performance.now() - Number(element.dataset.pending));
  element.dataset.shown = value.strokes ?? 0;
}

try {
  kept = JSON.parse(sessionStorage.getItem(KEPT));
} catch {} // a browser may keep nothing
brushes();
paint();
computed.begin(element, server, trigger, id, {show, extra: painting});
};
