// The Segment tab's questions: a photo with the network and settings chosen. The viewer draws the answers.
window.questions = (() => {
  const REST = 300;  // milliseconds without a move until the other tabs follow
  let asked = null, early = null;  // `latest`, see computed.js, once the pictures are there; what was chosen before

  const ask = choice => { if (asked) asked.ask(choice); else early = choice; };

  // What is chosen now: {photo: a file of gradio's or null, model, rate, stride, variant, crf}.
  function choose({photo, model, ...settings}) {
    if (model) ask({photo: photo && {path: photo.path}, model, ...settings});
  }

  const wanted = () => asked?.wanted ?? early;

  // Another photo with the settings as they are, before gradio hears of it.
  const choosePhoto = photo => { if (wanted()) ask({...wanted(), photo}); };

  // From now on, questions go to `server` and answers to `drawn`, see `drawing.result`; `element` holds both.
  function begin(element, server, drawn, trigger) {
    asked = latest(server, element.querySelector('.waiting'), answer => drawn.show(answer));
    if (early) asked.ask(early);
    let resting = 0;
    for (const kind of ['input', 'change']) document.addEventListener(kind, event => {
      const control = /** @type {HTMLInputElement} */ (event.target);
      if (!control.closest?.('#model, #rate, #stride')) return;
      // A rate is asked for before gradio hears of it. What gradio says later is the same choice.
      if (control.matches('#rate input[type=range]') && wanted()) ask({...wanted(), rate: Number(control.value)});
      clearTimeout(resting);
      resting = setTimeout(() => trigger('select'), REST);
    }, true);
  }

  // What a frame of the camera is segmented with.
  const settings = () => ({model: wanted()?.model, rate: wanted()?.rate, stride: wanted()?.stride, crf: wanted()?.crf});

  return {choose, choosePhoto, again: () => asked?.again(), begin, settings, wanted};
})();
