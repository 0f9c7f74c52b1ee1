// The Segment tab's questions to the server: a photo with the network and settings chosen. One is on its way at a time; of
// the choices that are made meanwhile, the newest goes next. They pass gradio's queue by, and wait in a line of their own.
window.questions = (() => {
  const PATIENCE = 1000;  // milliseconds after which whoever waits is told their place, and again
  let wanted = null, failed = false, go = () => {};

  // What is chosen now: {photo: a file of gradio's or null, model, rate, stride}. The same choice is not asked for twice.
  function choose({photo, model, rate, stride}) {
    const choice = {photo: photo && {path: photo.path}, model, rate, stride};
    if (!model || !failed && JSON.stringify(choice) === JSON.stringify(wanted)) return;
    [wanted, failed] = [choice, false];
    go();
  }

  // Another photo with the settings as they are, before gradio hears of it.
  const choosePhoto = photo => { if (wanted) choose({...wanted, photo}); };

  // The same choice once more, if it led to nothing.
  const again = () => { if (failed) choose(wanted); };

  // From now on, questions go to `server` and answers to `drawn`, see `drawing.result`; `element` holds both.
  function begin(element, server, drawn) {
    const waiting = element.querySelector('.waiting');
    let asking = false;

    async function ask(question) {
      const ticket = String(Math.random());
      let answered = false;
      const timer = setInterval(async () => {
        const place = await server.place(ticket).catch(() => null);
        if (!answered) waiting.textContent = place == null ? 'Working …' : place ? `Waiting: ${place} before you` : 'Waiting: you are next';
      }, PATIENCE);
      const answer = await server.ask({...question, ticket}).catch(() => null);  // or nothing: gradio keeps what failed to itself
      answered = true;
      clearInterval(timer);
      waiting.textContent = '';
      return answer ?? (question.photo ? {problem: 'The server does not answer: try again later.'} : null);
    }

    go = async () => {
      if (asking) return;
      asking = true;
      for (let question = null; question !== wanted;) {
        question = wanted;
        const answer = await ask(question);
        const shown = await drawn.show(answer).then(() => true, () => false);
        if (!shown) await drawn.show({problem: 'The photo could not be fetched: choose it again.'});
        if (question === wanted) failed = !shown || Boolean(answer?.problem);  // then the same choice may be made again
      }
      asking = false;
    };
    if (wanted) go();
  }

  // What a frame of the camera is segmented with.
  const settings = () => ({model: wanted?.model, rate: wanted?.rate, stride: wanted?.stride});

  return {choose, choosePhoto, again, begin, settings};
})();
