// The leaderboard: domains, their average, and the measures; sorts and filters.
const MEANINGS = {
  Avg: "mean over the test domains", Many: "mean over the classes with many training images",
  Medium: "mean over the classes between Many and Few", Zero: "classes without a training image",
  Few: "mean over the classes with few training images",
  Balanced: "mean over all classes, each counted alike",
  "Worst class": "the class with the lowest accuracy",
  "Lost to imbalance": "with as many training images spread evenly, minus this; less is better",
};
const sorting = { column: null, descending: true };

// The columns of the table: {title, cells (by row), start: whether a group of columns begins}.
function columnsOf(board, figures) {
  const overall = figures.domains.overall;
  const columns = [...board.domains, "Avg"].map((title, number) => ({
    title, start: number === 0, cells: overall.map((row) => row[number]),
    average: number === board.domains.length,
  }));
  figures.metrics.forEach((metric, number) => {
    if (metric === "overall") return;
    columns.push({
      title: TITLES[metric], start: number === 1, average: false,
      cells: figures.measures.map((row) => row[number]),
    });
  });
  if (figures.lost.length) {
    const cells = figures.lost.map(([cell]) => cell);
    columns.push({ title: "Lost to imbalance", start: true, average: false, unmarked: true, cells });
  }
  return columns;
}

// Which of the shown rows are best and second in a column, as the figures read.
function places(column, rows) {
  const read = new Map();
  for (const { row } of rows) {
    if (isFigure(column.cells[row])) read.set(row, Number(percent(column.cells[row][0])));
  }
  const values = [...new Set(read.values())].sort((a, b) => b - a);
  const marks = new Map();
  if (rows.length < 2 || column.unmarked) return marks;
  for (const [row, value] of read) {
    if (value > 0 && value === values[0]) marks.set(row, "b");
    else if (value > 0 && value === values[1]) marks.set(row, "u");
  }
  return marks;
}

function sorted(rows, columns) {
  if (sorting.column === null) return rows;
  const sign = sorting.descending ? -1 : 1;
  if (sorting.column === "Algorithm") {
    return [...rows].sort((a, b) => sign * a.name.localeCompare(b.name));
  }
  const column = columns.find(({ title }) => title === sorting.column);
  if (!column) return rows;
  const value = ({ row }) => (isFigure(column.cells[row]) ? column.cells[row][0] : null);
  return [...rows].sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left === null || right === null) return (left === null) - (right === null);
    return sign * (left - right);
  });
}

function header(title, start) {
  const button = element("button", { type: "button", title: MEANINGS[title] || "" }, title);
  button.addEventListener("click", () => {
    sorting.descending = sorting.column === title ? !sorting.descending : title !== "Algorithm";
    sorting.column = title;
    drawLeaderboard();  // with new buttons: the focus returns to the one pressed
    byId("board-table").querySelector("[aria-sort] button").focus();
  });
  const cell = element("th", { scope: "col" }, button);
  if (start) cell.classList.add("start");
  if (sorting.column === title) {
    cell.setAttribute("aria-sort", sorting.descending ? "descending" : "ascending");
  }
  return cell;
}

function figureCell(column, row, mark, most) {
  const cell = column.cells[row];
  const made = element("td", column.start ? { class: "start" } : {});
  if (!isFigure(cell)) {
    made.classList.add("missing");
    made.title = whyMissing(cell);
    made.append("X");
    return made;
  }
  const [mean, error, trials] = cell;
  made.append(mark ? element(mark, {}, percent(mean)) : percent(mean));
  if (!column.average && trials > 1) {
    made.append(element("span", { class: "error" }, ` ± ${percent(error)}`));
  }
  if (trials < most) made.append(element("span", { class: "error" }, ` (n=${trials})`));
  made.title = `${trials} trial${trials === 1 ? ", so no error" : "s"}`;
  return made;
}

// Why figures are missing: a line per reason, with the columns that it is about.
function missing(columns, rows) {
  const found = new Map();
  for (const column of columns) {
    for (const { name, row } of rows.filter((one) => !isFigure(column.cells[one.row]))) {
      const reason = whyMissing(column.cells[row]);
      if (!found.has(reason)) found.set(reason, new Map());
      const where = found.get(reason);
      where.set(column.title, [...(where.get(column.title) || []), name]);
    }
  }
  return [...found].map(([reason, where]) => {
    const parts = [...where].map(([title, names]) => (
      names.length === rows.length ? title : `${title} (${names.join(", ")})`
    ));
    return `X under ${parts.join("; ")}: ${reason}`;
  });
}

function drawLeaderboard() {
  const figures = figuresNow();
  if (!figures) {
    fill("board-table");
    fill("board-notes", nothing("The criterion does not apply to this dataset and setting."));
    return;
  }
  const board = boardOf(state.board);
  const columns = columnsOf(board, figures);
  const rows = sorted(shownRows(figures), columns);
  const marks = columns.map((column) => places(column, rows));
  const trials = columns.flatMap(({ cells }) => cells.filter(isFigure).map((cell) => cell[2]));
  const most = Math.max(0, ...trials);
  const body = rows.map(({ name, row }) => element(
    "tr", name === DATA.reference ? { class: "reference" } : {}, element("td", {}, name),
    ...columns.map((column, number) => figureCell(column, row, marks[number].get(row), most)),
  ));
  const head = element("tr", {}, header("Algorithm", false),
    ...columns.map(({ title, start }) => header(title, start)));
  fill("board-table", element("thead", {}, head), element("tbody", {}, ...body));
  const lines = [`Avg and measures: mean over ${figures.over}.`, ...figures.notes,
    ...missing(columns, rows)];
  fill("board-notes", ...[...board.legend, ...lines].map((content) => element("p", {}, content)));
  const { title } = DATA.criteria.find(({ key }) => key === state.criterion);
  byId("shown").textContent = `Showing ${state.board}, model selection by the ${title}, `
    + `${rows.length} of ${figures.algorithms.length} algorithms.`;
}
