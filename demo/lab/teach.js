// A brush on one photo or two. Strokes stay in this page; each one that ends, and each that is undone, goes to the server as
// text with all others, and label maps and numbers come back.
//
// The value of the component: {photos: [{key, picture, size: [width, height]}, ...]} when photos come into view, and after a
// fit {strokes, masks: [address, ...], flat, margin, facts, score}, or {problem: 'a sentence'}, or {} where there is
// nothing to fit.
const COLOURS = COLOUR_LIST, ERASER = -1, MOST = 6;
const find = selector => element.querySelector(selector);
const canvases = [...element.querySelectorAll('canvas')];
const state = {classes: ['background', 'my class'], strokes: [], photos: [], brush: 1, size: .03, curve: []};
let drawing = null;

window.taughtStrokes = () => JSON.stringify({classes: state.classes, strokes: state.strokes});

function line(context, stroke) {
  const {width, height} = context.canvas;
  context.globalCompositeOperation = stroke.class === ERASER ? 'destination-out' : 'source-over';
  context.strokeStyle = context.fillStyle = COLOURS[stroke.class] ?? '#000';
  context.lineWidth = Math.max(stroke.size * Math.max(width, height), 1);
  context.lineCap = context.lineJoin = 'round';
  context.beginPath();
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

function brushes() {
  const row = find('.brushes');
  const chosen = state.brush;
  const items = state.classes.map((name, index) => {
    const label = document.createElement('label');
    label.className = 'brush';
    label.style.setProperty('--colour', COLOURS[index]);
    label.innerHTML = '<input type="radio" name="teach-brush"><span class="swatch"></span><input type="text" maxlength="30">';
    const [radio, text] = label.querySelectorAll('input');
    Object.assign(radio, {value: index, checked: index === chosen, ariaLabel: `Paint class ${index + 1}`});
    Object.assign(text, {value: name, size: Math.max(name.length, 6), ariaLabel: `Name of class ${index + 1}`});
    return label;
  });
  row.querySelectorAll('.brush:not(.eraser)').forEach(item => item.remove());
  row.prepend(...items);
  find('.eraser input').checked = chosen === ERASER;
  find('.more').disabled = state.classes.length >= MOST;
  find('.fewer').disabled = state.classes.length <= 2;
}

// Let the server know.
function changed() {
  state.curve.length = Math.min(state.curve.length, state.strokes.length + 1);
  element.dataset.pending = performance.now();
  trigger('input');
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
    if (!drawing || drawing.photo !== photo) return;
    const [x, y] = point(event), [before, above] = drawing.points.slice(-2);
    if (Math.hypot(x - before, y - above) < .004) return;
    drawing.points.push(x, y);
    paint();
  });
  const end = event => {
    if (!drawing || drawing.photo !== photo) return;
    if (event.type === 'pointerup') {
      state.strokes.push(drawing);
      drawing = null;
      changed();
    }
    drawing = null;
    paint();
  };
  for (const kind of ['pointerup', 'pointercancel']) canvas.addEventListener(kind, end);
});

element.addEventListener('change', event => {
  const {target} = event;
  if (target.name === 'teach-brush') state.brush = Number(target.value);
  if (target.matches('.size')) state.size = Number(target.value) / 100;
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
  const button = event.target.closest('button');
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
  if (address) image.src = address;
}

function photos(given) {
  given.forEach((photo, place) => {
    const panel = canvases[place].closest('figure');
    panel.classList.toggle('missing', !photo);
    if (state.photos[place]?.key === photo?.key) return;
    state.photos[place] = photo;
    state.strokes = state.strokes.filter(stroke => stroke.photo !== place);
    state.curve = [];
    picture(panel.querySelector('.photo'), photo?.picture);
    picture(panel.querySelector('.mask'), null);
    if (!photo) return;
    const [width, height] = photo.size;
    [canvases[place].width, canvases[place].height] = photo.size;
    panel.style.setProperty('--ratio', `${width} / ${height}`);
    panel.style.setProperty('--wide', width / height);
    if (!place) {
      find('.taught').style.setProperty('--ratio', `${width} / ${height}`);
      find('.taught').style.setProperty('--wide', width / height);
    }
  });
  paint();
}

// The IoU over the number of strokes, as far as this layer's settings have been tried.
function curve(strokes, score) {
  state.curve[strokes] = score;
  const known = Object.entries(state.curve).filter(([, value]) => value !== undefined && value !== null);
  const most = Math.max(...known.map(([count]) => Number(count)), 2);
  const place = ([count, value]) => `${(12 + 176 * count / most).toFixed(1)},${(52 - 44 * value).toFixed(1)}`;
  const dots = known.map(entry => `<circle cx="${place(entry).replace(',', '" cy="')}" r="2.5"/>`).join('');
  find('.curve').hidden = !known.length;
  find('.curve svg').innerHTML = `<path class="axes" d="M12 8V52H190"/><polyline points="${known.map(place).join(' ')}"/>${dots}`;
  find('.curve span').textContent = known.length ? `mIoU ${score?.toFixed(3) ?? ''} after ${strokes} strokes` : '';
}

function show(value) {
  if (value?.photos) photos(value.photos);
  if (!value || value.photos) return;
  find('.problem').textContent = value.problem ?? '';
  const masks = value.masks ?? [];
  element.querySelectorAll('.mask').forEach((image, place) => picture(image, masks[place]));
  picture(find('.flat'), value.flat);
  find('.taught figcaption').textContent = value.shows ?? 'Label map';
  find('.nothing').hidden = Boolean(value.flat || value.problem);
  find('.facts').innerHTML = value.facts ?? '';
  if (value.settings !== state.settings) state.curve = [];
  state.settings = value.settings;
  if (value.flat) curve(value.strokes, value.score);
  else find('.curve').hidden = true;
  element.dataset.took = performance.now() - Number(element.dataset.pending);
  element.dataset.shown = value.strokes ?? 0;
}

brushes();
paint();
watch('value', () => show(props.value));
