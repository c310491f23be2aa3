// Ranks (drawn by rank_diagram.py), the reference against the others, aggregates, profiles.
function chance(p) {
  return p < 0.001 ? p.toExponential(1) : String(Number(p.toPrecision(2)));
}

function drawRanks() {
  const { network } = boardOf(state.board);
  const byMetric = (DATA.ranks[network] || {})[state.criterion] || {};
  const there = DATA.metrics.filter(({ key }) => byMetric[key]);
  byId("ranks").hidden = there.length === 0;
  if (there.length === 0) return;
  const metric = options("rank-metric", there.map(({ key, title }) => [key, title]), "overall");
  const ranks = byMetric[metric];
  const say = (...keys) => keys.map((key) => DATA.meanings[key]).join(" ");
  byId("rank-about").textContent = `${ranks.cells}, of all boards${network && ` on [${network}]`}. `
    + say("rank", "cliques", "p");
  byId("rank-chart").innerHTML = ranks.diagram;  // made by the package, names escaped
  byId("compare-about").textContent = ranks.compared.length ? say("interval", "better") : "";
  fill("compare-chart", ...(ranks.compared.length ? [comparison(ranks.compared)] : []));
  byId("summary-about").textContent = say("iqm");
  fill("summary-table", ...summaryRows(ranks.summaries));
  byId("profile-about").textContent = say("profile");
  fill("profile-chart", profileChart(ranks.profile));
  fill("rank-notes", ...ranks.notes.map((note) => element("p", {}, note)));
}

function summaryRows(summaries) {
  const format = ([value, low, high]) => percent(value)
    + (low === null ? "" : ` [${percent(low)}, ${percent(high)}]`);
  const rows = summaries.filter(({ algorithm }) => isShown(algorithm))
    .sort((a, b) => a.rank - b.rank)
    .map((one) => [one.algorithm, one.rank.toFixed(2), format(one.mean), format(one.iqm)]);
  const head = ["Algorithm", "Average rank", "Mean", "IQM"];
  return tableParts(head, rows);
}

// The share of runs above each threshold; the reference is the thick blue line.
function profileChart({ thresholds, shares }) {
  const names = Object.keys(shares).filter(isShown);
  const [width, height, left, top] = [pageWidth(), 300, 50, 10];
  const svg = drawing(width, height + 50, "Performance profile");
  const [x, y] = [scale(left, width - 20, 0, 100), scale(height, top, 0, 1)];
  for (const tick of ticks(0, 100, 10)) {
    svg.append(line(x(tick), top, x(tick), height, { class: "axis" }));
    svg.append(text(x(tick), height + 16, tick, "middle", "soft"));
    svg.append(text(left - 6, y(tick / 100) + 4, tick, "end", "soft"));
  }
  axisName(svg, "threshold, %", (left + width) / 2, height + 36);
  axisName(svg, "runs above it, %", 14, (top + height) / 2, true);
  const isOwn = (name) => name === DATA.reference;
  for (const name of names.sort((a, b) => isOwn(a) - isOwn(b))) {
    const points = shares[name].map((share, at) => [x(thresholds[at]), y(share)]);
    const kind = isOwn(name) ? { stroke: "#0072b2", "stroke-width": 3 }
      : { stroke: "#8c8c8c", "stroke-width": 1 };
    svg.append(titled(path(points, kind), name));
  }
  return svg;
}

// Mean differences with bootstrap intervals; filled where the corrected p is below 5 %.
function comparison(compared) {
  const rows = compared.filter(({ algorithm }) => isShown(algorithm))
    .map(({ difference: [difference, low, high], ...one }) => ({ ...one, difference, low, high }))
    .sort((a, b) => b.difference - a.difference);
  const left = textWidth(rows.map(({ algorithm }) => algorithm)) + 12;
  const [high, top, beside] = [20, 40, 340];
  const [width, right] = [pageWidth(), pageWidth() - beside];
  const svg = drawing(width, top + high * rows.length + 44, `${DATA.reference} against the others`);
  const ends = [0, ...rows.flatMap((one) => [one.low ?? one.difference, one.high ?? one.difference])];
  const [low, top_] = [Math.min(...ends), Math.max(...ends)];
  const x = scale(left, right, low, top_);
  axisName(svg, "difference in accuracy, points; above 0 is better", (left + right) / 2,
    top + high * rows.length + 36);
  svg.append(text(left, 14, `${DATA.reference} minus the other; lines: 95 % bootstrap interval; filled: p < 0.05`));
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
      fill: one.p < 0.05 ? "#0072b2" : "#fff",
    }));
    svg.append(text(right + 16, y + 4, `${one.difference > 0 ? "+" : ""}${percent(one.difference)} · `
      + `won ${one.wins}, lost ${one.losses}, P(better) ${one.better[0].toFixed(2)}, `
      + `p = ${chance(one.p)}`, "start", "soft"));
  });
  return svg;
}
