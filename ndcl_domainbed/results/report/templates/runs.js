// Single runs: learning curves, and accuracy by class against training counts.
function domainsWithRuns() {
  const board = boardOf(state.board);
  const there = new Set(Object.values(chosenNow()).flatMap((runs) => Object.keys(runs)));
  return board.domains.map((name, env) => [String(env), name]).filter(([env]) => there.has(env));
}

function drawCurves() {
  const domains = domainsWithRuns();
  byId("curves").hidden = domains.length === 0;
  if (domains.length === 0) return;
  const env = options("curve-domain", domains, domains[0][0]);
  const runs = Object.entries(chosenNow())
    .filter(([name, byDomain]) => isShown(name) && byDomain[env])
    .map(([name, byDomain]) => ({ name, run: byDomain[env], curve: DATA.curves[byDomain[env].curve] }));
  const kind = state.criterion === "balanced" ? "val" : "out";
  byId("curve-key").textContent = kind === "val"
    ? "mean of the source domains' balanced validation sets"
    : "mean of the source domains' held-out parts";
  const order = DATA.figures[state.criterion][state.board].algorithms;
  runs.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  const values = runs.flatMap(({ curve }) => [...(curve.target || []), ...(curve[kind] || [])])
    .filter((value) => value !== null).map((value) => value / 10);
  const range = [Math.max(0, Math.min(...values) - 3), Math.min(100, Math.max(...values) + 3)];
  fill("curve-chart", ...runs.map((one) => curveFigure(one, kind, range)));
}

function curveFigure({ name, run, curve }, kind, [low, high]) {
  const [width, height, left, bottom] = [250, 170, 46, 34];
  const svg = drawing(width, height, `Learning curve of ${name}`);
  const last = curve.steps[curve.steps.length - 1];
  const x = scale(left, width - 12, 0, last);
  const y = scale(height - bottom, 8, low, high);
  for (const tick of ticks(low, high, 5)) {
    svg.append(line(left, y(tick), width - 12, y(tick), { class: "axis" }));
    svg.append(text(left - 4, y(tick) + 4, tick, "end", "soft"));
  }
  for (const tick of ticks(0, last, 2)) {
    svg.append(text(x(tick), height - bottom + 14, tick, "middle", "soft"));
  }
  axisName(svg, "step", (left + width - 12) / 2, height - 3);
  axisName(svg, "accuracy, %", 11, (height - bottom) / 2, true);
  const points = (series) => series.map((value, at) => [
    x(curve.steps[at]), value === null ? null : y(value / 10),
  ]);
  svg.append(line(x(run.step), 8, x(run.step), height - bottom, { stroke: "#8c8c8c", "stroke-width": 1 }));
  if (curve[kind]) {
    svg.append(path(points(curve[kind]), {
      stroke: "#d55e00", "stroke-width": 1.6, "stroke-dasharray": "5 3",
    }));
  }
  if (curve.target) {
    svg.append(path(points(curve.target), { stroke: "#0072b2", "stroke-width": 2 }));
    const at = curve.steps.indexOf(run.step);
    const value = curve.target[at];
    if (value !== null && value !== undefined) {
      svg.append(titled(shape("circle", {
        cx: x(run.step), cy: y(value / 10), r: 4.5, fill: "#0072b2", stroke: "#fff", "stroke-width": 1.5,
      }), `step ${run.step}: ${percent(value / 10)}`));
    }
  }
  const about = `${name} · step ${run.step}, trial ${run.trial}, draw ${run.draw}`;
  return element("figure", {}, svg, element("figcaption", { title: about }, name));
}

function drawClasses() {
  const board = DATA.classes[state.board] || {};
  const domains = domainsWithRuns().filter(([env]) => board[env]);
  byId("classes").hidden = domains.length === 0;
  if (domains.length === 0) return;
  const env = options("class-domain", domains, domains[0][0]);
  const names = DATA.figures[state.criterion][state.board].algorithms
    .filter((name) => chosenNow()[name]?.[env]?.classes);
  const first = options("class-first", names.map((name) => [name, name]), DATA.reference);
  const other = names.find((name) => name !== first) ?? "";
  const second = options("class-second", [["", "nothing"], ...names.map((name) => [name, name])], other);
  const drawn = [[first, "#0072b2", "circle"], [second, "#d55e00", "square"]]
    .filter(([name]) => names.includes(name))
    .map(([name, color, mark]) => ({ name, color, mark, values: chosenNow()[name][env].classes }));
  fill("class-chart", classChart(board[env], drawn));
}

