// A walk through the units of DenseNet: each appends channels, and the number of groups that D6 finds jumps.

function figureDenseUnits(root, {stages, units, growth_rate: growth, filters, channels_per_group: sizes}) {
  const all = stages.flatMap(([stage, first]) => Array.from({length: units}, (_, index) =>
    ({stage, unit: index + 1, first, channels: first + index * growth})));
  const widest = Math.max(...all.map(unit => unit.channels));
  const size = choice("channels per group, at least", sizes.map(String), String(sizes[0]), update);
  const scheme = choice("scheme", Object.keys(SCHEMES), "D6", update);
  const step = slider("unit", {min: 0, max: all.length - 1, value: 0},
    value => `${all[value].stage}, unit ${all[value].unit}`, update);
  const go = by => () => { step.value = clamp(step.value + by, 0, all.length - 1); update(); };
  const pile = svg("svg", {role: "img"}), chart = svg("svg", {
    role: "img", style: "cursor:pointer", click: event => {
      const box = chart.getBoundingClientRect();
      step.value = clamp(Math.floor((event.clientX - box.left - 34) / (box.width - 40) * all.length), 0, all.length - 1);
      update();
    },
  });
  const said = spoken();
  const table = numbers("", ["channels that the unit reads", "groups of K", "channels per group", "weights", "of the ordinary weights"]);
  root.append(html("div", {class: "controls"}, step.node, size.node, scheme.node),
    html("div", {}, button("◀ previous unit", go(-1)), button("next unit ▶", go(1))), said, pile, chart, table.node);

  const planOf = unit => SCHEMES[scheme.value](unit.channels, filters, Number(size.value));
  const groupsIn = plan => plan.stages[0].paths[0].groups;

  function update() {
    const unit = all[step.value], plan = planOf(unit), groups = groupsIn(plan);
    const before = unit.unit > 1 ? groupsIn(planOf(all[step.value - 1])) : null;
    const jump = before === null || before === groups ? "" : ` One unit before there ${before === 1 ? "was" : "were"} ${counted(before, "group")}.`;
    const ordinary = unit.channels * filters, width = plan.stages[0].paths[0].channels / groups;
    const piled = unit.unit > 1 ? ` and ${growth} of ${unit.unit > 2 ? `each of ${unit.unit - 1} units` : "one unit"}` : "";
    said.textContent = `${unit.stage}, unit ${unit.unit} reads ${unit.channels} channels: the ${unit.first} of the stage${piled}. ${scheme.value}(${size.value}) makes ${counted(groups, "group")} of ${width} for ${filters} filters.${jump}`;
    table.node.caption.textContent = `The bottleneck of ${unit.stage}, unit ${unit.unit}`;
    table.write([whole(unit.channels), whole(groups), whole(width), whole(planWeights(plan)), percent(planWeights(plan) / ordinary)]);
    draw(unit, plan);
  }

  function draw(unit, plan) {
    const width = pile.clientWidth;
    if (!width) return;
    const scale = width / widest, nodes = [];
    // Which units the channels come from ...
    for (let index = 0; index < unit.unit; index++) {
      const from = index ? unit.first + (index - 1) * growth : 0, wide = index ? growth : unit.first;
      nodes.push(svg("rect", {x: from * scale, y: 18, width: wide * scale - 1, height: 22,
        fill: index ? PARTS["other convolutions"] : "#767676", "fill-opacity": index % 2 ? 0.7 : 1}));
    }
    // ... and which groups of K read them. Copied channels of D6v3 stand behind the last one.
    const groups = groupsOf(plan.stages[0]).slice(0, groupsIn(plan));
    groups.forEach(([[from, to]], index) => nodes.push(svg("rect", {x: from * scale, y: 66, height: 22,
      width: Math.max((to - from) * scale - 1, 0.7), fill: PARTS.pointwise, "fill-opacity": index % 2 ? 0.65 : 1})));
    nodes.push(svg("text", {x: 0, y: 12}, `channels: the stage's own ${unit.first} in grey, then ${growth} of each unit`),
      svg("text", {x: 0, y: 60}, `the groups of K that read them: ${groups.length}`));
    pile.setAttribute("viewBox", `0 0 ${width} 96`);
    pile.setAttribute("height", 96);
    pile.setAttribute("aria-label", said.textContent);
    pile.replaceChildren(...nodes);
    drawSteps(width);
  }

  function drawSteps(width) {
    const counts = all.map(unit => groupsIn(planOf(unit))), most = Math.max(...counts), left = 34, height = 140, bottom = 118;
    const wide = (width - left - 6) / all.length, y = count => bottom - count / most * (bottom - 22);
    const nodes = [svg("text", {x: 0, y: 12}, "groups of K in each unit"), svg("path", {class: "axis", d: `M${left},20V${bottom}H${width - 6}`}),
      svg("text", {class: "end", x: left - 5, y: bottom + 4}, "0"), svg("text", {class: "end", x: left - 5, y: y(most) + 4}, String(most))];
    counts.forEach((count, index) => nodes.push(svg("rect", {x: left + index * wide, y: y(count), width: Math.max(wide - 1.5, 1), height: bottom - y(count),
      fill: index === step.value ? PALETTE.vermillion : PARTS.pointwise})));
    stages.forEach(([stage], index) => nodes.push(svg("text", {class: "middle", x: left + (index + 0.5) * units * wide, y: bottom + 16}, stage)));
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    chart.setAttribute("aria-label", `Groups of K, unit by unit: ${counts.join(", ")}`);
    chart.replaceChildren(...nodes);
  }

  update();
  whenWide(pile, update);
}
