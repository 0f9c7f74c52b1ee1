// The three pictures zoom and move together, with one cursor in all of them: wheel, pinch, double tap, + - 0 and the arrow
// keys. Where a photo has more pixels than its picture here, the part in view is asked for. A line in the output can be
// drawn over it, left of which the photo is seen, and the pictures can fill the screen.
window.zoom = (element, server, drawn) => {
  const STEP = 1.5;  // of a key
  const REST = 200, MARGIN = .25;  // milliseconds without a move until a part is asked for; what it has around the view
  const SIDE = 960, PART = 1280;  // pixels: a label map's longer side, and a part's, as the server has them
  const panels = /** @type {HTMLElement} */ (element.querySelector('.panels'));
  const pictures = /** @type {HTMLElement[]} */ ([...panels.querySelectorAll('.picture')]);
  const line = /** @type {HTMLInputElement} */ (panels.querySelector('.swipe')), fingers = new Map();
  let scale = 1, left = 0, top = 0;  // how many times larger, and where the view begins, as shares of the photo
  let cursor = null, file = null, resting = 0, pressed = null, part = null, asked = 0;

  const limit = (value, least, most) => Math.min(Math.max(value, least), most);
  const most = () => Math.max(8, 4 * (drawing.told()?.photo?.size[0] ?? 0) / pictures[0].clientWidth);

  // Where a place of the window is in a picture, as shares of the picture and of the photo.
  function place(picture, {clientX, clientY}) {
    const box = picture.getBoundingClientRect();
    const across = (clientX - box.left) / box.width, down = (clientY - box.top) / box.height;
    return {across, down, x: left + across / scale, y: top + down / scale};
  }

  // Show the photo `size` times as large, with its place (x, y) at (across, down) of the pictures.
  function view(size, at) {
    scale = limit(size, 1, most());
    left = limit(at.x - at.across / scale, 0, 1 - 1 / scale);
    top = limit(at.y - at.down / scale, 0, 1 - 1 / scale);
    const [width, height] = drawing.told()?.photo?.size ?? [1, 1], across = scale * pictures[0].clientWidth;
    move();
    panels.classList.toggle('zoomed-in', scale > 1);
    panels.classList.toggle('map-pixels', across > 2 * width * Math.min(SIDE / Math.max(width, height), 1));
    panels.classList.toggle('photo-pixels', across > 2 * width);
    panels.classList.add('moving');  // moved as it was drawn, and drawn sharply once it rests
    clearTimeout(resting);
    resting = setTimeout(() => {
      panels.classList.remove('moving');
      fetchPart();
    }, REST);
  }

  function point(at) {
    cursor = at;
    panels.classList.toggle('pointed', Boolean(at));
    move();
  }

  // Put pictures and cursors in their places. As variables of the panels, these would style all that is inside anew.
  function move() {
    const to = (x, y) => `translate(${100 * scale * (x - left)}%, ${100 * scale * (y - top)}%)`;
    for (const one of /** @type {NodeListOf<HTMLElement>} */ (panels.querySelectorAll('.zoomed, .cursor'))) {
      const zoomed = one.className === 'zoomed';
      if (zoomed || cursor) one.style.transform = zoomed ? `${to(0, 0)} scale(${scale})` : to(cursor.x, cursor.y);
    }
  }

  // What is in view at the photo's own pixels, unless it is there already.
  const parts = latest(server, document.createElement('p'), async answer => {
    if (answer && !answer.problem) await drawn.part(answer);
  });
  function fetchPart() {
    const photo = drawing.told()?.photo, question = questions.wanted();
    if (!photo || !question?.photo || element.hasAttribute('data-live')) return;
    const [width, height] = photo.size, shown = SIDE / Math.max(width, height);
    if (shown >= 1 || scale * pictures[0].clientWidth * devicePixelRatio < 1.2 * width * shown) return;
    const across = 1 / scale, inside = part && part.key === JSON.stringify(question) 
      && (part.scale > scale / STEP || part.size * Math.max(width, height) <= PART)
      && left >= part.x && top >= part.y && left + across <= part.x + part.size && top + across <= part.y + part.size;
    if (inside) return;
    const size = across * (1 + 2 * MARGIN), x = left - across * MARGIN, y = top - across * MARGIN;
    part = {x, y, size, scale, key: JSON.stringify(question)};
    const ends = [x, y, x + size, y + size].map(share => limit(share, 0, 1));
    parts.ask({...question, turn: ++asked, part: ends.map((share, at) => Math.round(share * [width, height][at % 2]))});
  }

  element.addEventListener('drawn', () => {
    part = null;
    const now = drawing.told()?.photo?.file;
    if (now !== file) {
      file = now;
      point(null);
      view(1, {x: 0, y: 0, across: 0, down: 0});
    } else view(scale, {x: left, y: top, across: 0, down: 0});
    swipe();
  });

  for (const picture of pictures) {
    picture.addEventListener('wheel', event => {
      if (event.deltaY > 0 && scale === 1) return;  // the page scrolls
      event.preventDefault();
      view(scale * 2 ** (-limit(event.deltaY * (event.deltaMode ? 20 : 1), -200, 200) / 200), place(picture, event));
    }, {passive: false});

    picture.addEventListener('touchmove', event => { if (event.touches.length > 1) event.preventDefault(); }, {passive: false});
    picture.addEventListener('pointerdown', event => {
      if (event.target === line) return;
      fingers.set(event.pointerId, event);
      pressed = {x: event.clientX, y: event.clientY, moved: false};
      if (scale > 1 || fingers.size > 1) picture.setPointerCapture(event.pointerId);
    });
    picture.addEventListener('pointermove', event => {
      const before = fingers.get(event.pointerId), others = [...fingers.values()].filter(one => one.pointerId !== event.pointerId);
      if (event.pointerType !== 'touch') point(place(picture, event));
      if (!before) return;
      if (pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) > 6) pressed.moved = true;
      fingers.set(event.pointerId, event);
      if (others.length) {
        const apart = one => Math.hypot(one.clientX - others[0].clientX, one.clientY - others[0].clientY);
        const middle = one => ({clientX: (one.clientX + others[0].clientX) / 2, clientY: (one.clientY + others[0].clientY) / 2});
        const {x, y} = place(picture, middle(before)), {across, down} = place(picture, middle(event));
        view(scale * apart(event) / Math.max(apart(before), 1), {x, y, across, down});
      } else if (scale > 1) {
        const {x, y} = place(picture, before), {across, down} = place(picture, event);
        view(scale, {x, y, across, down});
      }
    });
    for (const kind of /** @type {const} */ (['pointerup', 'pointercancel'])) picture.addEventListener(kind, event => {
      const tapped = kind === 'pointerup' && fingers.size === 1 && pressed && !pressed.moved;
      fingers.delete(event.pointerId);
      if (!tapped || event.pointerType !== 'touch') return;
      point(place(picture, event));
      drawn.tell(cursor.x, cursor.y, event.clientX, event.clientY);
    });
    picture.addEventListener('pointerleave', event => { if (event.pointerType !== 'touch') point(null); });
    picture.addEventListener('dblclick', event => {
      if (event.target !== line) view(scale < 2 ? 3 : 1, place(picture, event));
    });
    picture.addEventListener('keydown', event => {
      const arrow = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
      const size = {'+': scale * STEP, '=': scale * STEP, '-': scale / STEP, 0: 1}[event.key];
      if (event.target !== picture || event.ctrlKey || event.metaKey || event.altKey || !arrow && !size) return;
      event.preventDefault();
      const {x, y} = cursor ?? {x: left + .5 / scale, y: top + .5 / scale};
      const next = arrow ? {x: limit(x + arrow[0] * .05 / scale, 0, 1), y: limit(y + arrow[1] * .05 / scale, 0, 1)} : {x, y};
      view(size ?? scale, {...next, across: .5, down: .5});
      point({...next, across: (next.x - left) * scale, down: (next.y - top) * scale});
      const box = picture.getBoundingClientRect();
      drawn.tell(next.x, next.y, box.left + cursor.across * box.width, box.top + cursor.down * box.height);
    });
    picture.addEventListener('blur', () => {
      point(null);
      drawn.tell(null);
    });
  }
  // A tap beside the pictures puts away what a tap on one has told.
  document.addEventListener('pointerdown', event => {
    if (!(/** @type {Element} */ (event.target).closest?.('#pictures .picture'))) {
      point(null);
      drawn.tell(null);
    }
  });

  // The photo left of the line, over the output.
  function swipe() {
    const under = panels.querySelector('.segmented .before'), on = Number(line.value) > 0;
    panels.style.setProperty('--swipe', String(Number(line.value) / 100));
    panels.classList.toggle('swiped', on);
    under.replaceChildren();
    if (!on) return;
    const zoomed = document.createElement('div');
    zoomed.className = 'zoomed';
    for (const one of /** @type {NodeListOf<HTMLCanvasElement>} */ (panels.querySelectorAll('.input canvas'))) {
      const copy = /** @type {HTMLCanvasElement} */ (one.cloneNode());
      copy.setAttribute('aria-hidden', 'true');
      copy.getContext('2d').drawImage(one, 0, 0);
      zoomed.append(copy);
    }
    under.append(zoomed);
    move();
  }
  line.addEventListener('input', () => {
    if (!panels.querySelector('.before .zoomed') || line.value === '0') swipe();
    panels.style.setProperty('--swipe', String(Number(line.value) / 100));
  });
  element.addEventListener('part', swipe);

  // One picture, or all three, over the whole screen: the browser's way where it has one.
  function leave() {
    for (const one of document.querySelectorAll('.full-screen')) one.classList.remove('full-screen');
    if (document.fullscreenElement) document.exitFullscreen();
  }
  for (const button of panels.querySelectorAll('.enlarge')) button.addEventListener('click', () => {
    const whole = button.classList.contains('all') ? panels : button.closest('figure');
    if (whole.classList.contains('full-screen')) return leave();
    leave();
    whole.classList.add('full-screen');
    whole.requestFullscreen?.().catch(() => {});  // without it, the page's window is filled
  });
  document.addEventListener('fullscreenchange', () => { if (!document.fullscreenElement) leave(); });
  document.addEventListener('keydown', event => { if (event.key === 'Escape') leave(); });
};
