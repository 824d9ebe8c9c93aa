// What all figures share: elements, controls, scales, the theme of the page, and the start.
// Texts of the data are only ever set as text, never as HTML, and nothing is fetched.

// Colours of Okabe and Ito, as in kgpc.plots.style, which a test compares. Black is left out: it cannot be seen on a
// dark page.
const PALETTE = {
  blue: "#0072B2", orange: "#E69F00", green: "#009E73", vermillion: "#D55E00", purple: "#CC79A7",
  "sky blue": "#56B4E9", yellow: "#F0E442",
};
const PARTS = {
  pointwise: PALETTE.blue, depthwise: PALETTE.orange, "other convolutions": PALETTE.green,
  "batch normalization": PALETTE["sky blue"], classifier: PALETTE.purple,
};

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child !== null));
  return node;
}
const html = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// The digits of a number are those of the notebooks, whatever the language of the browser.
const whole = value => Math.round(value).toLocaleString("en-US");
const percent = share => share >= 0.1 ? `${Math.round(100 * share)}%` : `${(100 * share).toFixed(1)}%`;
const counted = (count, noun, plural = noun + "s") => `${whole(count)} ${count === 1 ? noun : plural}`;

let labels = 0;  // for names that are the only one of their kind within a page

// A slider with its label and a text that says what its number means; arrow keys and touch come with the element.
function slider(label, {min, max, value}, tell, changed) {
  const name = `kgpc-slider-${++labels}`;
  const told = html("output", {for: name});
  const input = html("input", {id: name, type: "range", min, max, value, step: 1});
  const update = () => {
    told.textContent = tell(Number(input.value));
    input.setAttribute("aria-valuetext", told.textContent);
  };
  input.addEventListener("input", () => { update(); changed(Number(input.value)); });
  update();
  return {
    node: html("div", {class: "slider"}, html("label", {for: name}, label), told, input),
    get value() { return Number(input.value); },
    set value(number) { input.value = number; update(); },
    set max(number) { input.max = number; update(); },
    set min(number) { input.min = number; update(); },
    input,
  };
}

// A few things of which one is chosen; arrow keys move within the group.
function choice(legend, options, value, changed) {
  const name = `kgpc-choice-${++labels}`;
  const inputs = options.map(option => html("input", {
    type: "radio", name, value: option, checked: option === value, change: () => changed(option),
  }));
  const node = html("fieldset", {class: "choice"}, html("legend", {}, legend),
    inputs.map((input, index) => html("label", {}, input, html("span", {}, options[index]))));
  return {
    node,
    get value() { return inputs.find(input => input.checked).value; },
    set value(option) { inputs.find(input => input.value === option).checked = true; },
  };
}

const button = (text, pressed) => html("button", {type: "button", click: pressed}, text);

// A table of names and numbers whose cells are written anew.
function numbers(caption, names) {
  const cells = names.map(() => html("td"));
  const rows = names.map((name, index) => html("tr", {}, html("th", {scope: "row"}, name), cells[index]));
  return {
    node: html("table", {}, html("caption", {}, caption), html("tbody", {}, rows)),
    write: values => cells.forEach((cell, index) => { cell.textContent = values[index]; }),
  };
}

// Horizontal bars with their names and values; each has parts [share of the width, colour].
function bars(names) {
  const rows = names.map(name => {
    const strip = html("span", {class: "strip"}), value = html("span", {class: "value"});
    const head = html("span", {class: "name"}, name);
    return {strip, value, node: html("div", {class: "bar"}, head, value, strip)};
  });
  return {
    node: html("div", {class: "bars"}, rows.map(row => row.node)),
    write(index, parts, text, chosen) {
      rows[index].strip.replaceChildren(...parts.map(([share, color]) =>
        html("span", {style: `width:${(100 * share).toFixed(3)}%;background:${color}`})));
      rows[index].value.textContent = text;
      rows[index].node.classList.toggle("chosen", Boolean(chosen));
    },
  };
}

// Text that a screen reader says when it changes.
const spoken = () => html("p", {class: "said", role: "status", "aria-live": "polite"});

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// Calls back with the width that a node has, now and whenever it changes.
function whenWide(node, draw) {
  let width = 0;
  new ResizeObserver(() => {
    if (node.clientWidth && node.clientWidth !== width) draw(width = node.clientWidth);
  }).observe(node);
}

// A page is dark where its text is light: that holds for the site, JupyterLab, Colab and whatever comes next.
function isDark(host) {
  const [red, green, blue] = getComputedStyle(host).color.match(/[\d.]+/g).map(Number);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140;
}

function followTheme(host) {
  const look = () => host.classList.toggle("dark", isDark(host));
  // Some pages change an attribute first and load the colours after it.
  const soon = () => { look(); setTimeout(look, 300); };
  for (const node of [document.documentElement, document.body]) {
    new MutationObserver(soon).observe(node, {attributes: true});
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soon);
  look();
}

// Brings all figures of the page to life that are not alive yet. A shadow root keeps the styles of page and figure
// apart, and hides the picture and the text that stand in the element for when scripts are off.
function start(figures, style) {
  for (const host of document.querySelectorAll(".kgpc-figure:not([data-alive])")) {
    const {name, parameters} = JSON.parse(host.dataset.kgpc || "{}");
    if (!figures[name]) continue;
    host.dataset.alive = "";
    const root = html("div", {class: "figure"});
    host.attachShadow({mode: "open"}).append(html("style", {}, style), root);
    figures[name](root, parameters);
    followTheme(host);
  }
}
