// The Input panel: the one place to open, drop, paste or take a photo. What is chosen is uploaded and handed on.
window.photoInput = (element, trigger, upload) => {
  const picture = element.querySelector('.input .picture'), chooser = element.querySelector('.input input[type=file]');
  const said = element.querySelector('.input [role=status]');

  async function take(file) {
    said.textContent = 'Uploading …';
    const bitmap = createImageBitmap(file).catch(() => null);
    try {
      const {path} = await upload(file);
      drawing.keep(path, bitmap);
      const meta = {_type: 'gradio.FileData'};
      window.chosenPhoto = {path, url: URL.createObjectURL(file), orig_name: file.name, size: file.size, meta};
      trigger('upload');
      said.textContent = '';
    } catch {
      said.textContent = 'This photo could not be uploaded.';  // why is in gradio's note
    }
  }

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
  const button = event.target.closest('button[data-example]');
  if (!button) return;
  window.chosenExample = button.dataset.example;
  trigger('select');
});
