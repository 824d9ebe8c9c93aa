// D6 itself: channels, the groups of K, interleaving, the groups of L, and their sum. One channel can be followed.

const PIXELS = 14 * 14;  // of the feature map for which multiply-adds are counted, as in the notebook

// The columns of the drawing and what lies between them. A cell has the number of its channel, whether it is a copy,
// and which groups of the input it depends on.
function columnsOf(plan) {
  const size = plan.stages[0].paths[0].channels / plan.stages[0].paths[0].groups;
  const cells = (count, groups) => Array.from({length: count}, (_, index) => ({channel: index, groups: groups(index)}));
  const withCopies = (column, copied) =>
    [...column, ...column.slice(0, copied).map(cell => ({...cell, copy: true}))];
  const convolved = (column, stage) => {
    const made = [];
    for (const [[from, to], [start, end]] of groupsOf(stage)) {
      const groups = new Set(column.slice(from, to).flatMap(cell => [...cell.groups]));
      for (let index = start; index < end; index++) made.push({channel: index, groups});
    }
    return made;
  };
  const [first, second] = plan.stages;
  const input = withCopies(cells(plan.channels, index => new Set([Math.floor(index / size)])), first.copied);
  const k = convolved(input, first);
  const columns = [{title: "input", cells: input}, {title: "K", cells: k}], links = [{stage: first}];
  if (plan.step > 1 || second) {
    const order = interleavedOrder(plan.filters, plan.step);
    const moved = order.map(index => k[index]);
    columns.push({title: plan.step > 1 ? "interleaved" : "same order", cells: second ? withCopies(moved, second.copied) : moved});
    links.push({order});
  }
  if (second) {
    const l = convolved(columns[2].cells, second);
    columns.push({title: "L", cells: l});
    columns.push({title: "K + L", cells: l.map((cell, index) => ({
      channel: index, groups: new Set([...cell.groups, ...k[index].groups]),
    }))});
    links.push({stage: second}, {sum: true});
  }
  return {columns, links};
}

// Where the values of one input channel go: for each column an array of booleans.
function reached({columns, links}, channel) {
  const lit = [columns[0].cells.map(cell => cell.channel === channel)];
  for (const [index, link] of links.entries()) {
    const before = lit[index];
    if (link.stage) {
      lit.push(groupsOf(link.stage).flatMap(([[from, to], [start, end]]) =>
        Array(end - start).fill(before.slice(from, to).includes(true))));
    } else if (link.order) {
      lit.push(columns[index + 1].cells.map((cell, place) => lit[1][link.order[place % link.order.length]]));
    } else {
      lit.push(before.map((value, place) => value || lit[1][place]));
    }
  }
  return lit;
}

// How many channels a column has, copies by themselves.
function countOf(cells) {
  const copies = cells.filter(cell => cell.copy).length;
  return copies ? `${cells.length - copies} + ${copies}` : String(cells.length);
}

const groupColor = group => Object.values(PALETTE)[group % 7];
// A group of the input has a letter besides its colour, which not everybody can tell from the others.
const groupLetter = group => group < 26 ? String.fromCharCode(65 + group) : String(group + 1);
// White can be read on blue only, black on the other colours.
const onGroup = group => groupColor(group) === PALETTE.blue ? "#fff" : "#000";

function whyNothing(scheme, {channels, filters}, size) {
  if (scheme === "D6v3") return `Layers of at most ${2 * size} channels are left alone by D6v3(${size}).`;
  if (channels < 2 * size) return `${channels} channels do not fill two groups of ${size}: the layer stays as it is.`;
  return `No number from 2 to ${Math.floor(channels / size)} divides both ${channels} and ${filters}, ` +
    "so there are no groups: D6 fails, and all weights stay.";
}

