// Accuracy against size: a dot for each run, over parameters or, switched, over flops.

function figureAccuracies(root, {rows, published, own}) {
  const AXES = {parameters: ["parameters", "trainable parameters"], flops: ["flops", "flops of one image, as the paper counts them"]};
  // Published networks are rings of one colour with their names beside them: colours are for those compared here.
  const networks = [...new Set(rows.filter(row => !row.published).map(row => row.network))];
  const colors = Object.values(PALETTE);
  const color = row => colors[networks.indexOf(row.network) % colors.length];
  // Networks beyond the colours are told apart by their shape.
  const shape = row => Math.floor(networks.indexOf(row.network) / colors.length) % 2;
  let pointed = -1, places = [];
  const over = choice("over", Object.keys(AXES), "parameters", () => draw());
  const step = slider("run", {min: 0, max: rows.length - 1, value: 0},
    value => `${rows[value].network}, ${rows[value].run}`, () => draw());
  const chart = svg("svg", {
    role: "img", pointermove: event => point(event, false), click: event => point(event, true),
    pointerleave: () => { pointed = -1; draw(); },
  });
  const said = spoken();
  const key = html("p", {class: "key"}, networks.map(name => {
    const row = rows.find(one => one.network === name && !one.published);
    return html("span", {}, html("i", {style: `background:${color(row)};border-radius:${shape(row) ? 0 : "50%"}`}), name);
  }));
  const kinds = html("p", {class: "key"},
    rows.some(row => !row.published) ? html("span", {}, `dots, own: ${own}`) : null,
    rows.some(row => row.published) ? html("span", {}, html("i", {class: "ring"}), `published: ${published}`) : null);
  root.append(html("div", {class: "controls"}, over.node, step.node), said, chart, key, kinds);

  function point(event, keep) {
    const box = chart.getBoundingClientRect();
    const distance = ([x, y]) => Math.hypot(x - event.clientX + box.left, y - event.clientY + box.top);
    const nearest = places.reduce((best, place, index) => distance(place) < distance(places[best]) ? index : best, 0);
    if (distance(places[nearest]) > 40) return;
    if (keep) step.value = nearest;
    pointed = nearest;
    draw();
  }

  function draw() {
    const width = chart.clientWidth, height = clamp(width * 0.55, 240, 380), left = 46, right = width - 12, bottom = height - 36;
    if (!width) return;
    const [column, title] = AXES[over.value], log = Math.log10;
    const xs = rows.map(row => row[column]), ys = rows.map(row => row.accuracy_percent);
    const [x0, x1] = [log(Math.min(...xs)) - 0.1, log(Math.max(...xs)) + 0.1];
    const [y0, y1] = [Math.floor(Math.min(...ys)) - 1, Math.min(Math.ceil(Math.max(...ys)) + 1, 100)];
    const x = value => left + (log(value) - x0) / (x1 - x0) * (right - left);
    const y = value => bottom - (value - y0) / (y1 - y0) * (bottom - 12);
    const index = pointed >= 0 ? pointed : step.value, named = rows[index];
    const nodes = [svg("path", {class: "axis", d: `M${left},8V${bottom}H${right}`})];
    const stepOfTicks = [1, 2, 5, 10, 20].find(size => (y1 - y0) / size <= 8) || 20;
    for (let tick = Math.ceil(y0 / stepOfTicks) * stepOfTicks; tick <= y1; tick += stepOfTicks) {
      nodes.push(svg("text", {class: "end", x: left - 5, y: y(tick) + 4}, `${tick}%`),
        svg("path", {class: "axis", d: `M${left},${y(tick)}H${right}`, "stroke-opacity": 0.4}));
    }
    for (let power = Math.floor(x0); power <= x1; power++) {
      for (const digit of [1, 2, 5]) {
        const value = digit * 10 ** power;
        if (log(value) < x0 || log(value) > x1 || (width < 500 && digit === 5)) continue;
        const short = value >= 1e9 ? `${value / 1e9}G` : value >= 1e6 ? `${value / 1e6}M` : value >= 1e3 ? `${value / 1e3}k` : `${value}`;
        nodes.push(svg("text", {class: "middle", x: x(value), y: bottom + 15}, short));
      }
    }
    nodes.push(svg("text", {class: "middle", x: (left + right) / 2, y: height - 3}, `${title}, logarithmic`));
    places = rows.map(row => [x(row[column]), y(row.accuracy_percent)]);
    rows.forEach((row, place) => {
      const [cx, cy] = places[place], size = place === index ? 8 : 5;
      if (row.published) {
        const leftwards = cx > (left + right) / 2;  // in the right half the name stands to the left, within the chart
        nodes.push(svg("circle", {cx, cy, r: size, fill: "none", stroke: "currentColor", "stroke-width": 2}),
          svg("text", {class: leftwards ? "end" : "", x: cx + (leftwards ? -11 : 11), y: cy + 4}, row.network));
        return;
      }
      const look = {fill: color(row), stroke: "currentColor", "stroke-width": place === index ? 2 : 0.5};
      nodes.push(shape(row) ? svg("rect", {x: cx - size, y: cy - size, width: 2 * size, height: 2 * size, ...look})
        : svg("circle", {cx, cy, r: size, ...look}));
    });
    said.textContent = `${named.network}, ${named.run}${named.published ? " (published)" : ""}: ${named.accuracy_percent.toFixed(2)}% with ` +
      `${whole(named.parameters)} parameters and ${whole(named.flops)} flops.`;
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    chart.setAttribute("aria-label", said.textContent);
    chart.replaceChildren(...nodes);
  }

  draw();
  whenWide(chart, draw);
}
