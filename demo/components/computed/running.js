// A place that goes on by itself while it is in view: each answer asks for the next one, until somebody pauses it, or the server
// says `done`. A run has a name that nobody can guess, so that each visitor has their own; `Reset` begins another.
window.running = (element, server, trigger, id) => {
  const [go, reset] = element.querySelectorAll('button');
  const fresh = () => [...crypto.getRandomValues(new Uint8Array(16))].map(byte => byte.toString(16).padStart(2, '0')).join('');
  let run = fresh(), on = false, turn = 0;
  const place = computed.begin(element, server, trigger, id, {extra: () => ({run, on, turn}), show});

  // What a page shows stays where it is: label maps get new labels, and what is said of them new words.
  function draw(html) {
    const next = document.createElement('div');
    next.innerHTML = html;
    const [old, now] = [place, next].map(one => /** @type {HTMLElement[]} */ ([...one.querySelectorAll('p, svg, figcaption, label-map')]));
    const photo = (/** @type {Element} */ one) => one.querySelector('figure')?.dataset.photo;
    if (photo(place) !== photo(next) || old.length !== now.length) {
      place.replaceChildren(...next.childNodes);
      return;
    }
    for (const [at, one] of old.entries()) {
      if (!one.matches('label-map')) one.replaceWith(now[at]);
      else if (one.dataset.labels !== now[at].dataset.labels) {
        one.dataset.labels = now[at].dataset.labels;
        one.parentElement.ariaLabel = now[at].parentElement.ariaLabel;
      }
    }
  }

  function show(answer) {
    if (answer?.html) draw(answer.html['']);
    else computed.draw(place, answer);
    if (!answer?.html || answer.done) on = false;
    go.textContent = on ? 'Pause' : 'Train';
    go.disabled = Boolean(answer?.done);
    if (on) next();
  }

  function next() {
    turn++;
    computed.again(id);
  }
  go.addEventListener('click', () => {
    on = !on;
    go.textContent = on ? 'Pause' : 'Train';
    next();
  });
  reset.addEventListener('click', () => {
    [run, on] = [fresh(), false];
    next();
  });
};
