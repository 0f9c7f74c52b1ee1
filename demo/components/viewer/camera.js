// The camera in the Input panel, or a video that was opened there. While it runs, its frames go to the server one at a time,
// small and as JPEG; the answer is drawn over the frame that it is of, while the server has the next one. A frame that is
// answered late is followed by a new one, never by a queue. Returns what plays a video.
window.camera = (element, server, drawn, take) => {
  const SIDE = 320, UNTOUCHED = 5 * 60 * 1000, RETRY = 150;
  const find = selector => element.querySelector(selector);
  const video = find('video'), start = find('.camera'), stop = find('.stop'), snap = find('.snap'), said = find('.live');  // not read aloud: it changes with every mask
  const scrub = /** @type {HTMLInputElement} */ (find('.scrub')), pause = find('.pause');
  let stream = null, touched = 0, run = 0;

  function end(why = '') {
    run++;
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = video.srcObject = null;
    if (video.src) {
      URL.revokeObjectURL(video.src);
      video.removeAttribute('src');
      video.load();
    }
    for (const state of ['data-live', 'data-video']) element.removeAttribute(state);
    said.textContent = why;
    drawn.again();
  }

  const refuse = why => { said.textContent = why; };

  async function begin() {
    if (stream) return;
    const number = ++run;
    find('[role=status]').textContent = '';
    if (!window.isSecureContext) return refuse('Browsers give the camera to pages with https alone, and this one has none: open a photo instead.');
    if (!drawing.readable()) return refuse('This browser hides what a camera sees from pages, to guard against fingerprinting: open a photo, or allow this page to read its canvases.');
    said.textContent = 'Asking for the camera …';
    try {
      if (!navigator.mediaDevices) throw new DOMException('', 'NotFoundError');
      const got = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'environment', width: {ideal: 1280}}});
      if (number !== run) {
        for (const track of got.getTracks()) track.stop();
        return;
      }
      stream = got;
    } catch (error) {
      said.textContent = error.name === 'NotAllowedError'
        ? 'The camera may not be used: allow it for this page in the browser, or open a photo.'
        : 'There is no camera here that this page can use: open a photo instead.';
      return;
    }
    stream.getVideoTracks()[0].addEventListener('ended', () => end('The camera has ended.'));
    video.srcObject = stream;
    await video.play();
    follow(number);
  }

  // A video, over and over, with its masks as fast as they come; it can be paused and scrubbed.
  async function play(file) {
    end();
    const number = ++run;
    Object.assign(video, {src: URL.createObjectURL(file), loop: true});
    element.dataset.video = '';
    try {
      await video.play();
      if (!video.videoWidth) throw new Error('sound alone');
    } catch {
      if (number === run) end('The browser cannot play this video: try MP4 with H.264, or `segmodels segment` on the command line.');
      return;
    }
    follow(number);
  }

  function follow(number) {
    touched = Date.now();
    element.dataset.live = '';
    said.textContent = '';
    loop(number);
  }

  async function loop(number) {
    const times = [];
    let next = ask(number, -1);
    while (number === run) {
      if (Date.now() - touched > UNTOUCHED) return end('The camera was stopped after five minutes without a touch.');
      if (document.hidden || !element.offsetParent) return end('The camera was stopped while the page was out of sight.');
      const {answer, frame, time, began} = await next;
      if (number !== run) return;
      if (answer?.late) {
        await new Promise(resolve => setTimeout(resolve, RETRY));
        next = ask(number, -1);
        continue;
      }
      if (!answer || answer.problem) return end(answer?.problem ?? 'The server does not answer: try again later.');
      next = ask(number, time);
      await drawn.frame(answer, frame);
      const now = performance.now();
      times.push(now);
      while (times.length > 10) times.shift();
      const rate = times.length > 1 ? (1000 * (times.length - 1) / (now - times[0])).toFixed(1) : '–';
      said.textContent = `Live: ${rate} masks a second, network ${answer.milliseconds} ms${answer.crf ? `, CRF ${answer.crf} ms` : ''}, mask ${Math.round(now - began)} ms old`;
      element.dataset.masks = String(Number(element.dataset.masks ?? 0) + 1);
    }
  }

  // Asks for the mask of the first frame that is not at `last`, in seconds of the video.
  async function ask(number, last) {
    while (number === run && (video.currentTime === last || video.seeking)) await new Promise(resolve => setTimeout(resolve, 15));
    const frame = document.createElement('canvas'), time = video.currentTime, began = performance.now();
    return {answer: number === run ? await masked(frame) : null, frame, time, began};
  }

  async function masked(frame) {
    const scale = SIDE / Math.max(video.videoWidth, video.videoHeight);
    frame.width = Math.round(video.videoWidth * scale);
    frame.height = Math.round(video.videoHeight * scale);
    frame.getContext('2d', {willReadFrequently: true}).drawImage(video, 0, 0, frame.width, frame.height);
    const jpeg = frame.toDataURL('image/jpeg', .8).split(',')[1];
    try {
      return await server.frame({frame: jpeg, ...questions.settings()});
    } catch {
      return null;
    }
  }

  start.addEventListener('click', begin);
  pause.addEventListener('click', () => { if (video.paused) video.play(); else video.pause(); });
  for (const kind of ['play', 'pause']) video.addEventListener(kind, () => { pause.textContent = video.paused ? 'Play' : 'Pause'; });
  scrub.addEventListener('input', () => { video.currentTime = Number(scrub.value) * video.duration; });
  video.addEventListener('timeupdate', () => { if (video.duration) scrub.value = String(video.currentTime / video.duration); });
  stop.addEventListener('click', () => end());
  snap.addEventListener('click', () => {
    const photo = document.createElement('canvas');
    [photo.width, photo.height] = [video.videoWidth, video.videoHeight];
    photo.getContext('2d').drawImage(video, 0, 0);
    photo.toBlob(blob => take(new File([blob], 'camera.jpg', {type: 'image/jpeg'})), 'image/jpeg', .92);
    end();
  });
  document.addEventListener('visibilitychange', () => document.hidden && stream && end('The camera was stopped while the page was out of sight.'));
  for (const kind of ['pointerdown', 'keydown']) document.addEventListener(kind, () => { touched = Date.now(); });
  return play;
};
