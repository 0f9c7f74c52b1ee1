// A page that runs its network itself: opens photos, asks the worker, and hands the answers to `drawing.js`.
'use strict';
(async () => {
  const SIDE = 960, MOST_PIXELS = 40e6;  // the longer side of a label map; as many pixels as a photo may have in Python
  const about = JSON.parse(document.getElementById('facts').textContent);
  const element = document.getElementById('pictures'), find = selector => element.querySelector(selector);
  const said = find('[role=status]'), slider = document.getElementById('rate'), number = document.getElementById('rate-value');
  const drawn = drawing.result(element);
  const say = sentence => { said.textContent = sentence; };

  // The bytes of an element: see `page.py`. A server that says the page is of another encoding than it says itself spoils them on
  // their way into the page, but not those that are fetched.
  const BYTES = new Uint8Array(65536);
  for (let byte = 0; byte < 256; byte++) BYTES[new TextDecoder('windows-1252').decode(Uint8Array.of(byte)).charCodeAt(0)] = byte;
  const again = document.characterSet === 'windows-1252' ? null
    : fetch(location.href).then(answer => answer.arrayBuffer()).then(buffer => new TextDecoder('windows-1252').decode(buffer));

  async function embedded(name) {
    let text = document.getElementById(name).textContent;
    if (again) {
      const opening = `<script type="application/octet-stream" id="${name}">`, whole = await again;
      const start = whole.indexOf(opening) + opening.length;
      text = whole.slice(start, whole.indexOf('<' + '/script>', start));
    }
    const bytes = new Uint8Array(text.length);
    let length = 0;
    for (let at = 0; at < text.length; at++) {
      const byte = BYTES[text.charCodeAt(at)];
      bytes[length++] = byte === 0x3d ? BYTES[text.charCodeAt(++at)] - 64 : byte;
    }
    const stream = new Blob([bytes.subarray(0, length)]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Response(stream).arrayBuffer();
  }

  // The worker, asked one thing at a time.
  const source = new Blob([document.getElementById('worker').textContent], {type: 'text/javascript'});
  const worker = new Worker(URL.createObjectURL(source));
  const waiting = new Map();
  let asked = 0;
  worker.onmessage = ({data: {id, answer, error}}) => {
    const {resolve, reject} = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(answer); else reject(new Error(error));
  };
  worker.onerror = event => { for (const {reject} of waiting.values()) reject(new Error(event.message)); };
  const ask = (way, given, handedOver = []) => new Promise((resolve, reject) => {
    waiting.set(++asked, {resolve, reject});
    worker.postMessage({id: asked, way, given}, handedOver);
  });

  async function start() {
    const [javascript, wasm, encoder, decoder] = await Promise.all(['javascript', 'wasm', 'encoder', 'decoder'].map(embedded));
    for (const name of ['javascript', 'wasm', 'encoder', 'decoder']) document.getElementById(name).remove();
    await ask('load', {javascript, wasm, graphs: {encoder, decoder}, about}, [wasm, encoder, decoder]);
  }

  // The pixels of a photo; what is transparent is shown on white.
  function pixels(bitmap) {
    const {width, height} = bitmap;
    const context = new OffscreenCanvas(width, height).getContext('2d', {willReadFrequently: true});
    context.fillStyle = 'white';
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    return {width, height, data: context.getImageData(0, 0, width, height).data};
  }

  const percent = share => `${(100 * share).toFixed(1)}%`;

  function answer(photo, decoded) {
    const classes = about.classes.filter(({index}) => decoded.shares[index] > 0)
      .map(one => ({...one, share: decoded.shares[one.index], confidence: decoded.confidence[one.index]}))
      .map(one => ({...one, confidence: Number.isNaN(one.confidence) ? null : one.confidence}))
      .sort((one, other) => other.share - one.share);
    const {width, height} = photo.seen;
    const milliseconds = `backbone ${photo.milliseconds.toFixed(0)} ms, decoder ${decoded.milliseconds.toFixed(0)} ms`;
    find('.ran').textContent = `The network saw ${width} \u00d7 ${height} pixels: ${milliseconds}, on one thread of this browser.`;
    return {
      photo: {file: photo.file, upload: photo.file, size: photo.size, notes: '', own: true},
      labels: {...photo.shown, labels: decoded.labels},
      classes,
      summary: classes.map(one => `${one.name} ${percent(one.share)}`).join(', '),
      nothing: 'The network found none of its classes here.',
    };
  }

  let photo = null, photos = 0, busy = false, stale = false;

  // Draw the photo in use at the rate in use; of the rates that are chosen meanwhile, the newest goes next.
  async function decode() {
    if (busy || !photo) { stale = busy; return; }
    busy = true;
    const now = photo;
    try {
      const decoded = await ask('decode', {rate: Number(slider?.value ?? 0), size: now.shown});
      if (now === photo) await drawn.show(element.answer = answer(now, decoded));
      say('');
    } catch (error) {
      problem(`The network could not run: ${error.message}`);
    } finally {
      busy = false;
      if (stale) { stale = false; decode(); }
    }
  }

  function problem(sentence) {
    say('');
    drawn.show({problem: sentence});
  }

  // The camera: of what it sees, one frame after the other goes through the network.
  const camera = find('.camera'), video = find('video');

  function stop() {
    for (const track of video.srcObject?.getTracks() ?? []) track.stop();
    video.srcObject = null;
    video.hidden = true;
    camera.textContent = 'Camera';
  }

  async function film() {
    const turn = ++photos;
    photo = null;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'environment', width: {ideal: 640}}});
      Object.assign(video, {srcObject: stream, hidden: false});
      camera.textContent = 'Stop';
      await Promise.all([video.play(), started]);
    } catch {
      stop();
      return problem('There is no camera here that this page may use. Browsers give it to files and to pages with https alone.');
    }
    while (turn === photos && video.srcObject) {
      const bitmap = await createImageBitmap(video), content = pixels(bitmap), {width, height} = content;
      try {
        const {milliseconds, size: seen} = await ask('encode', {photo: content}, [content.data.buffer]);
        const decoded = await ask('decode', {rate: Number(slider?.value ?? 0), size: {width, height}});
        if (turn === photos && video.srcObject) await drawn.frame(answer({size: [width, height], shown: {width, height}, seen, milliseconds}, decoded), bitmap);
      } catch (error) {
        stop();
        return problem(`The network could not run: ${error.message}`);
      }
    }
  }

  camera.addEventListener('click', () => video.srcObject ? stop() : film());

  async function take(file) {
    const turn = ++photos;
    stop();
    if (!drawing.readable()) return problem('This browser hides the pixels of photos from pages, to guard against fingerprinting. Allow this page to read its canvases.');
    say('Reading the photo \u2026');
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      return problem('This browser cannot read the file as a picture. Try a JPEG, a PNG or a WebP.');
    }
    const size = [bitmap.width, bitmap.height];
    if (Math.min(...size) < 32 || size[0] * size[1] > MOST_PIXELS)
      return problem('A photo must have 32 pixels or more on each side, and 40 megapixels at most.');
    const scale = Math.min(SIDE / Math.max(...size), 1), name = `photo ${turn}`;
    const [width, height] = size.map(side => Math.max(Math.round(side * scale), 1));
    const content = pixels(bitmap);
    drawing.keep(name, Promise.resolve(bitmap));
    say('Computing \u2026');
    try {
      await started;
      const {milliseconds, size: seen} = await ask('encode', {photo: content}, [content.data.buffer]);
      if (turn !== photos) return;
      photo = {file: name, size, shown: {width, height}, seen, milliseconds};
    } catch (error) {
      return problem(`The network could not run: ${error.message}`);
    }
    await decode();
  }

  const chooser = find('input[type=file]');
  chooser.addEventListener('change', () => {
    if (chooser.files.length) take(chooser.files[0]);
    chooser.value = '';  // the same file may be chosen again
  });
  for (const kind of ['dragenter', 'dragover']) document.addEventListener(kind, event => event.preventDefault());
  document.addEventListener('drop', event => {
    event.preventDefault();
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  document.addEventListener('paste', event => {
    if (event.clipboardData.files.length) take(event.clipboardData.files[0]);
  });
  document.getElementById('opacity').addEventListener('input', event => drawing.setOpacity(event.target.value));
  if (about.rate === null) {
    document.getElementById('rate-label').hidden = true;
  } else {
    Object.assign(slider, {min: about.rates[0], max: about.rates[1], value: about.rate});
    const tell = () => { number.textContent = `${slider.value}, ${2 * slider.value}, ${3 * slider.value}`; };
    slider.addEventListener('input', () => { tell(); decode(); });
    tell();
  }

  say('The network is being unpacked \u2026');
  const started = start();
  try {
    await started;
    say('');
    element.dataset.ready = '';
  } catch (error) {
    problem(`This browser cannot run the network: ${error.message}`);
  }
})();
