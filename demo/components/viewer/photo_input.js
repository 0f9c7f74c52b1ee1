// Of the photos that are chosen, wherever on the page, the last one wins, however long an upload or an answer takes.
window.lastChoice = (() => {
  let last = 0;
  return {handed: 0, begin: () => ++last, is: turn => turn === last};
})();

// Files that gradio's own controls upload. An upload that ends after another choice in its place is late, and is left out.
window.uploads = (() => {
  const chosen = {};  // by the control's id, the file that was chosen last; null where something else was
  const hear = (element, files) => {
    const control = element.closest('.block[id]') ?? element.nextElementSibling;
    if (control?.id && files?.length) chosen[control.id] = files[0];
  };
  document.addEventListener('change', ({target}) => hear(target, /** @type {HTMLInputElement} */ (target).files), true);
  document.addEventListener('drop', ({target, dataTransfer}) => hear(target, dataTransfer.files), true);
  return {
    instead: id => { chosen[id] = null; },
    late: (id, {orig_name, size}) => chosen[id] === null || chosen[id]?.name !== orig_name || chosen[id].size !== size,
  };
})();

// Hand on what is chosen in a place for files.
window.photoChooser = (chooser, take) => chooser.addEventListener('change', () => {
  take(...chooser.files);
  chooser.value = '';  // the same file may be chosen again
});

