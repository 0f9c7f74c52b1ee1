// Of the photos that are chosen, wherever on the page, the last one wins, however long an upload or an answer takes.
window.lastChoice = (() => {
  let last = 0;
  return {handed: 0, begin: () => ++last, is: turn => turn === last};
})();

// Hand on what is chosen in a place for files.
window.photoChooser = (chooser, take) => chooser.addEventListener('change', () => {
  if (chooser.files.length) take(chooser.files[0]);
  chooser.value = '';  // the same file may be chosen again
});

// The Input panel: the place to open, drop, paste or take a photo. What is chosen is uploaded and handed on.
window.photoInput = (element, trigger, upload) => {
  const picture = element.querySelector('.input .picture');
  const chooser = /** @type {HTMLInputElement} */ (element.querySelector('.input input[type=file]'));
  const said = element.querySelector('.input [role=status]'), KEPT = 'photo';
  const example = new URLSearchParams(location.search).has('photo');  // before the page writes its address
  const files = new Map(), sending = new Map();  // what was chosen here, by its place on the server; what is being sent again

  function keep(chosen) {
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(chosen));
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
    trigger('upload');
  }

  async function take(file, choice = lastChoice.begin()) {
    said.textContent = 'Uploading …';
    const bitmap = createImageBitmap(file).catch(() => null);
    try {
      const {path} = await upload(file);
      files.set(path, file);
      if (lastChoice.is(choice)) {
        questions.choosePhoto({path});
        drawing.keep(path, bitmap);
        const chosen = {path, name: file.name, size: file.size};
        hand(chosen, URL.createObjectURL(file), choice);
        keep(chosen);
      }
      if (said.textContent === 'Uploading …') said.textContent = '';
      return path;
    } catch {
      said.textContent = 'This photo could not be uploaded.';  // why is in gradio's note
      return null;
    }
  }

  // A photo that was chosen here and that the server has no more, since it was started again, is sent once more. Returns
  // where it lies then; nothing if it was not chosen here.
  window.sendAgain = path => {
    if (files.has(path) && !sending.has(path)) {
      const {handed} = lastChoice, inUse = lastChoice.is(handed) && window.chosenPhoto.path === path;
      sending.set(path, take(files.get(path), inUse ? handed : 0).finally(() => sending.delete(path)));
    }
    return sending.get(path);
  };

  // A photo of gradio's, sent again before a file is made of it if the server has it no more.
  window.photoThere = async photo => {
    if (!photo || !files.has(photo.path)) return photo;
    const {ok} = await fetch(drawing.address(photo.path), {method: 'HEAD'}).catch(() => ({ok: true}));
    const path = ok ? null : await sendAgain(photo.path);
    return path ? {...photo, path} : photo;
  };

  // A step back that was under way when a photo was chosen has arrived after it.
  document.addEventListener('arrived', () => { if (lastChoice.is(lastChoice.handed)) trigger('upload'); });

  // A photo that was chosen in this tab of the browser comes back when the page is loaded again, unless its address names
  // an example. The server keeps it for a while.
  element.addEventListener('drawn', async () => {
    const chosen = example ? null : kept();
    if (!chosen || !lastChoice.is(0)) return;
    const url = drawing.address(chosen.path), choice = lastChoice.begin(), {ok} = await fetch(url, {method: 'HEAD'});
    if (!lastChoice.is(choice)) return;
    if (ok) hand(chosen, url, choice);
    else keep(null);
    said.textContent = ok ? '' : 'Your photo is no longer here: open it again.';
  }, {once: true});

  photoChooser(chooser, take);
  for (const kind of ['dragenter', 'dragover']) element.addEventListener(kind, event => {
    event.preventDefault();
    picture.classList.add('dropping');
  });
  for (const kind of ['dragleave', 'drop']) element.addEventListener(kind, () => picture.classList.remove('dropping'));
  element.addEventListener('drop', event => {
    event.preventDefault();
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  const pasted = items => [...items ?? []].find(file => file.type.startsWith('image/'));
  document.addEventListener('paste', event => {
    const file = pasted(event.clipboardData?.files);
    if (file && element.isConnected) take(file);
  });
  element.querySelector('.paste').addEventListener('click', async () => {
    element.querySelector('.live').textContent = '';
    try {
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find(type => type.startsWith('image/'));
        if (!type) continue;
        take(new File([await item.getType(type)], 'pasted.png', {type}));
        return;
      }
      said.textContent = 'There is no picture to paste: copy one first.';
    } catch {
      said.textContent = 'The browser does not let this page paste: press Ctrl+V, or ⌘V.';
    }
  });
  window.takePhoto = take;
  return take;
};

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
