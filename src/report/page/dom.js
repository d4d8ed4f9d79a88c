// Elements, colours, numbers: what every picture needs. Texts of the data only ever become text nodes.

const data = JSON.parse(document.getElementById("data").textContent);
const redraws = [];  // called when the colours change

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") node.style.cssText = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(9))
    if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// A section with its heading, a sentence on what it shows, and an entry in the navigation.
function section(id, title, lead, ...children) {
  document.getElementById("nav").append(el("a", {href: "#" + id}, title));
  const node = el("section", {id, "aria-labelledby": id + "-title"}, el("h2", {id: id + "-title"}, title),
                  lead && el("p", {class: "lead"}, lead), ...children);
  document.getElementById("main").append(node);
  return node;
}

// A table with the names of its columns; those whose name is in `numbers` are right-aligned. `caption` may be null.
// Rows are lists of texts or nodes; the first of each is its name.
function dataTable(caption, columns, numbers, rows) {
  const right = i => numbers.includes(columns[i]) ? "n" : null;
  return el("table", {}, caption && el("caption", {}, caption),
    el("thead", {}, el("tr", {}, columns.map((name, i) => el("th", {scope: "col", class: right(i)}, name)))),
    el("tbody", {}, rows.map(row => el("tr", {}, row.map((cell, i) => i ? el("td", {class: right(i)}, cell) : el("th", {scope: "row"}, cell))))));
}

// A card whose content may be wider than the screen: reached and scrolled with the keyboard.
const scrollCard = (name, ...children) => el("div", {class: "card scroll", tabindex: 0, role: "region", "aria-label": name}, ...children);

function select(label, id, options, change) {
  const node = el("select", {id, onchange: () => change(Number(node.value))},
                  options.map((text, i) => el("option", {value: i}, text)));
  return el("label", {}, label, node);
}

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const classColour = i => `var(--c${((i % 8) + 8) % 8})`;

function rgb(name) {
  const hex = css(name).replace("#", "");
  return [0, 2, 4].map(i => parseInt(hex.slice(i, i + 2), 16));
}
const mix = (a, b, share) => a.map((v, i) => Math.round(v + (b[i] - v) * share));

// Words that were joined with spaces, as they are written: no space before punctuation.
const tidy = sentence => sentence.replace(/ ([.,;:!?%)]|'s\b|n't\b)/g, "$1");

const exponential = (x, digits) => x.toExponential(digits).replace(/e([+-])(\d)$/, "e$10$2");  // e-05, as C writes it

// A loss or a score, as metric_text writes it (log/number_text.h).
function metricText(x) {
  if (typeof x !== "number" || Number.isNaN(x)) return "–";
  const size = Math.abs(x);
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return exponential(x, 2);
  return x.toFixed(size < 100 ? 4 : 2);
}

// Any number: whole ones are counts.
const text = x => typeof x === "string" ? x : Number.isInteger(x) ? x.toLocaleString("en") : metricText(x);
const clock = seconds => !(seconds >= 0) ? "–" : seconds < 60 ? `${seconds.toFixed(1)} s` : seconds < 3600 ? `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")} min` : `${Math.floor(seconds / 3600)}:${String(Math.floor(seconds / 60) % 60).padStart(2, "0")} h`;

// ---- the tip that follows the pointer

const tip = document.getElementById("tip");
function showTip(event, words) {
  tip.textContent = words;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
  tip.style.top = Math.max(4, event.clientY - box.height - 12) + "px";
}
const hideTip = () => { tip.hidden = true; };

// ---- dark and light

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  for (const redraw of redraws) redraw();
}
const preference = matchMedia("(prefers-color-scheme: dark)");
setTheme(preference.matches ? "dark" : "light");
let shownTheme = null;  // while the light one is printed
addEventListener("beforeprint", () => { shownTheme = document.documentElement.dataset.theme; setTheme("light"); });
addEventListener("afterprint", () => setTheme(shownTheme));
preference.addEventListener("change", () => setTheme(preference.matches ? "dark" : "light"));
document.getElementById("theme").addEventListener(
  "click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
