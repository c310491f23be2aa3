// What a figure of the board costs.
function drawCosts() {
  const { columns, meaning, rows } = DATA.costs;
  const shown = (rows[state.board] || []).filter(([name]) => isShown(name));
  byId("costs").hidden = shown.length === 0;
  byId("costs-about").textContent = `${meaning}.`;
  fill("costs-table", ...tableParts(["Algorithm", ...columns], shown));
}
