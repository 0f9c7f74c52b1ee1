// The Input panel: the one place to open, drop, paste or take a photo. What is chosen is uploaded and handed on.
window.photoInput = (element, trigger, upload) => {
  const picture = element.querySelector('.input .picture');
  const chooser = /** @type {HTMLInputElement} */ (element.querySelector('.input input[type=file]'));
  const said = element.querySelector('.input [role=status]'), KEPT = 'photo';
  const example = new URLSearchParams(location.search).has('photo');  // before the page writes its address

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

  function hand({path, name, size}, url) {
    window.chosenPhoto = {path, url, orig_name: name, size, meta: {_type: 'gradio.FileData'}};
    trigger('upload');
  }

  async function take(file) {
    said.textContent = 'Uploading …';
    const bitmap = createImageBitmap(file).catch(() => null);
    try {
      const {path} = await upload(file);
      questions.choosePhoto({path});
      drawing.keep(path, bitmap);
      const chosen = {path, name: file.name, size: file.size};
      hand(chosen, URL.createObjectURL(file));
      said.textContent = '';
      keep(chosen);
    } catch {
      said.textContent = 'This photo could not be uploaded.';  // why is in gradio's note
    }
  }

  // A photo that was chosen in this tab of the browser comes back when the page is loaded again, unless its address names
  // an example. The server keeps it for a while.
  element.addEventListener('drawn', async () => {
    const chosen = example ? null : kept();
    if (!chosen) return;
    const url = drawing.address(chosen.path), answer = await fetch(url);
    answer.body?.cancel();
    if (answer.ok) return hand(chosen, url);
    keep(null);
    said.textContent = 'Your photo is no longer here: open it again.';
  }, {once: true});

  chooser.addEventListener('change', () => {
    if (chooser.files.length) take(chooser.files[0]);
    chooser.value = '';  // the same file may be chosen again
  });
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
        if (type) return take(new File([await item.getType(type)], 'pasted.png', {type}));
      }
      said.textContent = 'There is no picture to paste: copy one first.';
    } catch {
      said.textContent = 'The browser does not let this page paste: press Ctrl+V, or ⌘V.';
    }
  });
  return take;
};

// A row of example photos: a click names one, and the server hands it over.
window.exampleStrip = (element, trigger) => element.addEventListener('click', event => {
  const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest('button[data-example]'));
  if (!button) return;
  window.chosenExample = button.dataset.example;
  trigger('select');
  questions.again();
});
