"use strict";
// Packed volumes, the planes cut out of them, and the outlines of labels in a plane: nothing here knows of the page.
// A volume is 8-bit, axis i fastest; `shape` is its (i, j, k). Pictures are Uint8Arrays, rows from the top.
const slices = (() => {
  async function unpack(number) {
    const text = atob(document.getElementById(`volume-${number}`).textContent);
    const packed = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const values = new Uint8Array(await new Response(stream).arrayBuffer());
    for (let n = 1; n < values.length; n++) values[n] += values[n - 1]; // modulo 256, as it was packed
    return values;
  }

  function strides(shape) {
    return [1, shape[0], shape[0] * shape[1]];
  }

  function cut(volume, shape, plane, index) {
    const step = strides(shape);
    const [width, height] = [shape[plane.u], shape[plane.v]];
    const values = new Uint8Array(width * height);
    for (let v = height - 1, n = 0; v >= 0; v--) {
      const row = v * step[plane.v] + index * step[plane.w];
      for (let u = width - 1; u >= 0; u--) values[n++] = volume[row + u * step[plane.u]];
    }
    return values;
  }

  // A map's own grid is coarser than the scan's: the two nearest slices are mixed, the canvas does the rest.
  function cutBetween(volume, shape, plane, position) {
    const place = Math.min(Math.max(position * shape[plane.w] - 0.5, 0), shape[plane.w] - 1);
    const [low, share] = [Math.floor(place), place % 1];
    const values = cut(volume, shape, plane, low);
    if (share > 0) {
      const next = cut(volume, shape, plane, low + 1);
      for (let n = 0; n < values.length; n++) values[n] += Math.round(share * (next[n] - values[n]));
    }
    return values;
  }

  function valueAt(volume, shape, at) {
    const step = strides(shape);
    return volume[at[0] * step[0] + at[1] * step[1] + at[2] * step[2]];
  }

  function paint(pen, values, width, height, colours) {
    const pixels = new ImageData(width, height);
    const words = new Uint32Array(pixels.data.buffer);
    for (let n = 0; n < values.length; n++) words[n] = colours[values[n]];
    const small = document.createElement("canvas");
    [small.width, small.height] = [width, height];
    small.getContext("2d").putImageData(pixels, 0, 0);
    pen.drawImage(small, 0, 0, pen.canvas.width, pen.canvas.height);
  }

  // 256 colours, four bytes each, as the words that `paint` copies
  function palette(colourOf) {
    const bytes = new Uint8ClampedArray(1024);
    for (let n = 0; n < 256; n++) bytes.set(colourOf(n), 4 * n);
    return new Uint32Array(bytes.buffer);
  }

  // The outline of every label, as closed chains of the middles of the pixel edges that bound it.
  function outlines(labels, width, height) {
    const across = width + 1;
    const next = new Map(); // label -> corner -> corners that edges lead to, the label on their right
    const edge = (label, from, to) => {
      if (!next.has(label)) next.set(label, new Map());
      const edges = next.get(label);
      edges.has(from) ? edges.get(from).push(to) : edges.set(from, [to]);
    };
    for (let y = 0, n = 0; y < height; y++) {
      for (let x = 0; x < width; x++, n++) {
        const label = labels[n];
        if (label === 0) continue;
        const corner = y * across + x;
        if (y === 0 || labels[n - width] !== label) edge(label, corner, corner + 1);
        if (x === width - 1 || labels[n + 1] !== label) edge(label, corner + 1, corner + 1 + across);
        if (y === height - 1 || labels[n + width] !== label) edge(label, corner + 1 + across, corner + across);
        if (x === 0 || labels[n - 1] !== label) edge(label, corner + across, corner);
      }
    }
    const chains = [];
    for (const [label, edges] of next) {
      while (edges.size) {
        const chain = [];
        let from = edges.keys().next().value;
        while (edges.has(from)) {
          const to = edges.get(from).pop();
          if (!edges.get(from).length) edges.delete(from);
          chain.push([((from % across) + (to % across)) / 2, (Math.floor(from / across) + Math.floor(to / across)) / 2]);
          from = to;
        }
        chains.push({ label, chain });
      }
    }
    return chains;
  }

  // What lies at the left, top, right and bottom edge of a plane.
  function drawLetters(pen, letters) {
    const { width, height } = pen.canvas;
    const size = 12 * devicePixelRatio;
    const places = [[size * 0.7, height / 2], [width / 2, size * 0.8], [width - size * 0.7, height / 2], [width / 2, height - size * 0.7]];
    pen.font = `600 ${size}px system-ui, sans-serif`;
    [pen.textAlign, pen.textBaseline, pen.lineWidth] = ["center", "middle", 3 * devicePixelRatio];
    [pen.strokeStyle, pen.fillStyle] = ["rgb(0 0 0 / .7)", "#e4e7eb"];
    letters.forEach((letter, n) => {
      pen.strokeText(letter, ...places[n]);
      pen.fillText(letter, ...places[n]);
    });
  }

  return { unpack, cut, cutBetween, valueAt, paint, palette, outlines, drawLetters };
})();
