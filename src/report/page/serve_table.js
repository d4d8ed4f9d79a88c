// All runs as a table that can be sorted, and the comparison of those that are chosen.

const kStates = {training: "given", finished: "", "stopped early": "", interrupted: "", killed: "bad", diverged: "bad", "not begun": ""};
const statePill = state => el("span", {class: `pill ${kStates[state] || ""}`}, state);
const runLink = name => el("a", {href: pageAddress("/", {run: name})}, name);
const dated = seconds => { const d = new Date(1000 * seconds), two = n => String(n).padStart(2, "0"); return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}`; };
const progress = run => [text(run.step), run.max_steps > 0 && el("span", {class: "soft"}, ` / ${text(run.max_steps)}`),
  run.state === "training" && el("span", {class: "bar"}, el("i", {style: `left:0;width:${Math.min(100, 100 * run.step / Math.max(1, run.max_steps)).toFixed(1)}%;background:var(--accent)`}))];

// name, value to sort by, what is shown, whether it is a number
const kColumns = [
  ["run", run => run.name, run => runLink(run.name)],
  ["state", run => run.state, run => statePill(run.state)],
  ["task", run => `${run.task} ${run.model}`, run => [run.task, run.model && el("span", {class: "soft"}, `, ${run.model}`)]],
  ["step", run => run.step, progress, true],
  ["training loss", run => run.loss, run => metricText(run.loss), true],
  ["best", run => run.best_value, run => run.best_step >= 0 ? [el("span", {class: "soft"}, `${metricTitle(run.metric).toLowerCase()} `), metricText(run.best_value)] : "–", true],
  ["course", run => run.course.length, run => sparkline(run.course, "var(--K)")],
  ["time", run => run.time_s, run => clock(run.time_s), true],
  ["date", run => run.date, run => dated(run.date), true],
];

function runsTable(runs, chosen, onChoice) {
  const kept = JSON.parse(sessionStorage.getItem("qkv-sort") || "[0,1]");
  let [column, direction] = kColumns[kept[0]] ? kept : [0, 1];
  const rows = new Map(), body = el("tbody", {}), count = el("span", {class: "soft", id: "run-count"});
  const filter = el("input", {type: "text", id: "run-filter", placeholder: "part of a name, task, model or state", "aria-label": "filter", oninput: () => arrange()});
  const all = el("input", {type: "checkbox", "aria-label": "choose all that are shown", onchange: () => choose([...body.rows].map(row => row.dataset.name), all.checked)});
  const heads = kColumns.map(([name, , , right], i) => el("th", {scope: "col", class: right ? "n" : null}, el("button", {type: "button", class: "sort", onclick: () => sortBy(i)}, name)));

  function choose(names, on) {
    for (const name of names) {
      if (on) chosen.add(name); else chosen.delete(name);
      rows.get(name).querySelector("input").checked = on;
    }
    onChoice();
  }
  function sortBy(i) {
    direction = i === column ? -direction : 1;
    column = i;
    sessionStorage.setItem("qkv-sort", JSON.stringify([column, direction]));
    arrange();
  }
  function row(run) {
    const box = el("input", {type: "checkbox", "aria-label": `choose ${run.name}`, onchange: () => choose([run.name], box.checked)});
    box.checked = chosen.has(run.name);
    const fault = runs.faults[run.name];
    const node = el("tr", {}, el("td", {}, box), kColumns.map(([, , shown, right], i) => el(i ? "td" : "th", {class: right ? "n" : null, scope: i ? null : "row"}, shown(run), i === 1 && fault && el("span", {class: "missed", title: fault}, " !"))));
    node.dataset.name = run.name;
    return node;
  }
  const compare = (a, b) => {
    const [x, y] = [a, b].map(kColumns[column][1]), missing = v => v === undefined || v === null || Number.isNaN(v) || typeof v === "string" && v === "NaN";
    if (missing(x) || missing(y)) return missing(x) - missing(y) || a.name.localeCompare(b.name);
    return direction * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", {numeric: true})) || a.name.localeCompare(b.name);
  };
  function arrange() {
    const wanted = filter.value.toLowerCase();
    const list = runs.names.map(name => runs.all.get(name)).filter(Boolean).filter(run => [run.name, run.task, run.model, run.state].join(" ").toLowerCase().includes(wanted)).sort(compare);
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== column ? "none" : direction > 0 ? "ascending" : "descending"));
    if (list.length !== body.rows.length || list.some((run, i) => body.rows[i].dataset.name !== run.name)) body.replaceChildren(...list.map(run => rows.get(run.name)));
    count.textContent = list.length < runs.names.length ? `${list.length} of ${runs.names.length} runs` : `${list.length} run${list.length === 1 ? "" : "s"}`;
  }
  return {
    node: el("div", {}, el("div", {class: "controls"}, el("label", {}, "Show", filter), count),
             scrollCard("runs", el("table", {id: "runs"}, el("thead", {}, el("tr", {}, el("th", {scope: "col"}, all), heads)), body))),
    update({changed}) {
      for (const name of [...rows.keys()]) if (!runs.all.has(name)) rows.delete(name);
      for (const name of new Set([...changed, ...Object.keys(runs.faults)])) {
        const run = runs.all.get(name), old = rows.get(name);
        if (!run) continue;
        rows.set(name, row(run));
        if (old && old.isConnected) old.replaceWith(rows.get(name));
      }
      arrange();
    },
  };
}

async function showPictures() {
  const {pictures} = await ask("/api/pictures");
  if (!pictures.length) return;
  section("pictures", "Sweeps", "The pictures that sweeps left in this folder.",
    el("div", {class: "grid"}, pictures.map(file => el("figure", {class: "card picture"}, el("img", {src: pageAddress("/picture", {file}), alt: `picture ${file}`, loading: "lazy"}), el("figcaption", {class: "note"}, file)))));
}

function showRuns(runs) {
  const chosen = new Set(new URLSearchParams(location.search).getAll("compare"));
  document.title = `${data.serve.folder} – qkv`;
  document.getElementById("main").append(el("h1", {}, `Runs in ${data.serve.folder}`), el("p", {class: "lead"}, "All runs of the folder as they are now. Choose some to compare them; open one to see it whole."));
  const table = runsTable(runs, chosen, choice);
  document.getElementById("main").append(table.node);
  const grid = curveGrid(), numbers = comparison(), note = el("p", {class: "note"});
  const compared = section("compare", "Comparison", "Curves, final numbers and differences of config of the chosen runs; runs that differ in the seed alone are one row with its noise. Dashed lines are of the training.", note, numbers.node, el("div", {class: "next"}, grid.node));
  const shown = () => [...chosen].map(name => runs.shown.get(name)).filter(run => run && run.to > 0);

  function draw() {
    compared.hidden = document.querySelector('#nav a[href="#compare"]').hidden = chosen.size === 0;
    const list = shown();
    if (list.length) numbers.update(list), grid.update(list);
  }
  async function choice() {
    history.replaceState(null, "", pageAddress("/", {compare: [...chosen]}));
    for (const name of [...runs.shown.keys()]) if (!chosen.has(name)) runs.shown.delete(name);
    draw();
    const failed = (await Promise.allSettled([...chosen].map(name => runs.follow(name)))).filter(one => one.status === "rejected");
    note.textContent = failed.map(one => one.reason.message).join("; ");
    draw();
  }
  if (chosen.size) choice();
  draw();
  showPictures().catch(() => {});
  return change => {
    table.update(change);
    if (change.changed.some(name => chosen.has(name))) draw();
  };
}
