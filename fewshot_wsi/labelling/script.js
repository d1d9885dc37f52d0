"use strict";
// Tiles one by one, a class for each. The state is `classes` (names), `labels` (a class number a tile, or null) and `at`
// (the tile shown); every change is kept in the browser, with what undoes it.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#b58900", "#56B4E9", "#8a63d2", "#7f7f7f", "#c0392b", "#2aa198"];
  const UNDONE = 500;  // changes that can be undone after a reload
  const at = (id) => document.getElementById(id);
  const colour = (k) => COLOURS[k % COLOURS.length];
  const key = (k) => k < 9 ? String(k + 1) : k === 9 ? "0" : "";

  let storage = null;
  try {
    storage = window.localStorage;
    storage.setItem("labels:", "");
    storage.removeItem("labels:");
  } catch { storage = null; }  // switched off, or full
  const KEPT = `labels:${data.key}`;
  const fresh = () => ({classes: [...data.classes], labels: data.tiles.map(() => null), at: 0, past: []});
  const read = () => {
    try { return JSON.parse(storage?.getItem(KEPT) || "null") || fresh(); } catch { return fresh(); }
  };
  let state = read();
  const keep = () => {
    try { storage?.setItem(KEPT, JSON.stringify({...state, past: state.past.slice(-UNDONE)})); }
    catch { storage = null; }
    at("unkept").hidden = storage !== null;
  };

  // ---- changes: each remembers what it replaced ----
  const remember = (before) => state.past.push({at: state.at, ...before});
  const next = () => {
    const count = data.tiles.length;
    for (let step = 1; step <= count; step++) {
      const i = (state.at + step) % count;
      if (state.labels[i] === null) { return i; }
    }
    return Math.min(state.at + 1, count - 1);
  };
  const give = (k) => {
    if (k >= state.classes.length) { return; }
    remember({label: state.labels[state.at]});
    state.labels[state.at] = k;
    state.at = next();
    show();
  };
  const clear = () => {
    if (state.labels[state.at] === null) { return; }
    remember({label: state.labels[state.at]});
    state.labels[state.at] = null;
    show();
  };
  const go = (i) => { state.at = Math.max(0, Math.min(data.tiles.length - 1, i)); show(); };
  const undo = () => {
    const before = state.past.pop();
    if (!before) { return; }
    state.at = before.at;
    if (before.classes) { state.classes = before.classes; } else { state.labels[before.at] = before.label; }
    show();
  };
  // Why a class cannot be called `name`, or "".
  const refusal = (name, but) => name === "" ? "A class needs a name."
    : state.classes.some((other, k) => k !== but && other === name) ? "There is a class of this name." : "";
  const add = (name) => {
    const why = refusal(name, null);
    if (!why) {
      remember({classes: [...state.classes]});
      state.classes.push(name);
    }
    return why;
  };
  const rename = () => {
    const names = state.classes;
    const old = window.prompt(`Which class? Its number, 1 to ${names.length}:`, "1");
    const k = Number(old) - 1;
    if (old === null || !(k in names)) { return; }
    const name = window.prompt("Its new name:", names[k])?.trim();
    if (name === undefined) { return; }
    at("refused").textContent = refusal(name, k);
    if (!at("refused").textContent && name !== names[k]) {
      remember({classes: [...names]});
      names[k] = name;
    }
    show();
  };

  // ---- names, written as fewshot_wsi/foundation/names.py does ----
  const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;
  const ESCAPE = /\\(?:\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})/;
  const escaped = (char) => {
    const n = char.codePointAt(0);
    const hex = (digits) => n.toString(16).padStart(digits, "0");
    return n < 0x100 ? `\\x${hex(2)}` : n < 0x10000 ? `\\u${hex(4)}` : `\\U${hex(8)}`;
  };
  const doubled = (name) => name.replaceAll("\\", "\\\\");
  const visible = (name) => {
    const shown = doubled(name).replace(HIDDEN, escaped);
    return shown !== doubled(name) || ESCAPE.test(name) ? shown : name;
  };
  const inert = (name) => {
    if (visible(name) !== name || name !== name.trim()) {
      return "'\\" + doubled(name).replace(HIDDEN, escaped).replace(/\s/gu, escaped);
    }
    return /^[=+\-@']/.test(name) ? `'${name}` : name;  // no spreadsheet computes it
  };

  // ---- the CSV that predict.py reads ----
  const cell = (name) => {
    const text = inert(name);
    return /[",;\t\r\n ]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = () => {
    const named = data.tiles.flatMap((tile, i) => state.labels[i] === null ? []
      : [[tile.path, state.classes[state.labels[i]], tile.group]]);
    const rows = [...data.earlier, ...named];
    const width = rows.some((row) => row[2]) ? 3 : 2;
    const lines = [["path", "label", "group"], ...rows].map((row) => row.slice(0, width).map((v) => cell(v || "")).join(","));
    return lines.join("\n") + "\n";
  };
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
    link.download = "labels.csv";
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };

  // ---- what is shown ----
  const strip = data.tiles.map((tile, i) => {
    const button = document.createElement("button");
    const image = new Image();
    button.type = "button";
    image.src = tile.image;
    image.alt = "";
    button.append(image);
    button.addEventListener("click", () => go(i));
    at("strip").append(button);
    return button;
  });
  const classButton = (name, k, count) => {
    const button = document.createElement("button");
    const parts = ["kbd", "span", "small"].map((tag) => document.createElement(tag));
    [key(k), visible(name), count].forEach((text, i) => { parts[i].textContent = text; });
    parts[0].hidden = key(k) === "";
    parts[1].style.gridColumn = "2";
    button.type = "button";
    button.append(...parts);
    button.style.setProperty("--own", colour(k));
    button.setAttribute("aria-pressed", String(state.labels[state.at] === k));
    button.addEventListener("click", () => give(k));
    return button;
  };
  const show = () => {
    keep();
    const tile = data.tiles[state.at], label = state.labels[state.at], count = data.tiles.length;
    const done = state.labels.filter((k) => k !== null).length;
    at("progress").textContent = `${done} of ${count} labelled` + (done === count ? ": export the CSV" : "");
    at("tile").src = tile.image;
    at("tile").alt = `Tile ${state.at + 1}: ${visible(tile.path)}`;
    at("tile").style.setProperty("--shape", tile.shape);
    at("place").textContent = `${state.at + 1} of ${count} ·`;
    at("name").textContent = visible(tile.path);
    at("given").textContent = label === null ? "" : visible(state.classes[label]);
    at("classes").replaceChildren(...state.classes.map((name, k) =>
      classButton(name, k, state.labels.filter((one) => one === k).length)));
    strip.forEach((button, i) => {
      const k = state.labels[i];
      button.setAttribute("aria-current", String(i === state.at));
      button.setAttribute("aria-label", `Tile ${i + 1}` + (k === null ? "" : `: ${visible(state.classes[k])}`));
      if (k === null) { button.style.removeProperty("--own"); } else { button.style.setProperty("--own", colour(k)); }
    });
    const bar = at("strip"), own = strip[state.at];
    bar.scrollLeft = own.offsetLeft - bar.offsetLeft - (bar.clientWidth - own.clientWidth) / 2;
    at("undo").disabled = state.past.length === 0;
    at("clear").disabled = label === null;
    at("back").disabled = state.at === 0;
    at("forth").disabled = state.at === count - 1;
    at("rename").disabled = state.classes.length === 0;
    at("csv").value = csv();
  };

  // ---- what is pressed ----
  at("back").addEventListener("click", () => go(state.at - 1));
  at("forth").addEventListener("click", () => go(state.at + 1));
  at("clear").addEventListener("click", clear);
  at("undo").addEventListener("click", undo);
  at("rename").addEventListener("click", rename);
  at("export").addEventListener("click", save);
  at("csv").addEventListener("focus", () => at("csv").select());
  at("adding").addEventListener("submit", (event) => {
    event.preventDefault();
    at("refused").textContent = add(at("new").value.trim());
    if (!at("refused").textContent) {
      at("new").value = "";
      at("new").blur();  // so that the next digit names a class
    }
    show();
  });
  const KEYS = {u: undo, Backspace: undo, Delete: clear, ArrowLeft: () => go(state.at - 1), ArrowRight: () => go(state.at + 1)};
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, textarea")) { return; }
    const control = event.ctrlKey || event.metaKey;
    if (control && !event.altKey && event.key.toLowerCase() === "z") {
      event.preventDefault();
      undo();
    } else if (!control && !event.altKey) {
      const digit = /^[0-9]$/.test(event.key) && !event.repeat;  // a key held down labels one tile
      const act = digit ? () => give((Number(event.key) + 9) % 10) : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (act) {
        event.preventDefault();
        act();
      }
    }
  });
  window.addEventListener("storage", (event) => {  // the same page in another tab
    if (event.key === KEPT) { state = read(); show(); }
  });
  show();
})();
