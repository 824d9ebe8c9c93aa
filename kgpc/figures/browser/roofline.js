// The roofline picture: measured layers under the roofs that memory, cache and arithmetic make, one of them named.

function figureRoofline(root, {peak, bandwidth, cache_bandwidth: cache, ceilings, points}) {
  const kinds = [...new Set(points.map(point => point.kind))];
  const colors = [PALETTE.blue, PALETTE.vermillion, PALETTE.purple, PALETTE["sky blue"], PALETTE.green, PALETTE.orange, PALETTE.yellow];
  const color = point => colors[kinds.indexOf(point.kind) % colors.length];
  const roof = (intensity, bytes = bandwidth) => Math.min(peak, intensity * bytes);
  const rate = value => `${(value / 1e9).toPrecision(3)} Gflop/s`;
  let pointed = -1;
  const step = slider("layer", {min: 0, max: points.length - 1, value: 0},
    value => `${points[value].name}, ${points[value].kind}`, () => draw());
  const chart = svg("svg", {
    role: "img", pointermove: event => point(event, false), click: event => point(event, true),
    pointerleave: () => { pointed = -1; draw(); },
  });
  const said = spoken();
  const key = html("p", {class: "key"}, kinds.map((kind, index) =>
    html("span", {}, html("i", {style: `background:${colors[index % colors.length]};border-radius:${index % 2 ? 0 : "50%"}`}), kind)));
  root.append(step.node, said, chart, key);
  let places = [];

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
    const width = chart.clientWidth, height = clamp(width * 0.55, 240, 380), left = 46, right = width - 10, bottom = height - 36;
    if (!width) return;
    const corner = peak / bandwidth, log = Math.log10;
    const xs = [...points.map(one => one.intensity), corner], ys = [...points.map(one => one.rate), ...Object.values(ceilings), peak];
    const [x0, x1] = [log(Math.min(...xs) / 2), log(Math.max(...xs) * 2)], [y0, y1] = [log(Math.min(...ys) / 2), log(Math.max(...ys) * 1.4)];
    const x = value => left + (log(value) - x0) / (x1 - x0) * (right - left);
    const y = value => bottom - (log(value) - y0) / (y1 - y0) * (bottom - 10);
    const index = pointed >= 0 ? pointed : step.value, named = points[index];
    const nodes = [svg("path", {class: "axis", d: `M${left},8V${bottom}H${right}`})];
    for (let power = -3; power < 7; power++) {
      for (const digit of [1, 2, 5]) {
        const value = digit * 10 ** power;
        if (log(value) > x0 && log(value) < x1 && (width > 500 || digit === 1)) nodes.push(svg("text", {class: "middle", x: x(value), y: bottom + 15}, String(value)));
        if (log(value * 1e9) > y0 && log(value * 1e9) < y1) nodes.push(svg("text", {class: "end", x: left - 5, y: y(value * 1e9) + 4}, String(value)));
      }
    }
    nodes.push(svg("text", {class: "middle", x: (left + right) / 2, y: height - 4}, "operations per byte moved"), svg("text", {x: left + 6, y: 12}, "Gflop/s"));
    // The roof of memory and, dashed, of the cache; dotted, what a kind of product can reach.
    for (const bytes of cache === null ? [bandwidth] : [bandwidth, cache]) {
      const start = x(Math.max(10 ** x0, 10 ** y0 / bytes)), turn = Math.max(left, x(peak / bytes));
      nodes.push(svg("path", {fill: "none", stroke: "currentColor", "stroke-width": 2.5, "stroke-dasharray": bytes === bandwidth ? null : "9 5",
        d: `M${start},${y(roof(Math.max(10 ** x0, 10 ** y0 / bytes), bytes))}L${turn},${y(peak)}L${right},${y(peak)}`}));
    }
    for (const [name, value] of Object.entries(ceilings)) {
      nodes.push(svg("path", {stroke: "currentColor", "stroke-width": 1.5, "stroke-dasharray": "2 4", d: `M${left},${y(value)}H${right}`}),
        svg("text", {class: "end", x: right, y: y(value) - 5}, name));
    }
    // From the named point up to the roof: what is lost beside the two limits.
    nodes.push(svg("path", {stroke: "currentColor", "stroke-dasharray": "3 3", d: `M${x(named.intensity)},${y(named.rate)}V${y(roof(named.intensity))}`}));
    places = points.map(one => [x(one.intensity), y(one.rate)]);
    points.forEach((one, place) => {
      const [cx, cy] = places[place], size = place === index ? 8 : 5, look = {fill: color(one), stroke: "currentColor", "stroke-width": place === index ? 2.5 : 0.5};
      nodes.push(kinds.indexOf(one.kind) % 2 ? svg("rect", {x: cx - size, y: cy - size, width: 2 * size, height: 2 * size, ...look})
        : svg("circle", {cx, cy, r: size, ...look}));
    });
    const [cx, cy] = places[index], before = cx > width / 2;
    nodes.push(svg("text", {class: before ? "end" : "", x: cx + (before ? -13 : 13), y: cy + 18, style: "font-weight:700"}, named.name));
    const bound = named.intensity < corner ? "memory" : "arithmetic";
    said.textContent = `${named.name}, ${named.kind}: ${named.intensity.toPrecision(2)} operations per byte, ${rate(named.rate)}. ` +
      `The roof is ${rate(roof(named.intensity))} there, set by ${bound}; the layer reaches ${percent(named.rate / roof(named.intensity))} of it.` +
      (cache === null ? "" : ` Where the cache holds its feature maps the roof is ${rate(roof(named.intensity, cache))}.`);
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    chart.setAttribute("aria-label", said.textContent);
    chart.replaceChildren(...nodes);
  }

  draw();
  whenWide(chart, draw);
}
