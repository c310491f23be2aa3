// The controls. A criterion that was asked for is kept when the board changes.
function drawAll() {
  for (const draw of [drawLeaderboard, drawGroups, drawHeat, drawCurves, drawClasses, drawRanks,
    drawHparams, drawCosts]) draw();
}

function chooseBoard() {
  state.board = byId("board").value;
  const there = DATA.criteria.filter(({ key }) => DATA.figures[key][state.board]);
  if (!state.asked) byId("criterion").replaceChildren();
  const balanced = boardOf(state.board).setting !== "none" ? "balanced" : "training";
  state.criterion = options("criterion", there.map(({ key, title }) => [key, title]), balanced);
  drawAll();
}

options("board", DATA.boards.map(({ key }) => [key, key]), "");
options("criterion", [], "");
byId("board").addEventListener("change", chooseBoard);
byId("criterion").addEventListener("change", () => {
  state.criterion = byId("criterion").value;
  state.asked = true;
  drawAll();
});
byId("filter").addEventListener("input", () => {
  state.filter = byId("filter").value;
  drawAll();
});
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("heat-metric").addEventListener("change", drawHeat);
byId("rank-metric").addEventListener("change", drawRanks);
byId("curve-domain").addEventListener("change", drawCurves);
for (const id of ["class-domain", "class-first", "class-second"]) {
  byId(id).addEventListener("change", drawClasses);
}
if (DATA.boards.length) chooseBoard();
let drawnAt = pageWidth();
addEventListener("resize", () => {
  if (DATA.boards.length && pageWidth() !== drawnAt) drawAll();
  drawnAt = pageWidth();
  markScrolling();
});
document.documentElement.dataset.ready = "yes";