function classChart(classes, drawn) {
  const order = classes.counts.map((_, at) => at)
    .sort((a, b) => classes.counts[b] - classes.counts[a] || a - b);
  const wide = Math.max(3, Math.min(90, (pageWidth() - 120) / order.length));
  const slanted = wide >= 14 && classes.names.some((name) => name.length > 3);
  const [left, top, height, bottom] = [56, 26, 220, slanted ? 106 : 40];
  const right = left + wide * order.length;
  const svg = drawing(Math.max(right + 60, 520), top + height + bottom, "Accuracy by class");
  const y = scale(top + height, top, 0, 100);
  const most = Math.max(1, ...classes.counts);
  const count = scale(0, height, 0, Math.log10(most + 1));
  for (const tick of ticks(0, 100, 5)) {
    svg.append(line(left, y(tick), right, y(tick), { class: "axis" }));
    svg.append(text(left - 6, y(tick) + 4, tick, "end", "soft"));
  }
  order.forEach((at, place) => {
    const high = count(Math.log10(classes.counts[at] + 1));
    const x = left + wide * place;
    const shot = classes.shots ? `, ${classes.shots[at]}` : "";
    svg.append(titled(shape("rect", {
      x: x + wide * 0.12, y: top + height - high, width: wide * 0.76, height: high, fill: "#dfe3e8",
    }), `${classes.names[at]}: ${classes.counts[at]} training images${shot}`));
    if (wide >= 14) svg.append(...classLabels(classes, at, x + wide / 2, top + height, slanted));
  });
  axisName(svg, "accuracy on the test domain, %", 14, top + height / 2, true);
  axisName(svg, "class, by training images", (left + right) / 2, top + height + bottom - 4);
  drawn.forEach((one, number) => svg.append(...marks(one, number, order, classes, left, wide, y)));
  svg.append(...shotLines(classes, order, left, wide, top, height));
  return svg;
}

function classLabels(classes, at, x, y, slanted) {
  const label = text(0, 0, classes.names[at], slanted ? "end" : "middle");
  label.setAttribute("transform", slanted ? `translate(${x + 4},${y + 12}) rotate(-40)`
    : `translate(${x},${y + 15})`);
  return [label, shape("text", { x, y: y - 4, "text-anchor": "middle", "font-size": 9, class: "soft" },
    String(classes.counts[at]))];
}

function marks({ name, color, mark, values }, number, order, classes, left, wide, y) {
  const size = Math.max(2.2, Math.min(5.5, wide / 2));
  const one = (x, at, about) => titled(mark === "circle"
    ? shape("circle", { cx: x, cy: at, r: size, fill: color, stroke: "#fff" })
    : shape("rect", {
      x: x - size, y: at - size, width: 2 * size, height: 2 * size, fill: "none", stroke: color,
      "pointer-events": "all",
      "stroke-width": size > 4 ? 2 : 1.2,
    }), about);
  const made = order.flatMap((at, place) => (values[at] === null || values[at] === undefined ? [] : [one(
    left + wide * (place + 0.5), y(values[at] / 10), `${name}, ${classes.names[at]}: ${percent(values[at] / 10)}`,
  )]));
  return [...made, one(left + 8 + 190 * number, 12, name), text(left + 20 + 190 * number, 16, name)];
}

// Thin lines where one shot group ends and the next begins.
function shotLines(classes, order, left, wide, top, height) {
  if (!classes.shots) return [];
  return order.flatMap((at, place) => {
    if (place === 0 || classes.shots[at] === classes.shots[order[place - 1]]) return [];
    const x = left + wide * place;
    return [line(x, top, x, top + height, { stroke: "#59636e", "stroke-dasharray": "2 3" })];
  });
}
