"use strict";
// Sorting and filtering of tables, and the confusion matrix of a chosen run. Without it every table is still there.
(function () {
  const value = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) { return cell.dataset.v === "" ? null : Number(cell.dataset.v); }
    return cell.textContent.trim();
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), undefined, {numeric: true});

  const sort = (table, column, direction) => {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", direction);
    const sign = direction === "descending" ? -1 : 1;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null)  // unknown: always last
      : sign * compare(a, b));
    body.append(...rows.map(([, row]) => row));
  };

  const sortable = [...document.querySelectorAll("table.sortable")];
  sortable.forEach((table) => {
    [...table.tHead.rows[table.tHead.rows.length - 1].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending" ||
          (!head.hasAttribute("aria-sort") && head.classList.contains("number"));  // numbers: the highest first
        sort(table, column, down ? "descending" : "ascending");
      });
    });
  });

  const filters = [...document.querySelectorAll("[data-table]")];
  const apply = (id) => {
    const own = filters.filter((filter) => filter.dataset.table === id && filter.value !== "");
    const rows = [...document.getElementById(id).tBodies[0].rows];
    let shown = 0;
    rows.forEach((row) => {
      const keep = own.every((filter) => filter.dataset.column === undefined
        ? row.textContent.toLowerCase().includes(filter.value.toLowerCase())
        : row.cells[filter.dataset.column].textContent.trim() === filter.value);
      row.hidden = !keep;
      shown += keep;
    });
    document.querySelector(`[data-count="${id}"]`).textContent =
      shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  };
  const applyAll = () => new Set(filters.map((filter) => filter.dataset.table)).forEach(apply);
  filters.forEach((filter) => filter.addEventListener("input", () => apply(filter.dataset.table)));

  const data = JSON.parse(document.getElementById("confusion-data").textContent);
  const select = document.getElementById("confusion-run");
  const body = document.getElementById("confusion-table").tBodies[0];
  const cell = (tag, text, scope) => {
    const made = document.createElement(tag);
    made.textContent = text;
    if (scope) { made.scope = scope; }
    return made;
  };
  const show = () => {
    const [classes, counts] = data.runs[Number(select.value)];
    const names = data.classes[classes];
    const head = document.createElement("tr");
    head.append(cell("td", "true \\ predicted"), ...names.map((name) => cell("th", name, "col")));
    body.replaceChildren(head, ...counts.map((row, i) => {
      const line = document.createElement("tr");
      const total = row.reduce((sum, n) => sum + n, 0);
      line.append(cell("th", names[i], "row"), ...row.map((n) => {
        const share = total ? 100 * n / total : 0;
        const made = cell("td", share.toFixed(1));
        made.style.backgroundColor = `rgba(0, 114, 178, ${(0.75 * share / 100).toFixed(3)})`;
        return made;
      }));
      return line;
    }));
  };
  select.addEventListener("input", show);

  // A live page loads itself again, unless it is paused; what was filtered, sorted, folded and chosen stays.
  const KEPT = "report-view";
  let storage = null;
  try { storage = window.sessionStorage; } catch { /* a sandboxed frame has none: the page opens as it is */ }
  const details = [...document.querySelectorAll("section[id] > details")];
  const keep = () => storage?.setItem(KEPT, JSON.stringify({
    filters: filters.map((filter) => [filter.dataset.table, filter.dataset.column, filter.value]),
    sorted: sortable.flatMap((table) => [...table.querySelectorAll("th[aria-sort]")].map(
      (head) => [table.id, head.cellIndex, head.getAttribute("aria-sort")])),
    open: details.map((one) => [one.parentNode.id, one.open]), run: select.value}));
  const restore = () => {
    const kept = JSON.parse(storage?.getItem(KEPT) || "null");
    storage?.removeItem(KEPT);
    if (!kept) { return; }
    filters.forEach((filter) => {
      const own = kept.filters.find(([table, column]) => table === filter.dataset.table &&
        (column ?? undefined) === filter.dataset.column);
      if (own) { filter.value = own[2]; if (filter.selectedIndex < 0) { filter.value = ""; } }
    });
    sortable.forEach((table) => kept.sorted.filter(([id]) => id === table.id).forEach(
      ([, column, direction]) => { if (column < table.tHead.rows[table.tHead.rows.length - 1].cells.length) {
        sort(table, column, direction); } }));
    details.forEach((one) => {
      const own = kept.open.find(([id]) => id === one.parentNode.id);
      if (own) { one.open = own[1]; }
    });
    if (data.runs[kept.run]) { select.value = kept.run; }
  };
  const live = document.getElementById("live");
  restore();
  if (live) {
    let waiting = null;
    const button = document.createElement("button");
    button.type = "button";
    const run = () => {
      waiting = setTimeout(() => { keep(); location.reload(); }, 1000 * Number(live.dataset.refresh));
      button.textContent = "Pause";
    };
    button.addEventListener("click", () => {
      if (waiting === null) { run(); } else { clearTimeout(waiting); waiting = null; button.textContent = "Go on"; }
    });
    live.append(" ", button);
    run();
  }
  show();
  // A browser may bring back what stood in fields before, after scripts have run.
  window.addEventListener("pageshow", () => { applyAll(); show(); });

  // Print what is folded away too, then fold it again.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((details) => { details.open = true; });
  });
  window.addEventListener("afterprint", () => opened.forEach((details) => { details.open = false; }));
})();
