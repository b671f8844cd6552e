"use strict";
// The viewer of a Saccade report: three linked planes through one voxel of a case, with contours and attention.
// Voxels are (i, j, k) in RAS order: i grows to the patient's right, j to the front, k to the head.
(() => {
  const root = document.getElementById("viewer");
  if (!root) return;
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const part = (name) => root.querySelector(`[data-part="${name}"]`);

  // A plane shows axis u from right to left and axis v from bottom to top, at one index of axis w: the radiological
  // convention, with the front at the left of the sagittal plane.
  const PLANES = [
    { name: "axial", u: 0, v: 1, w: 2, edges: ["R", "A", "L", "P"] },
    { name: "coronal", u: 0, v: 2, w: 1, edges: ["R", "S", "L", "I"] },
    { name: "sagittal", u: 1, v: 2, w: 0, edges: ["A", "S", "P", "I"] },
  ];
  const { unpack, cut, cutBetween, valueAt, paint, palette, outlines, drawLetters } = slices;
  for (const plane of PLANES) {
    plane.figure = root.querySelector(`[data-plane="${plane.name}"]`);
    plane.canvas = plane.figure.querySelector("canvas");
    plane.slider = plane.figure.querySelector("input");
    plane.place = plane.figure.querySelector("output");
  }
  const state = { number: 0, at: [0, 0, 0], window: [0, 1], map: 0, active: PLANES[0], enlarged: null };
  let open = null; // the case that is shown: its entry and its unpacked volumes
  let ticket = 0; // of the latest request: a slower, earlier one is dropped
  let waiting = false; // whether a drawing is due

  async function show(number) {
    const entry = data.cases[number];
    const mine = ++ticket;
    state.number = number;
    root.setAttribute("aria-busy", "true");
    part("status").textContent = `unpacking ${entry.name} …`;
    const load = (volume) => (volume === null ? null : unpack(volume));
    try {
      const [image, truth, prediction] = await Promise.all([entry.image, entry.truth, entry.prediction].map(load));
      const maps = await Promise.all(entry.maps.map((map) => unpack(map.volume)));
      if (mine !== ticket) return;
      open = { entry, image, truth, prediction, maps };
    } catch (error) {
      part("status").textContent = `This browser cannot unpack the volumes (${error.message}). Any of 2023 or later can.`;
      return;
    }
    state.at = [...entry.start];
    state.map = Math.max(Math.min(state.map, entry.maps.length - 1), 0);
    fillControls(entry);
    setWindow(...entry.windows[0].slice(1));
    layOut();
    root.setAttribute("aria-busy", "false");
  }

  // ---- drawing

  function draw() {
    waiting = false;
    for (const plane of PLANES) if (!plane.figure.hidden) drawPlane(plane);
    describe();
  }

  function redraw() {
    if (waiting || !open) return;
    waiting = true;
    requestAnimationFrame(draw);
  }

  function drawPlane(plane) {
    const { entry } = open;
    const [width, height] = [entry.shape[plane.u], entry.shape[plane.v]];
    const index = state.at[plane.w];
    const pen = plane.canvas.getContext("2d");
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, plane.canvas.width, plane.canvas.height);
    pen.imageSmoothingQuality = "high";
    if (shown("image")) paint(pen, cut(open.image, entry.shape, plane, index), width, height, greys());
    const map = entry.maps[state.map];
    if (map && !map.flat && shown("attention")) {
      const values = cutBetween(open.maps[state.map], map.shape, plane, (index + 0.5) / entry.shape[plane.w]);
      pen.globalAlpha = opacity("attention");
      paint(pen, values, map.shape[plane.u], map.shape[plane.v], mapColours(map));
      pen.globalAlpha = 1;
    }
    for (const layer of ["truth", "prediction"]) {
      if (open[layer] && shown(layer)) drawOutlines(pen, cut(open[layer], entry.shape, plane, index), width, height, layer);
    }
    if (shown("crosshair")) drawCrosshair(pen, plane);
    drawLetters(pen, plane.edges);
    plane.slider.value = index;
    plane.place.textContent = `${plane.name} ${index + 1} / ${entry.shape[plane.w]}`;
  }

  function greys() {
    const [low, high] = state.window;
    return palette((n) => {
      const grey = (255 * (open.entry.levels[n] - low)) / Math.max(high - low, 1e-9);
      return [grey, grey, grey, 255];
    });
  }

  function mapColours(map) {
    const { limits, colours } = data.scales[map.name];
    return palette((n) => {
      const value = map.low + (n / 255) * (map.high - map.low);
      const step = Math.round((255 * (value - limits[0])) / (limits[1] - limits[0]));
      return colours.slice(4 * step, 4 * step + 4);
    });
  }

  function drawOutlines(pen, labels, width, height, layer) {
    const [x, y] = [pen.canvas.width / width, pen.canvas.height / height];
    const unit = devicePixelRatio;
    pen.save();
    pen.globalAlpha = opacity(layer);
    pen.lineJoin = "round";
    for (const { label, chain } of outlines(labels, width, height)) {
      pen.beginPath();
      for (const [column, row] of chain) pen.lineTo(column * x, row * y);
      pen.closePath();
      // A dark rim, without which light lines are lost on bright tissue.
      pen.setLineDash(layer === "prediction" ? [5 * unit, 3.5 * unit] : []);
      [pen.lineWidth, pen.strokeStyle] = [3 * unit, "rgb(0 0 0 / .5)"];
      pen.stroke();
      const lighter = layer === "prediction" ? 0.5 : 0;
      const colour = colourOf(open.entry.values[label - 1]).map((c) => Math.round(c + lighter * (255 - c)));
      [pen.lineWidth, pen.strokeStyle] = [1.6 * unit, `rgb(${colour.join(" ")})`];
      pen.stroke();
    }
    pen.restore();
  }

  function drawCrosshair(pen, plane) {
    const { width, height } = pen.canvas;
    const x = (1 - (state.at[plane.u] + 0.5) / open.entry.shape[plane.u]) * width;
    const y = (1 - (state.at[plane.v] + 0.5) / open.entry.shape[plane.v]) * height;
    const gap = 9 * devicePixelRatio;
    pen.lineWidth = devicePixelRatio;
    pen.strokeStyle = "rgb(255 214 90 / .8)";
    pen.beginPath();
    for (const [a, b, c, d] of [[0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height]]) {
      pen.moveTo(a, b);
      pen.lineTo(c, d);
    }
    pen.stroke();
  }

  // ---- words

  function colourOf(value) {
    const [red, green, blue] = data.colours[value] || [255, 255, 255];
    const light = 0.3 * red + 0.6 * green + 0.1 * blue;
    const share = Math.max(0, (100 - light) / (255 - light)); // of white: dark blue cannot be seen on a scan
    return [red, green, blue].map((c) => Math.round(c + share * (255 - c)));
  }

  function say(value, digits = 3) {
    return String(Number(value.toPrecision(digits))).replace("-", "−");
  }

  function describe() {
    const { entry } = open;
    const mm = entry.affine.map((row) => row[0] * state.at[0] + row[1] * state.at[1] + row[2] * state.at[2] + row[3]);
    const words = [`(${mm.map((x) => x.toFixed(1).replace("-", "−")).join(", ")}) mm RAS`];
    const value = entry.levels[valueAt(open.image, entry.shape, state.at)];
    words.push(`${entry.unit ? "" : "value "}${say(value)} ${entry.unit}`.trim());
    for (const layer of ["truth", "prediction"]) {
      if (!open[layer]) continue;
      const index = valueAt(open[layer], entry.shape, state.at);
      const label = index ? entry.values[index - 1] : 0;
      words.push(`${layer}: ${index ? data.names[label] || label : "background"}`);
    }
    const map = entry.maps[state.map];
    if (map) {
      const at = state.at.map((x, axis) => Math.floor(((x + 0.5) / entry.shape[axis]) * map.shape[axis]));
      const step = valueAt(open.maps[state.map], map.shape, at);
      words.push(`attention: ${say(map.low + (step / 255) * (map.high - map.low))}`);
    }
    part("status").textContent = words.join(" · ");
    const [low, high] = state.window;
    part("window").textContent = `${say(low)} to ${say(high)} ${entry.unit}`;
  }

  function fillControls(entry) {
    part("name").textContent = `${entry.name}${entry.dice === null ? "" : `, mean Dice ${entry.dice.toFixed(3)}`}`;
    part("rank").textContent = `${state.number + 1} of ${data.cases.length}, worst first`;
    const [now, file] = [entry.shape.join(" × "), entry.original.join(" × ")];
    const size = now === file ? `${now} voxels` : `${now} of the file's ${file} voxels`;
    part("grid").textContent = `Shown: ${size} (right, front, head), ${entry.levels.length} grey levels`;
    part("presets").replaceChildren(
      ...entry.windows.map(([name, low, high], n) => button(`${name} (${n + 1})`, () => setWindow(low, high))),
    );
    part("organs").replaceChildren(...entry.organs.map(organButton));
    part("maps").replaceChildren(...entry.maps.map((map, n) => new Option(map.name, n)));
    part("maps").value = state.map;
    for (const layer of ["truth", "prediction"]) layerBox(layer).disabled = open[layer] === null;
    for (const control of [layerBox("attention"), part("maps")]) control.disabled = entry.maps.length === 0;
    describeMap();
    for (const row of document.querySelectorAll("[data-case]")) {
      row.closest("tr").classList.toggle("chosen", Number(row.dataset.case) === state.number);
    }
  }

  function describeMap() {
    const map = open.entry.maps[state.map];
    let text = "no attention map of this case";
    if (map && map.flat) text = `${say(map.low)} everywhere: no overlay`;
    else if (map) text = `values ${say(map.low)} to ${say(map.high)}, colours ${data.scales[map.name].limits.map((x) => say(x)).join(" to ")}`;
    part("map-range").textContent = text;
    drawBar(map);
  }

  function drawBar(map) {
    const canvas = part("bar");
    canvas.hidden = !map;
    if (!map) return;
    const pen = canvas.getContext("2d");
    const { colours } = data.scales[map.name];
    pen.fillStyle = "#4d4d4d";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.globalAlpha = opacity("attention");
    paint(pen, Uint8Array.from({ length: 256 }, (_, n) => n), 256, 1, palette((n) => colours.slice(4 * n, 4 * n + 4)));
    pen.globalAlpha = 1;
  }

  function button(text, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", act);
    return made;
  }

  function organButton(organ) {
    const made = button(` ${organ.name} ${organ.dice === null ? "–" : organ.dice.toFixed(3)}`, () => moveTo(organ.at));
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = `rgb(${colourOf(organ.value).join(" ")})`;
    made.prepend(swatch);
    made.disabled = organ.at === null || organ.at === undefined;
    return made;
  }

  // ---- what the reader does

  const layerBox = (layer) => root.querySelector(`[data-layer="${layer}"]`);
  const opacityOf = (layer) => root.querySelector(`[data-opacity="${layer}"]`);
  const shown = (layer) => layerBox(layer).checked;
  const opacity = (layer) => Number(opacityOf(layer).value) / 100;

  function moveTo(at) {
    state.at = at.map((x, axis) => Math.min(Math.max(Math.round(x), 0), open.entry.shape[axis] - 1));
    redraw();
  }

  function moveSlice(plane, index) {
    state.active = plane;
    moveTo(state.at.map((x, axis) => (axis === plane.w ? index : x)));
  }

  function setWindow(low, high) {
    state.window = [low, Math.max(high, low + 1e-6)];
    redraw();
  }

  // All planes at one scale in mm: three in a row where there is room, else two, on a telephone one.
  function layOut() {
    const { shape, spacing } = open.entry;
    const mm = shape.map((size, axis) => size * spacing[axis]);
    const thick = PLANES.filter((plane) => plane === PLANES[0] || (shape[plane.u] > 1 && shape[plane.v] > 1));
    const visible = thick.includes(state.enlarged) ? [state.enlarged] : thick;
    const [room, gap] = [part("planes").clientWidth, 12];
    const tallest = Math.max((state.enlarged ? 0.95 : 0.6) * innerHeight, 300);
    const inRow = Math.min(visible.length, room >= 1000 ? 3 : room >= 480 ? 2 : 1);
    let scale = Math.min(...visible.map((plane) => tallest / mm[plane.v]));
    for (let n = 0; n < visible.length; n += inRow) {
      const row = visible.slice(n, n + inRow);
      scale = Math.min(scale, (room - gap * (row.length - 1)) / row.reduce((sum, plane) => sum + mm[plane.u], 0));
    }
    for (const plane of PLANES) {
      plane.figure.hidden = !visible.includes(plane);
      const [width, height] = [Math.floor(mm[plane.u] * scale), Math.floor(mm[plane.v] * scale)];
      plane.canvas.style.width = plane.figure.style.width = `${width}px`;
      plane.canvas.style.height = `${height}px`;
      plane.canvas.width = Math.max(Math.round(width * devicePixelRatio), 1);
      plane.canvas.height = Math.max(Math.round(height * devicePixelRatio), 1);
      plane.slider.max = shape[plane.w] - 1;
    }
    redraw();
  }

  function followPointer(plane) {
    let drag = null; // where it began, and the window then; null while the button is up
    let turned = 0;
    const point = (event) => {
      const box = plane.canvas.getBoundingClientRect();
      const at = [...state.at];
      at[plane.u] = (1 - (event.clientX - box.left) / box.width) * open.entry.shape[plane.u] - 0.5;
      at[plane.v] = (1 - (event.clientY - box.top) / box.height) * open.entry.shape[plane.v] - 0.5;
      moveTo(at);
    };
    plane.canvas.addEventListener("pointerdown", (event) => {
      if (!open) return;
      state.active = plane;
      plane.canvas.setPointerCapture(event.pointerId);
      drag = { x: event.clientX, y: event.clientY, window: state.window, windowing: event.button === 2 || event.shiftKey };
      if (!drag.windowing) point(event);
    });
    plane.canvas.addEventListener("pointermove", (event) => {
      if (!drag) return;
      if (!drag.windowing) return point(event);
      const [low, high] = drag.window;
      const unit = (high - low) / 250;
      const width = Math.max(high - low + unit * (event.clientX - drag.x), unit);
      const level = (low + high) / 2 + unit * (event.clientY - drag.y);
      setWindow(level - width / 2, level + width / 2);
    });
    for (const end of ["pointerup", "pointercancel"]) plane.canvas.addEventListener(end, () => (drag = null));
    plane.canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    plane.canvas.addEventListener("wheel", (event) => {
      if (!open || event.ctrlKey) return; // the browser's own zoom
      event.preventDefault();
      turned += event.deltaY * (event.deltaMode ? 30 : 1);
      if (Math.abs(turned) < 40) return; // a touchpad sends many small steps
      moveSlice(plane, state.at[plane.w] - Math.sign(turned));
      turned = 0;
    }, { passive: false });
    plane.canvas.addEventListener("focus", () => (state.active = plane));
    plane.canvas.addEventListener("dblclick", () => enlarge(plane));
    plane.slider.addEventListener("input", () => open && moveSlice(plane, Number(plane.slider.value)));
  }

  function enlarge(plane) {
    state.enlarged = state.enlarged ? null : plane;
    layOut();
  }

  function toggle(layer) {
    if (!layerBox(layer).disabled) layerBox(layer).click();
  }

  function chooseMap(number) {
    state.map = number;
    part("maps").value = number;
    describeMap();
    redraw();
  }

  const LETTERS = {
    i: () => toggle("image"),
    t: () => toggle("truth"),
    p: () => toggle("prediction"),
    a: () => toggle("attention"),
    x: () => toggle("crosshair"),
    m: () => open.entry.maps.length && chooseMap((state.map + 1) % open.entry.maps.length),
    n: () => show((state.number + 1) % data.cases.length),
    b: () => show((state.number + data.cases.length - 1) % data.cases.length),
    e: () => enlarge(state.active),
    r: () => show(state.number),
  };
  const STEPS = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };

  function pressed(event) {
    if (!open || event.ctrlKey || event.altKey || event.metaKey || event.target.matches("select, textarea")) return;
    const preset = open.entry.windows[Number(event.key) - 1];
    const letter = Object.hasOwn(LETTERS, event.key) && LETTERS[event.key];
    const step = STEPS[event.key];
    // Arrows move a focused slider, and the page, unless the viewer is what the reader is looking at.
    const here = root.contains(event.target) || root.matches(":hover");
    if (preset) setWindow(preset[1], preset[2]);
    else if (letter) letter();
    else if (step && here && !event.target.matches('[type="range"]')) moveSlice(state.active, state.at[state.active.w] + step);
    else return;
    event.preventDefault();
  }

  PLANES.forEach(followPointer);
  root.addEventListener("input", (event) => {
    if (event.target.dataset.opacity === "attention" && open) describeMap();
    redraw();
  });
  part("maps").addEventListener("change", () => chooseMap(Number(part("maps").value)));
  part("next").addEventListener("click", LETTERS.n);
  part("back").addEventListener("click", LETTERS.b);
  document.addEventListener("keydown", pressed);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-case]");
    if (link) show(Number(link.dataset.case)); // the link itself scrolls to the viewer
  });
  addEventListener("resize", () => open && layOut());
  show(0);
})();
