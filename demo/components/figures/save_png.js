// The button `save-png` in each `figure` saves all that stands above or beside it, as it looks now, without asking the server:
// the browser draws the figure's own markup, with the styles it has on the page, into a canvas at twice its size or more.
(() => {
  const PROPERTIES = ['align-items', 'aspect-ratio', 'background', 'border', 'border-collapse', 'border-radius',
    'box-sizing', 'color', 'column-gap', 'display', 'dominant-baseline', 'fill', 'fill-opacity', 'filter', 'flex',
    'flex-flow', 'font-family', 'font-size', 'font-style', 'font-variant-numeric', 'font-weight',
    'grid-template-columns', 'height', 'image-rendering', 'inset', 'justify-content', 'line-height', 'list-style',
    'margin', 'mask', 'max-width', 'object-fit', 'opacity', 'overflow', 'padding', 'position', 'row-gap', 'rx', 'stroke',
    'stroke-dasharray', 'stroke-linecap', 'stroke-linejoin', 'stroke-opacity', 'stroke-width', 'text-align',
    'text-anchor', 'transform', 'vertical-align', 'visibility', 'white-space', 'width'];
  const EDGE = 16;  // pixels around the figure

  function embedded(source) {
    const canvas = document.createElement('canvas');
    canvas.width = source.naturalWidth ?? source.width;
    canvas.height = source.naturalHeight ?? source.height;
    canvas.getContext('2d').drawImage(source, 0, 0);
    return Object.assign(new Image(), {src: canvas.toDataURL()});
  }

  function dressed(source) {
    const copy = ['CANVAS', 'IMG'].includes(source.nodeName) ? embedded(source) : source.cloneNode(false);
    if (source.nodeType === Node.ELEMENT_NODE) {
      const style = getComputedStyle(source);
      copy.removeAttribute('class');
      copy.setAttribute('style', PROPERTIES.map(name => `${name}:${style.getPropertyValue(name)}`).join(';'));
    }
    for (const child of (source.shadowRoot ?? source).childNodes)
      if (!child.classList?.contains('save-png')) copy.append(dressed(child));
    return copy;
  }

  async function save(button) {
    if (!drawing.readable()) {
      button.textContent = 'This browser does not let pages save pictures: it guards against fingerprinting';
      return;
    }
    const figure = button.closest('figure');
    let ground = figure;
    while (ground.parentElement && getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
    const top = part => part.getBoundingClientRect().top;
    const beside = getComputedStyle(button).position === 'absolute';  // and not below all the rest
    const width = figure.offsetWidth, height = beside ? figure.offsetHeight : top(button) - top(figure);
    const copy = dressed(figure);
    copy.style.margin = '0';
    const markup = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
      `<foreignObject width="100%" height="100%">${new XMLSerializer().serializeToString(copy)}</foreignObject></svg>`;
    const picture = new Image();
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(markup)}`;
    await picture.decode();
    const scale = Math.max(2, 1600 / width), canvas = document.createElement('canvas');
    canvas.width = (width + 2 * EDGE) * scale;
    canvas.height = (height + 2 * EDGE) * scale;
    const context = canvas.getContext('2d');
    context.scale(scale, scale);
    context.fillStyle = getComputedStyle(ground).backgroundColor;
    context.fillRect(0, 0, width + 2 * EDGE, height + 2 * EDGE);
    context.drawImage(picture, EDGE, EDGE, width, height);
    Object.assign(document.createElement('a'), {download: button.dataset.file, href: canvas.toDataURL('image/png')}).click();
  }

  document.addEventListener('click', event => {
    const button = /** @type {Element} */ (event.target).closest?.('button.save-png');
    if (button) save(button);
  });
})();
