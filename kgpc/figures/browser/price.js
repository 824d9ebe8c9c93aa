// What grouping saves and what it costs: parameters as a bar, published accuracy as a point, both for the same network.

function figurePrice(root, {rows, counted_classes: published, classes, task}) {
  const families = [...new Set(rows.map(row => row.network))];
  const widthOf = row => row.channels_per_group === null ? "original" : `${row.channels_per_group} channels per group`;
  const shortOf = row => row.channels_per_group === null ? "original" : `${row.channels_per_group} channels`;
  // From the smallest groups to the largest; the original network has one group, so it comes last.
  const of = family => rows.filter(row => row.network === family)
    .sort((a, b) => (a.channels_per_group ?? Infinity) - (b.channels_per_group ?? Infinity));
  const classifier = row => classCount() * (row.features + 1);
  const parameters = row => row.parameters + (classCount() - published) * (row.features + 1);

  const family = choice("network", families, families[0], () => {
    size.max = of(family.value).length - 1;
    size.value = Math.min(size.value, of(family.value).length - 1);
    update();
  });
  const size = slider("size of the groups", {min: 0, max: of(families[0]).length - 1, value: 0},
    value => shortOf(of(family.value)[value]), update);
  const number = choice("classes", classes.map(String), String(published), update);
  const classCount = () => Number(number.value);
  const compared = bars(["original", "chosen"]);
  const key = html("p", {class: "key"}, [["all but the classifier", PARTS.pointwise], ["classifier", PARTS.classifier]].map(
    ([text, color]) => html("span", {}, html("i", {style: `background:${color}`}), text)));
  const chart = svg("svg", {role: "img"}), said = spoken();
  root.append(html("div", {class: "controls"}, family.node, number.node, size.node), said,
    html("div", {class: "beside"}, html("div", {}, html("strong", {}, "trainable parameters"), compared.node, key),
      html("div", {}, html("strong", {}, `published accuracy, ${task}`), chart)));

  function update() {
    const all = of(family.value), original = all[all.length - 1], row = all[size.value];
    const most = parameters(original);
    [original, row].forEach((one, index) => compared.write(index, [
      [(parameters(one) - classifier(one)) / most, PARTS.pointwise], [classifier(one) / most, PARTS.classifier],
    ], whole(parameters(one)), index === 1));
    const points = row.accuracy_percent - original.accuracy_percent;
    const price = row === original ? "" : `, ${Math.abs(points).toFixed(2)} points ${points < 0 ? "less" : "more"} than the original`;
    const saving = row === original ? "" : `, ${percent(1 - parameters(row) / most)} fewer`;
    const only = classCount() === published ? "" : ` Accuracy was published for ${published} classes only; with ${whole(classCount())} the classifier alone has ${whole(classifier(row))}.`;
    said.textContent = `${family.value}, ${widthOf(row)}: ${whole(parameters(row))} parameters${saving}; ` +
      `${row.accuracy_percent.toFixed(2)}% on ${task}${price}.${only}`;
    draw(all, row);
  }

  function draw(all, row) {
    const width = chart.clientWidth, height = 190, left = 44, right = width - 14, bottom = height - 34;
    if (!width) return;
    const counts = rows.flatMap(one => classes.map(count => one.parameters + (count - published) * (one.features + 1)));
    const [low, high] = [Math.min(...counts), Math.max(...counts)].map(Math.log10);
    const accuracies = rows.map(one => one.accuracy_percent);
    const bottomValue = Math.floor(Math.min(...accuracies)) - 0.5, topValue = Math.ceil(Math.max(...accuracies));
    const x = value => left + 8 + (Math.log10(value) - low) / (high - low) * (right - left - 16);
    const y = value => bottom - (value - bottomValue) / (topValue - bottomValue) * (bottom - 10);
    const nodes = [svg("path", {class: "axis", d: `M${left},8V${bottom}H${right}`})];
    for (let tick = Math.ceil(bottomValue); tick <= topValue; tick++) {
      nodes.push(svg("text", {class: "end", x: left - 5, y: y(tick) + 4}, `${tick}%`),
        svg("path", {class: "axis", d: `M${left},${y(tick)}H${right}`, "stroke-opacity": 0.4}));
    }
    for (const tick of [3e5, 1e6, 3e6]) {
      if (tick > 10 ** low && tick < 10 ** high) nodes.push(svg("text", {class: "middle", x: x(tick), y: bottom + 15}, tick < 1e6 ? `${tick / 1e3}k` : `${tick / 1e6}M`));
    }
    nodes.push(svg("text", {class: "middle", x: (left + right) / 2, y: height - 3}, "trainable parameters, logarithmic"));
    nodes.push(svg("path", {fill: "none", stroke: "var(--accent)", "stroke-width": 1.5,
      d: "M" + all.map(one => `${x(parameters(one))},${y(one.accuracy_percent)}`).join("L")}));
    all.forEach((one, index) => {
      const chosen = one === row;
      nodes.push(svg("circle", {cx: x(parameters(one)), cy: y(one.accuracy_percent), r: chosen ? 7 : 5, style: "cursor:pointer",
        fill: chosen ? PALETTE.vermillion : "var(--accent)", stroke: "currentColor", "stroke-width": chosen ? 2 : 0,
        click: () => { size.value = index; update(); }}));
    });
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    chart.setAttribute("aria-label", said.textContent);
    chart.replaceChildren(...nodes);
  }

  update();
  whenWide(chart, update);
}
