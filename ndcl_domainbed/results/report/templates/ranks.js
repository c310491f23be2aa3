// Critical-difference diagram (drawn by rank_diagram.py), and the reference against the others.
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
  const p = ranks.p === null ? "" : ` Friedman's test: p = ${chance(ranks.p)}.`;
  byId("rank-about").textContent = "In each cell (a dataset, setting and test domain) algorithms are "
    + `ranked, 1 is best; the axis shows mean ranks over ${ranks.cells} cells of all `
    + `boards${network && ` on [${network}]`}. Algorithms under a bar do not differ significantly `
    + `(Nemenyi's test, 5 %): their ranks are closer than the critical difference.${p}`;
  byId("rank-chart").innerHTML = ranks.diagram;  // made by the package, names escaped
  fill("compare-chart", ...(ranks.compared.length ? [comparison(ranks.compared)] : []));
  fill("rank-notes", ...ranks.notes.map((note) => element("p", {}, note)));
}

// Mean differences with bootstrap intervals; filled where the corrected p is below 5 %.
function comparison(compared) {
  const rows = compared.filter(({ algorithm }) => isShown(algorithm))
    .sort((a, b) => b.difference - a.difference);
  const left = textWidth(rows.map(({ algorithm }) => algorithm)) + 12;
  const [high, top, beside] = [20, 40, 250];
  const [width, right] = [pageWidth(), pageWidth() - beside];
  const svg = drawing(width, top + high * rows.length + 44, `${DATA.reference} against the others`);
  const ends = [0, ...rows.flatMap((one) => [one.low ?? one.difference, one.high ?? one.difference])];
  const [low, top_] = [Math.min(...ends), Math.max(...ends)];
  const x = scale(left, right, low, top_);
  axisName(svg, "difference in accuracy, points; above 0 is better", (left + right) / 2,
    top + high * rows.length + 36);
  svg.append(text(left, 14, `${DATA.reference} minus the other; lines: 95 % bootstrap interval over cells; filled: p < 0.05 (Wilcoxon's test, Holm's correction)`));
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
    svg.append(text(right + 16, y + 4, `${one.difference > 0 ? "+" : ""}${percent(one.difference)} · `
      + `won ${one.wins}, lost ${one.losses}, p = ${chance(one.p_holm)}`, "start", "soft"));
  });
  return svg;
}
