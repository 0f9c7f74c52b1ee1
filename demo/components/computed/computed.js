// Questions of the page to the server, past gradio's events: one request, one answer.
//
// `latest` puts them: one is on its way at a time, and of the choices that are made meanwhile the newest goes next, so no
// answer can overtake another. `computed` is for places whose HTML the server makes from controls.
window.latest = (server, waiting, show) => {
  const PATIENCE = 1000;  // milliseconds until a visitor who waits is told their position, and between two such updates
  let wanted = null, key = null, asking = false, failed = false;

  async function put(question) {
    const ticket = String(Math.random());
    let answered = false;
    const timer = setInterval(async () => {
      const position = await server.position(ticket).catch(() => null);
      if (!answered) waiting.textContent = position == null ? 'Working …' : position ? `Waiting: ${position} before you` : 'Waiting: you are next';
    }, PATIENCE);
    const answer = await server.ask({...question, ticket}).catch(() => undefined);  // gradio keeps the reason to itself
    answered = true;
    clearInterval(timer);
    waiting.textContent = '';
    return answer === undefined ? {problem: 'The server does not answer: try again later.'} : answer;
  }

  async function go() {
    asking = true;
    for (let question = null; question !== wanted;) {
      question = wanted;
      for (let step = 0, more = true; more && question === wanted; step++) {
        const answer = await put({...question, step});
        if (answer?.gone && question === wanted) failed = true;  // so that it is asked again once the photo is there
        if (answer?.gone && await window.sendAgain?.(answer.gone)) break;
        const shown = await Promise.resolve(show(answer, question)).then(() => true, () => false);
        if (!shown) await show({problem: 'The photo could not be fetched: choose it again.'}, question);
        more = Boolean(shown && answer?.more);
        if (question === wanted) failed = !shown || Boolean(answer?.problem);  // then the same choice may be made again
      }
    }
    asking = false;
  }

  return {
    // Ask for a choice. The same choice is not asked for twice, unless it failed.
    ask(question) {
      const now = JSON.stringify(question);
      if (!failed && now === key) return;
      [wanted, key, failed] = [question, now, false];
      if (!asking) go();
    },
    // The last choice once more, if it failed.
    again() { if (failed) this.ask(wanted); },
    get wanted() { return wanted; },
  };
};

window.computed = (() => {
  const views = {};

  // Of a file, the server is told where it lies.
  const plain = value => value?.path ? {path: value.path} : value;

  // Show `answer` in `place` and in the other elements that it names; a problem takes the place of all of them.
  function draw(place, others, answer) {
    const html = answer?.problem ? {'': ''} : answer?.html ?? {};
    if (answer?.problem) for (const id of others) html[id] = '';
    for (const [id, content] of Object.entries(html)) {
      const target = id ? document.getElementById(id) : place;
      if (id) others.add(id);
      if (target) target.innerHTML = content;
    }
    if (answer?.problem) {
      const box = document.createElement('div'), words = document.createElement('p');
      Object.assign(box, {className: 'panels empty', role: 'alert'});
      words.className = 'problem';
      words.textContent = answer.problem;
      box.append(words);
      place.append(box);
    }
    place.dispatchEvent(new CustomEvent('answered', {bubbles: true}));
  }

  // Make `element` a place that asks when it comes into view and after each choice. `show` draws an answer instead of
  // `draw`, and `extra` gives one value more than gradio's controls have. Returns what holds the HTML.
  function begin(element, server, trigger, id, /** @type {{show?: Show, extra?: () => object}} */ {show, extra} = {}) {
    const place = element.querySelector('.answer'), others = new Set();
    const questions = latest(server, element.querySelector('.waiting'), show ?? (answer => draw(place, others, answer)));
    let last = null;
    views[id] = (values = last) => {
      last = values;
      if (values && element.offsetParent) questions.ask({values: [...values.map(plain), ...extra ? [extra()] : []]});
    };
    const inView = new IntersectionObserver(entries => { if (entries.at(-1).isIntersecting) trigger('shown'); }, {rootMargin: '9999px'});
    inView.observe(element);
    return place;
  }

  return {
    begin,
    draw: (place, answer) => draw(place, new Set(), answer),
    choose: (id, values) => views[id]?.(values),
    // Ask again with gradio's values as they are, and another extra one.
    again: id => views[id]?.(),
  };
})();
