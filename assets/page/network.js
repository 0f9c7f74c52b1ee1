// Runs a network in a worker: a photo in, its label map out. As `Segmenter` does it in Python: `encode` once a photo, `decode`
// once a rate, and the label map is interpolated from logits at the decoder's stride.
'use strict';
(() => {
  let ort, encoder, decoder, facts, kept;

  const ways = {load, encode, decode};
  self.onmessage = async ({data: {id, way, given}}) => {
    try {
      self.postMessage({id, answer: await ways[way](given)});
    } catch (error) {
      self.postMessage({id, error: String(error?.message ?? error)});
    }
  };

  // The runtime, from its JavaScript and its WebAssembly, and the two graphs. Without the headers that let pages share
  // memory there is one thread.
  async function load({javascript, wasm, graphs, about}) {
    const address = URL.createObjectURL(new Blob([javascript], {type: 'text/javascript'}));
    ort = await import(address);
    Object.assign(ort.env.wasm, {wasmBinary: wasm, numThreads: 1});
    const options = {executionProviders: ['wasm']};
    encoder = await ort.InferenceSession.create(graphs.encoder, options);
    decoder = await ort.InferenceSession.create(graphs.decoder, options);
    facts = about;
    return {};
  }

  // A photo's pixels, {width, height, data}, RGBA, become feature maps.
  async function encode({photo}) {
    const size = inputSize(photo), limits = facts.contrast ? contrastRange(photo, facts.contrast) : undefined;
    const image = new ort.Tensor('float32', normalised(resized(photo, size), facts, limits), [1, 3, size.height, size.width]);
    const started = performance.now();
    const maps = await encoder.run({image});
    kept = {maps, size};
    return {milliseconds: performance.now() - started, size};
  }

  // The label map of `size` of the photo that was encoded last, at a rate.
  async function decode({rate, size}) {
    const feeds = Object.fromEntries(decoder.inputNames.map(name => [name, kept.maps[name]]));
    if (decoder.inputNames.includes('atrous_rate'))
      feeds.atrous_rate = new ort.Tensor('int64', BigInt64Array.of(BigInt(rate)), []);
    const started = performance.now();
    const {logits} = await decoder.run(feeds);
    const milliseconds = performance.now() - started;
    const [, count, height, width] = logits.dims;
    const scores = {data: logits.data, count, height, width};
    const cells = bestCells(scores);
    const labels = labelMap(scores, cells, size, facts.alignCorners ? kept.size : null);
    return {milliseconds, labels, shares: shares(labels, count), confidence: confidence(scores, cells)};
  }

  // Python rounds halves to the even neighbour.
  function round(value) {
    const down = Math.floor(value), rest = value - down;
    return rest > .5 || rest === .5 && down % 2 ? down + 1 : down;
  }

  // The size at which the network sees a photo; as `sizes.py`.
  function inputSize({width, height}) {
    const shorter = Math.min(width, height), longer = Math.max(width, height);
    let working = facts.largestWhole ? Math.min(longer, facts.largestWhole) : facts.workingSize;
    if (facts.shortSide) {
      const fitted = Math.floor(facts.shortSide * longer / shorter);
      if (fitted <= 2048) return width > height ? {width: fitted, height: facts.shortSide} : {width: facts.shortSide, height: fitted};
      working = 2048;
    }
    const scale = working / longer;
    const side = facts.alignCorners && !facts.shortSide
      ? length => Math.max(round((length * scale - 1) / 16), 2) * 16 + 1
      : length => Math.max(round(length * scale), 32);
    return {width: side(width), height: side(height)};
  }

  // Where each pixel of a smaller or larger edge gets its value from, and the weights, as whole numbers of `bits` bits: as torch
  // and Pillow interpolate 8-bit pictures with antialiasing, so that the network sees the very pixels that it sees in Python.
  function taps(length, wanted) {
    const scale = length / wanted, support = Math.max(scale, 1), places = [];
    let largest = 0;
    for (let at = 0; at < wanted; at++) {
      const centre = scale * (at + .5);
      const first = Math.max(Math.trunc(centre - support + .5), 0);
      const count = Math.min(Math.trunc(centre + support + .5), length) - first;
      const weights = Array.from({length: count}, (_, tap) => Math.max(1 - Math.abs((tap + first - centre + .5) / support), 0));
      const sum = weights.reduce((total, weight) => total + weight, 0);
      places.push({first, weights: weights.map(weight => weight / sum)});
      largest = Math.max(largest, ...places[at].weights);
    }
    let bits = 0;
    while (bits < 22 && Math.trunc(.5 + largest * 2 ** (bits + 1)) < 2 ** 15) bits++;
    for (const place of places) place.weights = Int32Array.from(place.weights, weight => Math.trunc(.5 + weight * 2 ** bits));
    return {places, bits};
  }

  // RGBA pixels at a size, as three bytes a pixel: along rows first, then along columns.
  function resized({data, width, height}, size) {
    const across = taps(width, size.width), down = taps(height, size.height);
    let rows = new Uint8ClampedArray(3 * size.width * height);
    if (size.width === width) for (let at = 0, to = 0; at < data.length; at++) { if (at % 4 < 3) rows[to++] = data[at]; }
    else for (let y = 0, to = 0; y < height; y++)
      for (const {first, weights} of across.places) {
        let red = 1 << across.bits - 1, green = red, blue = red;
        for (let tap = 0, at = 4 * (y * width + first); tap < weights.length; tap++, at += 4) {
          red += weights[tap] * data[at];
          green += weights[tap] * data[at + 1];
          blue += weights[tap] * data[at + 2];
        }
        rows[to++] = red >> across.bits;
        rows[to++] = green >> across.bits;
        rows[to++] = blue >> across.bits;
      }
    if (size.height === height) return rows;
    const row = 3 * size.width, picture = new Uint8ClampedArray(row * size.height), sums = new Int32Array(row);
    down.places.forEach(({first, weights}, y) => {
      sums.fill(1 << down.bits - 1);
      for (let tap = 0; tap < weights.length; tap++)
        for (let x = 0, at = (first + tap) * row, weight = weights[tap]; x < row; x++) sums[x] += weight * rows[at + x];
      for (let x = 0, to = y * row; x < row; x++) picture[to + x] = sums[x] >> down.bits;
    });
    return picture;
  }

  // The values of RGBA pixels that become black and white, as `contrast.py` has them: percentiles over all channels.
  function contrastRange({data}, percentiles) {
    const counts = new Float64Array(256), total = data.length / 4 * 3;
    for (let at = 0; at < data.length; at++) if (at % 4 < 3) counts[data[at]]++;
    const sorted = place => {  // the value at a place, were all of them sorted
      let value = 0;
      for (let before = counts[0]; before <= place; before += counts[++value]);
      return value;
    };
    return percentiles.map(percent => {
      const place = percent / 100 * (total - 1), below = sorted(Math.floor(place));
      return below + (place % 1) * (sorted(Math.ceil(place)) - below);
    });
  }

  // Three bytes a pixel as the input of the network, channel by channel; `limits` become black and white.
  function normalised(pixels, {mean, std}, limits = [0, 255]) {
    const [low, high] = limits, gain = 255 / Math.max(high - low, 1e-6);
    const plane = pixels.length / 3, image = new Float32Array(pixels.length);
    for (let channel = 0; channel < 3; channel++) {
      const table = Float32Array.from({length: 256}, (_, value) => Math.fround(Math.min(Math.max((value - low) * gain, 0), 255) - Math.fround(mean[channel])) / Math.fround(std[channel]));
      for (let at = channel, to = channel * plane; at < pixels.length; at += 3) image[to++] = table[pixels[at]];
    }
    return image;
  }

  // The best class of every cell.
  function bestCells({data, count, height, width}) {
    const plane = height * width, best = data.slice(0, plane), cells = new Uint8Array(plane);
    for (let label = 1, at = plane; label < count; label++)
      for (let cell = 0; cell < plane; cell++, at++)
        if (data[at] > best[cell]) { best[cell] = data[at]; cells[cell] = label; }
    return cells;
  }

  // Between which two of `count` cells each of `pixels` pixels lies, and how near to the second. `seen` is that edge as the
  // network saw it where cells lie on corners; each cell then lies a power of two pixels from the next.
  function between(count, pixels, seen) {
    let factor = 1;
    while (seen && Math.ceil(seen / factor) > count) factor *= 2;
    const first = new Int32Array(pixels), second = new Int32Array(pixels), share = new Float32Array(pixels);
    for (let at = 0; at < pixels; at++) {
      const place = seen ? ((at + .5) * seen / pixels - .5) / factor : (at + .5) * count / pixels - .5;
      const inside = Math.min(Math.max(place, 0), count - 1);
      first[at] = Math.floor(inside);
      second[at] = Math.min(first[at] + 1, count - 1);
      share[at] = inside - first[at];
    }
    return {first, second, share};
  }

  // The best class of every pixel of `size`; as `label_map.py`. Where one class wins in all four cells around a pixel it wins
  // there too, since interpolation is a weighted mean, so logits are interpolated along borders alone.
  function labelMap({data, count, height, width}, cells, size, seen) {
    const present = [...new Set(cells)].sort((one, other) => one - other), plane = height * width;
    const labels = new Uint8Array(size.width * size.height);
    if (present.length === 1) return labels.fill(present[0]);
    const rows = between(height, size.height, seen?.height), columns = between(width, size.width, seen?.width);
    for (let y = 0, at = 0; y < size.height; y++) {
      const above = rows.first[y] * width, below = rows.second[y] * width, down = rows.share[y];
      for (let x = 0; x < size.width; x++, at++) {
        const left = columns.first[x], right = columns.second[x], across = columns.share[x], cell = cells[above + left];
        labels[at] = cell;
        if (cell === cells[above + right] && cell === cells[below + left] && cell === cells[below + right]) continue;
        let most = -Infinity;
        for (const label of present) {
          const start = label * plane;
          const one = data[start + above + left] * (1 - down) + data[start + below + left] * down;
          const other = data[start + above + right] * (1 - down) + data[start + below + right] * down;
          const score = one * (1 - across) + other * across;
          if (score > most) { most = score; labels[at] = label; }
        }
      }
    }
    return labels;
  }

  // The part of a label map that each class covers.
  function shares(labels, count) {
    const found = new Float64Array(count);
    for (const label of labels) found[label] += 1 / labels.length;
    return found;
  }

  // The mean softmax probability of each class over the cells where it wins.
  function confidence({data, count}, cells) {
    const plane = cells.length, sums = new Float64Array(count), won = new Float64Array(count);
    for (let cell = 0; cell < plane; cell++) {
      const best = data[cells[cell] * plane + cell];
      let total = 0;
      for (let label = 0, at = cell; label < count; label++, at += plane) total += Math.exp(data[at] - best);
      sums[cells[cell]] += 1 / total;
      won[cells[cell]]++;
    }
    return sums.map((sum, label) => sum / won[label]);
  }

  self.network = {resized, contrastRange, labelMap, bestCells};
})();