function figureD6(root, given) {
  let hovered = -1, plan, drawn, columns, frame = 0;
  const redraw = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(update); };
  const plain = value => String(value);
  const channels = slider("input channels C", {min: 2, max: 512, value: given.in_channels}, plain, redraw);
  const filters = slider("filters F", {min: 1, max: 512, value: given.filters}, plain, redraw);
  const size = slider("channels per group M", {min: 1, max: 64, value: given.channels_per_group}, plain, redraw);
  const follow = slider("follow an input channel", {min: -1, max: given.in_channels - 1, value: -1},
    value => value < 0 ? "none" : `channel ${value}`, () => light());
  const scheme = choice("scheme", Object.keys(SCHEMES), given.scheme, redraw);
  const set = (c, f, m, name) => () => {
    [channels.value, filters.value, size.value, scheme.value, follow.value] = [c, f, m, name, -1];
    redraw();
  };
  const examples = html("div", {class: "examples"},
    button("16 to 16, M = 4", set(16, 16, 4, "D6")), button("512 to 256, M = 16", set(512, 256, 16, "D6")),
    button("97 channels: D6 fails", set(97, 64, 16, "D6")), button("97 channels with D6v3", set(97, 64, 16, "D6v3")));
  const picture = svg("svg", {
    role: "img", pointermove: hover, pointerdown: hover, pointerleave: () => { hovered = -1; light(); },
    click: event => { const at = channelAt(event); if (at >= 0) { follow.value = at; light(); } },
  });
  const said = spoken();
  const table = numbers("", ["groups of K", "channels per group of K", "copied channels, K and L", "weights of K",
    "weights of L", "weights", "of the ordinary weights", "multiply-adds, 14×14 pixels"]);
  const compared = bars(["ordinary", "D6", "D6v3"]);
  root.append(html("div", {class: "controls"}, channels.node, filters.node, size.node, scheme.node), examples,
    picture, follow.node, said, html("div", {class: "beside"}, table.node, compared.node));

  function update() {
    plan = SCHEMES[scheme.value](channels.value, filters.value, size.value);
    follow.max = channels.value - 1;
    columns = columnsOf(plan);
    const [first, second] = plan.stages, ordinary = channels.value * filters.value;
    table.node.caption.textContent = `${scheme.value}(${size.value}): ${channels.value} channels to ${counted(filters.value, "filter")}`;
    table.write([whole(first.paths[0].groups), whole(first.paths[0].channels / first.paths[0].groups),
      whole(first.copied + (second ? second.copied : 0)), whole(stageWeights(first)), second ? whole(stageWeights(second)) : "no L",
      whole(planWeights(plan)), percent(planWeights(plan) / ordinary), whole(planWeights(plan) * PIXELS)]);
    const all = {ordinary, ...Object.fromEntries(Object.entries(SCHEMES).map(([name, make]) =>
      [name, planWeights(make(channels.value, filters.value, size.value))]))};
    const most = Math.max(...Object.values(all));
    Object.entries(all).forEach(([name, weights], index) =>
      compared.write(index, [[weights / most, PARTS.pointwise]], `${whole(weights)} weights`, name === scheme.value));
    draw();
  }

  function draw() {
    const width = picture.clientWidth;
    if (!width || !columns) return;
    const count = columns.columns.length, most = Math.max(...columns.columns.map(column => column.cells.length));
    const pitch = clamp(440 / most, 0.8, 20), box = pitch > 4 ? pitch * 0.82 : pitch, top = 34;
    const step = Math.min((width - 66) / (count - 1), 170), wide = Math.min(44, step * 0.5);
    const numbered = pitch > 11, beside = numbered ? 17 : 2;  // room for the numbers at the left of the boxes
    const x = index => 42 + index * step, y = place => top + place * pitch;
    const height = top + most * pitch + 8;
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.setAttribute("height", height);
    drawn = {links: [], cells: [], top, pitch, edge: x(0) + wide / 2 + step * 0.3, scale: 1};
    const nodes = [];
    columns.links.forEach((link, index) => {
      const left = x(index) + wide / 2 + 2, right = x(index + 1) - wide / 2 - beside;
      const here = [];
      if (link.stage) {
        for (const [[from, to], [start, end]] of groupsOf(link.stage)) {
          const node = svg("polygon", {fill: "currentColor", "fill-opacity": 0.22, stroke: "currentColor", "stroke-opacity": 0.5,
            points: `${left},${y(from)} ${left},${y(to)} ${right},${y(end)} ${right},${y(start)}`});
          here.push({node, from, to});
        }
      } else if (link.order) {
        link.order.forEach((source, place) => here.push({from: source, to: source + 1, node: svg("line", {
          x1: left, y1: y(source) + box / 2, x2: right, y2: y(place) + box / 2, "stroke-width": pitch > 3 ? 1.6 : 0.7,
          stroke: groupColor(Math.min(...columns.columns[1].cells[source].groups)),
        })}));
      } else {
        // On a phone one below the other, so that they do not touch the numbers of the boxes.
        const words = right - left < 36 ? ["+", "K"] : ["+ K"], middle = y(columns.columns[index].cells.length / 2);
        words.forEach((word, line) => nodes.push(svg("text", {class: "middle", x: (left + right) / 2, y: middle + 14 * line}, word)));
      }
      drawn.links.push(here);
      nodes.push(...here.map(({node}) => node));
    });
    columns.columns.forEach((column, index) => {
      // On a phone the long names would run into each other.
      nodes.push(svg("text", {class: "middle", x: x(index), y: 12}, step < 80 && column.title === "interleaved" ? "interl." : column.title));
      nodes.push(svg("text", {class: "middle", x: x(index), y: 26}, countOf(column.cells)));
      drawn.cells.push(column.cells.map((cell, place) => {
        const groups = [...cell.groups].sort((a, b) => a - b), left = x(index) - wide / 2;
        // More stripes than colours would say nothing: then the box is grey, "many groups".
        const stripes = groups.length > 7 ? [svg("rect", {x: left, y: y(place), width: wide, height: box, fill: "#767676"})]
          : groups.map((group, stripe) => svg("rect", {x: left + wide * stripe / groups.length, y: y(place),
            width: wide / groups.length, height: box, fill: groupColor(group)}));
        if (cell.copy && pitch > 4) stripes.push(svg("rect", {x: left, y: y(place), width: wide, height: box, fill: "none",
          stroke: "currentColor", "stroke-width": 1.5, "stroke-dasharray": "2 2"}));
        const node = svg("g", {}, stripes);
        if (numbered) {
          const low = y(place) + box / 2 + 4;
          node.append(svg("text", {class: "end", x: left - 3, y: low, style: "font-size:11px"}, String(cell.channel)));
          if (groups.length <= 7 && wide / groups.length >= 8) groups.forEach((group, stripe) => node.append(svg("text", {
            class: "middle", x: left + wide * (stripe + 0.5) / groups.length, y: low,
            style: `fill:${onGroup(group)};font-size:11px`,
          }, groupLetter(group))));
        }
        return node;
      }));
      nodes.push(...drawn.cells[index]);
    });
    picture.replaceChildren(...nodes);
    light();
  }

  // Shows where one channel goes; everything else fades.
  function light() {
    if (!drawn) return;
    const channel = hovered >= 0 ? hovered : follow.value;
    const lit = channel >= 0 ? reached(columns, channel) : null;
    drawn.cells.forEach((cells, index) => cells.forEach((node, place) =>
      node.classList.toggle("dim", Boolean(lit && !lit[index][place]))));
    drawn.links.forEach((links, index) => links.forEach(({node, from, to}) => {
      // Interleaving starts from K, which is column 1 like its link.
      node.classList.toggle("dim", Boolean(lit && !lit[index].slice(from, to).includes(true)));
    }));
    said.textContent = lit ? tellPath(channel, lit) : tellAll();
    picture.setAttribute("aria-label", said.textContent);
  }

  function tellPath(channel, lit) {
    const count = column => column.filter(Boolean).length, last = lit[lit.length - 1];
    const behind = lit.length > 3 ? `, and ${count(last)} of ${last.length} behind K + L` : "";
    const copies = count(lit[0]) - 1;
    return `Channel ${channel}${copies ? ` (and ${counted(copies, "copy", "copies")} of it)` : ""} reaches ` +
      `${count(lit[1])} of ${lit[1].length} filters behind K${behind}.`;
  }

  function tellAll() {
    const [first, second] = plan.stages, groups = first.paths[0].groups;
    if (groups === 1) return whyNothing(scheme.value, plan, size.value);
    const rest = first.paths[1] ? ` ${counted(first.paths[1].filters, "more filter")} in a second path.` : "";
    return `K has ${groups} groups of ${first.paths[0].channels / groups} channels.${rest} ` +
      (second ? "L reads them interleaved and is added." : "With more filters than channels there is no L.") +
      " Letters are the groups of the input that a channel depends on.";
  }

  function channelAt(event) {
    const box = picture.getBoundingClientRect();
    const place = Math.floor((event.clientY - box.top - drawn.top) / drawn.pitch);
    if (event.clientX - box.left > drawn.edge || place < 0 || place >= columns.columns[0].cells.length) return -1;
    return columns.columns[0].cells[place].channel;
  }
  function hover(event) {
    const at = channelAt(event);
    if (at !== hovered) { hovered = at; light(); }
  }

  update();
  whenWide(picture, draw);
}
