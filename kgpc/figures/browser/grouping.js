// The arithmetic of kgpc.grouping, for the figures that compute in the browser. A test compares both for thousands of
// triples, so whoever changes one changes the other.

// A convolution of a plan: what it reads and writes, and in how many groups.
const convolution = (channels, filters, groups) => ({channels, filters, groups});

function ordinaryPlan(channels, filters) {
  return {channels, filters, step: 1, stages: [{copied: 0, paths: [convolution(channels, filters, 1)]}]};
}

function commonDivisor(first, second, most) {
  for (let groups = Math.min(first, second, most); groups > 1; groups--) {
    if (first % groups === 0 && second % groups === 0) return groups;
  }
  return 1;
}

function planD6(channels, filters, size) {
  const groups = commonDivisor(channels, filters, Math.floor(channels / size));
  if (groups === 1) return ordinaryPlan(channels, filters);
  const stages = [{copied: 0, paths: [convolution(channels, filters, groups)]}];
  // An expanding layer has no L: whatever follows it mixes the groups.
  if (channels >= filters) stages.push({copied: 0, paths: [convolution(filters, filters, groups)]});
  return {channels, filters, step: filters / groups, stages};
}

function stageWithoutDivisibility(channels, filters, size) {
  const groups = Math.min(Math.ceil(channels / size), filters);
  if (groups === 1) return {copied: 0, paths: [convolution(channels, filters, 1)]};
  // With fewer filters than groups, each must read more channels than asked for.
  const width = Math.max(size, Math.ceil(channels / groups));
  const rest = filters % groups;
  const paths = [convolution(groups * width, filters - rest, groups)];
  if (rest) paths.push(convolution(rest * width, rest, rest));
  return {copied: groups * width - channels, paths};
}

function planD6v3(channels, filters, size) {
  const replaced = channels > 2 * size || (filters > channels && channels > size);
  if (!replaced) return ordinaryPlan(channels, filters);
  const first = stageWithoutDivisibility(channels, filters, size);
  if (first.paths[0].groups === 1 || channels < filters) return {channels, filters, step: 1, stages: [first]};
  const step = Math.max(Math.floor(filters / size), 1);
  return {channels, filters, step, stages: [first, stageWithoutDivisibility(filters, filters, size)]};
}

const SCHEMES = {D6: planD6, D6v3: planD6v3};

const pathWeights = path => path.channels / path.groups * path.filters;
const stageWeights = stage => stage.paths.reduce((sum, path) => sum + pathWeights(path), 0);
const planWeights = plan => plan.stages.reduce((sum, stage) => sum + stageWeights(stage), 0);

// Pairs [channels read, filters written] of ranges [from, to), one for each group of each path.
function groupsOf(stage) {
  const pairs = [];
  let start = 0;
  for (const {channels, filters, groups} of stage.paths) {
    for (let group = 0; group < groups; group++) {
      const reads = channels / groups, writes = filters / groups;
      pairs.push([[group * reads, (group + 1) * reads], [start, start + writes]]);
      start += writes;
    }
  }
  return pairs;
}

function interleavedOrder(channels, step) {
  const order = [];
  for (let start = 0; start < Math.min(step, channels); start++) {
    for (let channel = start; channel < channels; channel += step) order.push(channel);
  }
  return order;
}
