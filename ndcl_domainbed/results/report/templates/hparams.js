// The chosen hyper-parameters: of what is shown as a table, all of them as a file.
const HPARAM = "hparams.";

function drawHparams() {
  const { columns, rows, boards } = DATA.hparams;
  const at = Object.fromEntries(columns.map((name, number) => [name, number]));
  const shown = rows.filter((row, number) => boards[number] === state.board
    && row[at.selection] === state.criterion && isShown(row[at.algorithm]));
  byId("hparams").hidden = shown.length === 0;
  if (shown.length === 0) return;
  const place = (row) => figuresNow().algorithms.indexOf(row[at.algorithm]);
  shown.sort((a, b) => place(a) - place(b));
  const named = columns.filter((name) => name.startsWith(HPARAM)
    && shown.some((row) => row[at[name]] !== null));
  const { domains } = boardOf(state.board);
  const head = ["Algorithm", "Test domain", "Trial", "Draw", "Step",
    ...named.map((name) => name.slice(HPARAM.length))];
  const body = shown.map((row) => [
    row[at.algorithm], domains[row[at.test_env]], row[at.trial_seed], row[at.hparams_seed],
    row[at.step], ...named.map((name) => row[at[name]] ?? ""),
  ]);
  fill("hparams-table", ...tableParts(head, body));
}

function csvOf({ columns, rows }) {
  const quoted = (value) => {
    const content = String(value ?? "");
    return /[",\r\n]/.test(content) ? `"${content.replaceAll('"', '""')}"` : content;
  };
  return [columns, ...rows].map((values) => `${values.map(quoted).join(",")}\n`).join("");
}

byId("hparams-file").addEventListener("click", (event) => {
  const file = new Blob([csvOf(DATA.hparams)], { type: "text/csv" });
  event.currentTarget.href = URL.createObjectURL(file);
});
