// Critical-difference diagram (Demsar, 2006), and the reference against each other algorithm.
function chance(p) {
  return p < 0.001 ? p.toExponential(1) : String(Number(p.toPrecision(2)));
}

function drawRanks() {
  const byMetric = DATA.ranks[state.criterion] || {};
  const there = DATA.metrics.filter(({ key }) => byMetric[key]);
  byId("ranks").hidden = there.length === 0;
  if (there.length === 0) return;
  const metric = options("rank-metric", there.map(({ key, title }) => [key, title]), "overall");
  const ranks = byMetric[metric];
  const p = ranks.p === null ? "" : ` Friedman's test: p = ${chance(ranks.p)}.`;
  byId("rank-about").textContent = `Over ${ranks.cells} cells (data set, setting, test domain) of all `
    + `boards; 1 is best. Algorithms under a bar do not differ significantly (Nemenyi, 5 %).${p}`;
  fill("rank-chart", rankDiagram(ranks));
  fill("compare-chart", ...(ranks.compared.length ? [comparison(ranks.compared)] : []));
  fill("rank-notes", ...ranks.notes.map((note) => element("p", {}, note)));
}

// The longest runs of neighbouring ranks within the critical difference.
function cliques(sorted, difference) {
  const found = [];
  sorted.forEach((from, first) => {
    let last = first;
    while (last + 1 < sorted.length && sorted[last + 1].rank - from.rank < difference) last += 1;
    const known = found.some((one) => one.first <= first && one.last >= last);
    if (last > first && !known) found.push({ first, last });
  });
  return found;
}

function rankDiagram(ranks) {
  const sorted = ranks.algorithms.map((name, at) => ({ name, rank: ranks.ranks[at] }))
    .sort((a, b) => a.rank - b.rank);
  const bars = cliques(sorted, ranks.cd ?? 0);
  const side = textWidth(ranks.algorithms) + 60;
  const [width, top] = [Math.max(760, 2 * side + 36 * sorted.length), 58];
  const half = Math.ceil(sorted.length / 2);
  const lowest = top + 16 + 9 * bars.length;
  const svg = drawing(width, lowest + 20 * half + 14, "Critical-difference diagram");
  const x = scale(side, width - side, 1, sorted.length);
  svg.append(line(x(1), top, x(sorted.length), top, { stroke: "#1b1f24" }));
  for (let rank = 1; rank <= sorted.length; rank += 1) {
    svg.append(line(x(rank), top - 6, x(rank), top, { stroke: "#1b1f24" }));
    svg.append(text(x(rank), top - 10, rank, "middle"));
  }
  if (ranks.cd !== null) svg.append(...difference(x, Math.min(ranks.cd, sorted.length - 1), ranks.cd));
  bars.forEach(({ first, last }, number) => {
    const y = top + 10 + 9 * number;
    svg.append(line(x(sorted[first].rank) - 4, y, x(sorted[last].rank) + 4, y, {
      stroke: "#1b1f24", "stroke-width": 4,
    }));
  });
  sorted.forEach(({ name, rank }, at) => {
    const onLeft = at < half;
    const y = lowest + 20 * (onLeft ? at : sorted.length - 1 - at) + 10;
    const edge = onLeft ? side - 12 : width - side + 12;
    const colour = name === DATA.reference ? "#0072b2" : "#59636e";
    svg.append(path([[x(rank), top], [x(rank), y], [edge, y]], { stroke: colour }));
    const label = text(onLeft ? edge - 4 : edge + 4, y + 4, onLeft ? `${name} ${rank.toFixed(2)}`
      : `${rank.toFixed(2)} ${name}`, onLeft ? "end" : "start");
    if (name === DATA.reference) label.style.fontWeight = "700";
    svg.append(label);
  });
  return svg;
}

function difference(x, shown, cd) {
  return [
    line(x(1), 14, x(1 + shown), 14, { stroke: "#1b1f24", "stroke-width": 2 }),
    line(x(1), 9, x(1), 19, { stroke: "#1b1f24" }),
    line(x(1 + shown), 9, x(1 + shown), 19, { stroke: "#1b1f24" }),
    text(x(1 + shown) + 8, 18, `critical difference ${cd.toFixed(2)}`),
  ];
}

// Mean differences with bootstrap intervals; filled where the corrected p is below 5 %.
function comparison(compared) {
  const rows = compared.filter(({ algorithm }) => isShown(algorithm))
    .sort((a, b) => b.difference - a.difference);
  const left = textWidth(rows.map(({ algorithm }) => algorithm)) + 12;
  const [width, high, top] = [left + 620, 20, 40];
  const svg = drawing(width, top + high * rows.length + 30, `${DATA.reference} against the others`);
  const ends = rows.flatMap((one) => [one.low ?? one.difference, one.high ?? one.difference, 0]);
  const [low, top_] = [Math.min(...ends), Math.max(...ends)];
  const x = scale(left, left + 380, low, top_);
  svg.append(text(left, 14, `${DATA.reference} minus the other, in points; 95 % bootstrap interval over cells; filled: p < 0.05 (Wilcoxon, Holm)`));
  for (const tick of ticks(low, top_, 6)) {
    svg.append(line(x(tick), top - 6, x(tick), top + high * rows.length, { class: "axis" }));
    svg.append(text(x(tick), top + high * rows.length + 16, tick, "middle", "soft"));
  }
  svg.append(line(x(0), top - 6, x(0), top + high * rows.length, { stroke: "#1b1f24" }));
  rows.forEach((one, at) => {
    const y = top + high * at + 9;
    svg.append(text(left - 8, y + 4, one.algorithm, "end"));
    if (one.low !== null) {
      svg.append(line(x(one.low), y, x(one.high), y, { stroke: "#0072b2", "stroke-width": 2 }));
    }
    svg.append(shape("circle", {
      cx: x(one.difference), cy: y, r: 4.5, stroke: "#0072b2", "stroke-width": 2,
      fill: one.p_holm < 0.05 ? "#0072b2" : "#fff",
    }));
    svg.append(text(left + 400, y + 4, `${one.difference > 0 ? "+" : ""}${percent(one.difference)} · `
      + `won ${one.wins}, lost ${one.losses}, p = ${chance(one.p_holm)}`, "start", "soft"));
  });
  return svg;
}
