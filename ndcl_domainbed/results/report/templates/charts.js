// Bars of the shot groups, and the heat map.
const GROUPS = [
  ["many", "#003f5c"], ["medium", "#0072b2"], ["few", "#e69f00"], ["zero", "#8c8c8c"],
];

function drawGroups() {
  const figures = figuresNow();
  const board = boardOf(state.board);
  const groups = GROUPS.filter(([key]) => figures && figures.metrics.includes(key)
    && figures.measures.some((row) => isFigure(row[figures.metrics.indexOf(key)])));
  byId("groups").hidden = groups.length === 0;
  if (groups.length === 0) return;
  byId("groups-about").textContent =
    "A class with many training images is Many, one with few is Few; zero: none at all. Means "
    + `over ${figures.over}; higher is better; whiskers: standard error over trials. `
    + board.thresholds.join(" ");
  fill("groups-chart", groupBars(figures, groups));
}

function groupBars(figures, groups) {
  const rows = shownRows(figures);
  const left = textWidth(rows.map(({ name }) => name)) + 12;
  const band = 9 * groups.length + 7;
  const [width, top] = [pageWidth(), 28];
  const svg = drawing(width, top + band * rows.length + 40, "Accuracy of the shot groups");
  const x = scale(left, width - 60, 0, 100);
  groups.forEach(([key, color], number) => {
    svg.append(shape("rect", { x: left + 95 * number, y: 4, width: 12, height: 12, fill: color }));
    svg.append(text(left + 95 * number + 17, 14, TITLES[key]));
  });
  for (const tick of ticks(0, 100, 5)) {
    svg.append(line(x(tick), top - 4, x(tick), top + band * rows.length, { class: "axis" }));
    svg.append(text(x(tick), top + band * rows.length + 16, tick, "middle", "soft"));
  }
  axisName(svg, "accuracy on the test domains, %", x(50), top + band * rows.length + 34);
  rows.forEach(({ name, row }, at) => {
    const y = top + band * at;
    svg.append(text(left - 8, y + band / 2 + 2, name, "end"));
    groups.forEach(([key, color], number) => {
      const cell = figures.measures[row][figures.metrics.indexOf(key)];
      if (isFigure(cell)) svg.append(...bar(x, y + 9 * number, cell, color, `${name}, ${TITLES[key]}`));
    });
  });
  return svg;
}

function bar(x, y, [mean, error, trials], color, name) {
  const about = `${name}: ${percent(mean)}${trials > 1 ? ` ± ${percent(error)}` : ""}`;
  const whisker = line(x(Math.max(0, mean - error)), y + 4, x(Math.min(100, mean + error)), y + 4, {
    stroke: "#1b1f24", "stroke-width": 1,
  });
  const end = x(Math.min(100, mean + error)) + 4;
  return [
    titled(shape("rect", {
      x: x(0), y, width: Math.max(0.5, x(mean) - x(0)), height: 8, fill: color,
    }), about),
    whisker,
    shape("text", { x: end, y: y + 8, "font-size": 9, class: "soft" }, percent(mean)),
  ];
}

// Orange below the mean of the column, white at it, blue above: told apart by the color-blind.
// Black reads best on all but the darkest blues.
function heatColor(difference, most) {
  const share = Math.min(1, Math.abs(difference) / (most || 1));
  const [red, green, blue] = difference < 0 ? [213, 94, 0] : [0, 90, 160];
  const mix = (channel) => Math.round(255 + (channel - 255) * share * 0.9);
  return { fill: `rgb(${mix(red)},${mix(green)},${mix(blue)})`, dark: difference > 0 && share > 0.8 };
}

function drawHeat() {
  const figures = figuresNow();
  byId("heat").hidden = !figures;
  if (!figures) return;
  const metric = options("heat-metric", figures.metrics.map((key) => [key, TITLES[key]]), "overall");
  const rows = shownRows(figures);
  const cells = figures.domains[metric];
  const columns = [...boardOf(state.board).domains, "Avg"];
  const means = columns.map((_, column) => {
    const known = rows.map(({ row }) => cells[row][column]).filter(isFigure);
    return known.reduce((sum, [mean]) => sum + mean, 0) / (known.length || 1);
  });
  const most = Math.max(1, ...rows.flatMap(({ row }) => cells[row].map(
    (cell, column) => (isFigure(cell) ? Math.abs(cell[0] - means[column]) : 0))));
  fill("heat-chart", heatMap(rows, cells, columns, means, most));
}

function heatMap(rows, cells, columns, means, most) {
  const left = textWidth(rows.map(({ name }) => name)) + 12;
  const [high, top] = [24, 26];
  const even = Math.floor((pageWidth() - left - 8) / columns.length);
  const wide = Math.max(64, textWidth(columns) + 10, Math.min(160, even));
  const width = Math.max(left + wide * columns.length + 8, left + 330);
  const svg = drawing(width, top + high * rows.length + 40, "Accuracy by algorithm and domain");
  columns.forEach((name, column) => {
    svg.append(text(left + wide * (column + 0.5), top - 8, name, "middle"));
  });
  rows.forEach(({ name, row }, at) => {
    const y = top + high * at;
    svg.append(text(left - 8, y + 16, name, "end"));
    cells[row].forEach((cell, column) => {
      const x = left + wide * column;
      const known = isFigure(cell);
      const color = known ? heatColor(cell[0] - means[column], most) : { fill: "#eee" };
      const about = known ? `${percent(cell[0])}, column mean ${percent(means[column])}`
        : whyMissing(cell);
      svg.append(titled(shape("rect", {
        x: x + 1, y: y + 1, width: wide - 2, height: high - 2, fill: color.fill,
      }), `${name}, ${columns[column]}: ${about}`));
      const label = text(x + wide / 2, y + 16, known ? percent(cell[0]) : "X", "middle");
      if (color.dark) label.style.fill = "#fff";
      svg.append(label);
    });
  });
  svg.append(...heatKey(left, top + high * rows.length + 12, most));
  return svg;
}

function heatKey(x, y, most) {
  const steps = [-1, -0.5, 0, 0.5, 1];
  return steps.flatMap((share, number) => {
    const color = heatColor(share * most, most);
    const label = text(x + 60 * number + 30, y + 14, `${share > 0 ? "+" : ""}${percent(share * most)}`, "middle");
    if (color.dark) label.style.fill = "#fff";
    return [shape("rect", { x: x + 60 * number, y, width: 60, height: 20, fill: color.fill }), label];
  });
}
