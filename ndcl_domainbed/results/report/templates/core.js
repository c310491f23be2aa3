"use strict";
// What the other scripts share: the data, the state of the controls, drawing.
const DATA = JSON.parse(document.getElementById("data").textContent);
const TITLES = Object.fromEntries(DATA.metrics.map((metric) => [metric.key, metric.title]));
const state = { board: "", criterion: "", filter: "", asked: false };

const byId = (id) => document.getElementById(id);
const boardOf = (key) => DATA.boards.find((board) => board.key === key);
const figuresNow = () => (DATA.figures[state.criterion] || {})[state.board];
const chosenNow = () => (DATA.chosen[state.criterion] || {})[state.board] || {};
const percent = (value) => value.toFixed(1);
const isFigure = (cell) => Array.isArray(cell);
const whyMissing = (cell) => DATA.reasons[cell];

// The width that a chart may use: that of the page's sections; below 640 pixels it scrolls.
const LEAST_WIDTH = 640;
const pageWidth = () => Math.max(LEAST_WIDTH, document.querySelector("main").clientWidth);

// An algorithm is shown if its name begins with one of the words of the filter; "NDCL (a=0, b=0)"
// is one word.
function isShown(name) {
  const words = state.filter.toLowerCase().split(/[\s,]+(?![^(]*\))(?!\()/).filter(Boolean);
  return words.length === 0 || words.some((word) => name.toLowerCase().startsWith(word));
}

function shownRows(figures) {
  return figures.algorithms.map((name, row) => ({ name, row })).filter(({ name }) => isShown(name));
}

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";
function shape(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function drawing(width, height, label) {
  return shape("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label,
  });
}

function text(x, y, content, anchor = "start", kind = "") {
  return shape("text", { x, y, "text-anchor": anchor, class: kind }, String(content));
}

function titled(node, content) {
  node.append(shape("title", {}, content));
  return node;
}

function line(x1, y1, x2, y2, attributes) {
  return shape("line", { x1, y1, x2, y2, ...attributes });
}

// A path through the points; it breaks where a value is missing.
function path(points, attributes) {
  let d = "";
  let pen = "M";
  for (const [x, y] of points) {
    if (y === null) { pen = "M"; continue; }
    d += `${pen}${x.toFixed(1)},${y.toFixed(1)}`;
    pen = "L";
  }
  return shape("path", { d, fill: "none", ...attributes });
}

// The name of an axis: below its middle, or turned on the left.
function axisName(svg, content, x, y, turned = false) {
  const label = text(0, 0, content, "middle", "soft");
  label.setAttribute("transform", `translate(${x},${y})${turned ? " rotate(-90)" : ""}`);
  svg.append(label);
}

function scale(from, to, low, high) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

// Round steps that cut [low, high] into about `count` parts.
function ticks(low, high, count) {
  const raw = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw);
  const made = [];
  for (let at = Math.ceil(low / step) * step; at <= high + 1e-9; at += step) made.push(at);
  return made.map((value) => Number(value.toPrecision(10)));
}

const ruler = document.createElement("canvas").getContext("2d");
function textWidth(names) {
  ruler.font = "12px system-ui, 'DejaVu Sans', sans-serif";  // that of an svg in report.css
  return Math.max(40, ...names.map((name) => Math.ceil(ruler.measureText(name).width)));
}

function fill(id, ...children) {
  byId(id).replaceChildren(...children);
  markScrolling();
}

// Say where a table or chart is wider than the page.
function markScrolling() {
  for (const node of document.querySelectorAll(".wide")) {
    node.classList.toggle("scrolls", node.scrollWidth > node.clientWidth + 1);
  }
}

// Head and body of a table; the row of the reference stands out.
function tableParts(head, rows) {
  const row = (values, tag, attributes) => element("tr", attributes,
    ...values.map((value) => element(tag, tag === "th" ? { scope: "col" } : {}, String(value))));
  const isOwn = (name) => name === DATA.reference;
  return [
    element("thead", {}, row(head, "th", {})),
    element("tbody", {}, ...rows.map((values) => (
      row(values, "td", isOwn(values[0]) ? { class: "reference" } : {})))),
  ];
}

function nothing(reason) {
  return element("p", { class: "soft" }, reason);
}

// Fill a <select>, and keep what was chosen if it is still there.
function options(id, entries, preferred) {
  const select = byId(id);
  const before = select.options.length ? select.value : undefined;
  select.replaceChildren(...entries.map(([value, label]) => element("option", { value }, label)));
  const values = entries.map(([value]) => value);
  select.value = [before, preferred, values[0]].find((value) => values.includes(value)) ?? "";
  return select.value;
}
