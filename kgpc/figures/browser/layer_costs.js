// Two bar charts over the layers of a network, parameters and multiply-adds: whoever points at a layer in one of them
// sees it in both.

function figureLayerCosts(root, {networks}) {
  let pointed = -1;
  const network = choice("network", networks.map(({name}) => name), networks[0].name, () => {
    step.max = layers().length - 1;
    step.value = Math.min(step.value, layers().length - 1);
    update();
  });
  const layers = () => networks.find(({name}) => name === network.value).layers;
  const step = slider("layer", {min: 0, max: networks[0].layers.length - 1, value: 0}, value => layers()[value][0], () => mark());
  const said = spoken();
  const kinds = [...new Set(networks.flatMap(one => one.layers.map(layer => layer[1])))];
  const key = html("p", {class: "key"}, kinds.map(kind =>
    html("span", {}, html("i", {style: `background:${PARTS[kind] || "#767676"}`}), kind)));
  const charts = [["trainable parameters", 2], ["multiply-adds", 3]].map(([title, column]) => {
    const at = event => {
      const box = node.getBoundingClientRect();
      return clamp(Math.floor((event.clientX - box.left) / box.width * layers().length), 0, layers().length - 1);
    };
    const node = svg("svg", {
      role: "img", pointermove: event => { pointed = at(event); mark(); }, pointerleave: () => { pointed = -1; mark(); },
      click: event => { step.value = at(event); mark(); },
    });
    return {title, column, node, rows: []};
  });
  root.append(html("div", {class: "controls"}, network.node, step.node), said, ...charts.map(chart => chart.node), key);

  const sum = column => layers().reduce((total, layer) => total + layer[column], 0);

  function update() {
    // All networks are drawn to one scale, so that what grouping saved is seen when the network is changed.
    const width = charts[0].node.clientWidth, height = 150, top = 20;
    if (!width) return;
    for (const chart of charts) {
      const most = Math.max(...networks.flatMap(one => one.layers.map(layer => layer[chart.column])));
      const wide = width / layers().length;
      chart.rows = layers().map((layer, index) => {
        const tall = layer[chart.column] / most * (height - top);
        return svg("rect", {x: index * wide, y: height - tall, width: Math.max(wide - 1, 0.8), height: tall, fill: PARTS[layer[1]] || "#767676"});
      });
      chart.node.setAttribute("viewBox", `0 0 ${width} ${height + 4}`);
      chart.node.setAttribute("height", height + 4);
      chart.node.replaceChildren(svg("text", {x: 0, y: 12}, `${chart.title}: ${whole(sum(chart.column))} in these layers`),
        svg("path", {class: "axis", d: `M0,${height}H${width}`}), ...chart.rows);
    }
    mark();
  }

  function mark() {
    const index = pointed >= 0 ? pointed : step.value, [name, kind, ...values] = layers()[index];
    for (const chart of charts) {
      chart.rows.forEach((row, place) => {
        row.setAttribute("stroke", place === index ? "currentColor" : "none");
        row.setAttribute("stroke-width", 2);
        row.setAttribute("opacity", place === index ? 1 : 0.8); // still bright on a dark page
      });
    }
    const share = (value, column) => `${whole(value)} (${percent(value / (sum(column) || 1))})`;
    said.textContent = `${name}, ${kind}: ${share(values[0], 2)} of the parameters, ${share(values[1], 3)} of the multiply-adds.`;
    charts.forEach(chart => chart.node.setAttribute("aria-label", `${chart.title} of each layer. ${said.textContent}`));
  }

  update();
  whenWide(charts[0].node, update);
}