// Photos: opened, dropped anywhere on the page, pasted or taken. The one that is chosen is uploaded and handed on; several
// make a strip to go through. `photos.begin` stands outside of the tabs, so this works on all of them.
window.photos = (() => {
  const MOST = 24, THUMB = 64, KEPT = 'photo';  // photos in the strip; pixels of one there
  const example = new URLSearchParams(location.search).has('photo');  // before the page writes its address
  const own = new Map(), again = new Map();  // what was chosen here, by its place on the server; what is being sent again
  let page = null, play = null, list = [], chosen = null, failed = 0;  // the choice that could not be uploaded

  const panels = () => document.querySelector('#pictures .panels');
  const megabytes = bytes => `${Math.round(bytes / 2 ** 20)} MB`;

  // Said where the visitor looks: in the Input panel, or over the tab that is open.
  function say(words) {
    const panel = /** @type {HTMLElement | null} */ (panels()?.querySelector('.input'));
    const places = [panel?.querySelector('[role=status]'), page.element.querySelector('[role=status]')];
    places.forEach((place, at) => { if (place) place.textContent = at === Number(!panel?.offsetParent) ? words : ''; });
  }

  function keep(photo) {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(photo));
    } catch {} // a browser may keep nothing
  }

  function kept() {
    try {
      return JSON.parse(sessionStorage.getItem(KEPT));
    } catch {
      return null;
    }
  }

  function hand({path, name, size}, url, choice) {
    lastChoice.handed = choice;
    window.chosenPhoto = {path, url, orig_name: name, size, meta: {_type: 'gradio.FileData'}};
    page.trigger('upload');
  }

  // The path of a photo on the server, to which it goes once.
  const sent = one => {
    one.path ??= page.upload(one.file).then(({path}) => path, error => { one.path = null; throw error; });
    return one.path;
  };

  async function choose(one, choice = lastChoice.begin()) {
    if (lastChoice.is(choice)) chosen = one;
    mark();
    if (one.file.size > page.most) {
      failed = choice;
      say(`This file has ${megabytes(one.file.size)}, and at most ${megabytes(page.most)} can be uploaded.`);
      return null;
    }
    say('Uploading …');
    const bitmap = createImageBitmap(one.file).catch(() => null);
    try {
      const path = await sent(one), photo = {path, name: one.file.name, size: one.file.size};
      own.set(path, one);
      if (lastChoice.is(choice)) {
        questions.choosePhoto({path});
        drawing.keep(path, bitmap);
        hand(photo, URL.createObjectURL(one.file), choice);
        keep(photo);
      }
      say('');
      return path;
    } catch {
      failed = choice;
      say('This photo could not be uploaded.');  // why is in gradio's note
      return null;
    }
  }

  // A photo that was chosen here and that the server has no more, since it was started again, is sent once more. Returns
  // where it lies then; nothing if it was not chosen here.
  window.sendAgain = path => {
    if (own.has(path) && !again.has(path)) {
      const {handed} = lastChoice, inUse = lastChoice.is(handed) && window.chosenPhoto.path === path, one = own.get(path);
      one.path = null;
      again.set(path, choose(one, inUse ? handed : 0).finally(() => again.delete(path)));
    }
    return again.get(path);
  };

  // A photo of gradio's, sent again before a file is made of it if the server has it no more.
  window.photoThere = async photo => {
    if (!photo || !own.has(photo.path)) return photo;
    const {ok} = await fetch(drawing.address(photo.path), {method: 'HEAD'}).catch(() => ({ok: true}));
    const path = ok ? null : await sendAgain(photo.path);
    return path ? {...photo, path} : photo;
  };

  function take(...files) {
    const film = files.find(file => file.type.startsWith('video/'));
    if (film && play) return play(film);
    if (film) return say('Open the Segment tab first: a video plays there.');
    if (!files.length) return undefined;
    const added = files.slice(0, MOST).map(file => ({file, path: null}));
    list = list.length || added.length > 1 ? [...list, ...added].slice(-MOST) : [];
    strip();
    return choose(added[0]);
  }

  // The photos as buttons above the pictures.
  function strip() {
    const place = panels()?.querySelector('.strip');
    if (!place) return;
    panels().classList.toggle('several', list.length > 0);
    document.documentElement.classList.toggle('several-photos', list.length > 0);
    const row = place.querySelector('.photos');
    row.replaceChildren(...list.map(one => {
      one.button ??= button(one);
      return one.button;
    }));
    mark();
  }

  function button(one) {
    const made = document.createElement('button'), thumb = document.createElement('canvas');
    Object.assign(made, {type: 'button', title: one.file.name});
    made.setAttribute('aria-label', one.file.name);
    made.append(thumb);
    made.addEventListener('click', () => choose(one));
    createImageBitmap(one.file, {resizeHeight: THUMB, resizeQuality: 'medium'}).then(bitmap => {
      [thumb.width, thumb.height] = [bitmap.width, bitmap.height];
      thumb.getContext('2d').drawImage(bitmap, 0, 0);
      bitmap.close();
    }, () => thumb.replaceWith(one.file.name));  // the server may read what the browser cannot
    return made;
  }

  function mark() {
    for (const one of list) {
      if (one === chosen) one.button?.setAttribute('aria-current', 'true');
      else one.button?.removeAttribute('aria-current');
    }
    const at = list.indexOf(chosen), said = panels()?.querySelector('.strip small');
    if (said) said.textContent = list.length ? `${at < 0 ? '–' : at + 1} of ${list.length}` : '';
  }

  // Another photo is shown: an example, or one that the address names.
  async function shown(path) {
    for (const one of [chosen, ...list]) if (one?.path && await one.path === path) {
      chosen = one;
      return mark();
    }
    chosen = null;
    return mark();
  }

  // All photos of the strip, as the server knows them.
  async function all() {
    const paths = [];
    for (const one of list) paths.push(await window.photoThere({path: await sent(one)}));
    return paths;
  }

  // `element` says what happens where no Input panel is seen; `most` bytes can be uploaded.
  function begin(element, trigger, upload, most) {
    page = {element, trigger, upload, most};
    window.takePhoto = take;
    // A step back that was under way when a photo was chosen has arrived after it.
    document.addEventListener('arrived', () => { if (lastChoice.is(lastChoice.handed)) trigger('upload'); });
    const files = event => event.dataTransfer?.types.includes('Files') && !event.defaultPrevented;
    const over = on => element.classList.toggle('dropping', on);
    for (const kind of /** @type {const} */ (['dragenter', 'dragover'])) document.addEventListener(kind, event => {
      over(files(event));
      if (files(event)) event.preventDefault();
    });
    document.addEventListener('dragleave', event => { if (!event.relatedTarget) over(false); });
    document.addEventListener('drop', event => {
      over(false);
      if (!files(event)) return;
      event.preventDefault();
      take(...event.dataTransfer.files);
    });
    document.addEventListener('paste', event => {
      const pasted = [...event.clipboardData?.files ?? []].find(file => file.type.startsWith('image/'));
      if (pasted) take(pasted);
    });
  }

  // The Input panel: open and paste; `video` plays one there.
  function panel(element, video) {
    play = video;
    const chooser = /** @type {HTMLInputElement} */ (element.querySelector('.input input[type=file]'));
    photoChooser(chooser, take);
    element.querySelector('.paste').addEventListener('click', async () => {
      element.querySelector('.live').textContent = '';
      try {
        for (const item of await navigator.clipboard.read()) {
          const type = item.types.find(type => type.startsWith('image/'));
          if (type) return take(new File([await item.getType(type)], 'pasted.png', {type}));
        }
        say('There is no picture to paste: copy one first.');
      } catch {
        say('The browser does not let this page paste: press Ctrl+V, or ⌘V.');
      }
    });
    element.querySelector('.strip .all').addEventListener('click', () => {
      /** @type {HTMLElement} */ (document.querySelector('#download-all')).click();
    });
    element.querySelector('.strip').addEventListener('keydown', event => {
      const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      const next = step && list[list.indexOf(chosen) + step];
      if (!next) return;
      next.button.focus();
      choose(next);
    });
    element.addEventListener('drawn', () => {
      shown(drawing.told()?.photo?.upload);
      if (!failed || lastChoice.is(failed)) return;
      failed = 0;
      say('');
    });
    strip();
    // A photo that was chosen in this tab of the browser comes back when the page is loaded again, unless its address names
    // an example. The server keeps it for a while.
    element.addEventListener('drawn', async () => {
      const photo = example ? null : kept();
      if (!photo || !lastChoice.is(0)) return;
      const url = drawing.address(photo.path), choice = lastChoice.begin(), {ok} = await fetch(url, {method: 'HEAD'});
      if (!lastChoice.is(choice)) return;
      if (ok) hand(photo, url, choice);
      else keep(null);
      say(ok ? '' : 'Your photo is no longer here: open it again.');
    }, {once: true});
  }

  return {begin, panel, take, all};
})();

// A row of example photos: a click hands one on.
window.exampleStrip = (element, trigger) => element.addEventListener('click', event => {
  const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest('button[data-example]'));
  if (!button) return;
  const {path} = button.dataset;
  lastChoice.handed = lastChoice.begin();
  window.chosenPhoto = {path, url: drawing.address(path), orig_name: `${button.dataset.example}.jpg`, meta: {_type: 'gradio.FileData'}};
  trigger('select');
  questions.again();
});
