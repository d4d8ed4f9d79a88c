// How reports look and how they are used without a mouse: see browser_test.sh.   node looks_test.mjs CHROMIUM SCRATCH_DIR
import assert from "node:assert/strict";
import {readdirSync, readFileSync} from "node:fs";
import {chromium} from "playwright-core";

const [executablePath, scratch] = process.argv.slice(2);
const browser = await chromium.launch({executablePath, args: ["--no-sandbox"]});
async function open(file, options = {}) {
  const page = await browser.newPage({viewport: {width: 1280, height: 900}, ...options});
  page.faults = [];
  page.on("pageerror", error => page.faults.push(error.stack));
  await page.goto(`file://${scratch}/runs/${file}`);
  return page;
}
const reports = ["bank/report.html", "two.html", "stories/report.html"];

// ---- three widths, dark and light: nothing is wider than the screen, words can be read
const luminance = "c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; }";
for (const file of reports)
  for (const width of [360, 800, 1600])
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(file, {viewport: {width, height: 900}, colorScheme}), where = `${file} at ${width} px, ${colorScheme}`;
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), colorScheme);
      const outside = await page.evaluate(() => [...document.querySelectorAll("main *")].filter(e => {
        const box = e.getBoundingClientRect();
        return box.width > 0 && (box.right > innerWidth + 1 || box.left < -1) && !e.closest(".scroll");
      }).map(e => `${e.tagName}.${e.className.baseVal ?? e.className} ${e.textContent.slice(0, 30)}`));
      assert.deepEqual(outside, [], where);
      assert((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, where);
      const faint = await page.evaluate(luminance => {
        const of = eval(luminance), paper = of(getComputedStyle(document.querySelector(".card")).backgroundColor);
        const contrast = c => (Math.max(of(c), paper) + 0.05) / (Math.min(of(c), paper) + 0.05);
        return [...document.querySelectorAll(".card h3, .note, .legend span, td, th, .chart text")].filter(e => e.checkVisibility()).map(e => {
          const style = getComputedStyle(e);
          return [e.textContent.slice(0, 20), contrast(e.ownerSVGElement ? style.fill : style.color)];
        }).filter(([, c]) => c < 4.5);
      }, luminance);
      if (width === 1600) assert.deepEqual(faint, [], `${where}: contrast below 4.5`);
      assert.deepEqual(page.faults, [], where);
      await page.close();
    }

// ---- names: of everything that has a role, and of metrics
for (const file of reports) {
  const page = await open(file);
  const nameless = await page.evaluate(() => [...document.querySelectorAll("[role=img], [role=region], canvas, button, select, input, nav")].filter(e =>
    !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.closest("label") || e.textContent.trim())).map(e => e.outerHTML.slice(0, 80)));
  assert.deepEqual(nameless, [], file);
  const tables = await page.evaluate(() => [...document.querySelectorAll("table")].filter(t =>
    ![...t.querySelectorAll("tbody tr")].every(row => row.querySelector("th[scope=row]")) || (t.tHead && !t.querySelector("thead th[scope=col]"))).map(t => t.textContent.slice(0, 60)));
  assert.deepEqual(tables, [], `${file}: tables without headers`);
  const keys = await page.evaluate(() => {
    const walk = document.createTreeWalker(document.getElementById("main"), NodeFilter.SHOW_TEXT), found = [];
    for (let node = walk.nextNode(); node; node = walk.nextNode())
      if (!node.parentElement.closest("code, script, option") && /\b(exact_match|macro_f1|token_accuracy|bits_per_char|grad_norm|tokens_per_s|step_ms|train_[a-z])/.test(node.textContent)) found.push(node.textContent);
    return found;
  });
  assert.deepEqual(keys, [], `${file}: raw keys`);
  assert.doesNotMatch(await page.evaluate(() => JSON.stringify(data)), /"[^"]*\/(home|root|tmp|work)\//);
  await page.close();
}

// ---- the keyboard: Tab reaches everything, and shows where it is
{
  const page = await open("bank/report.html"), wanted = await page.evaluate(() => {
    const all = [...document.querySelectorAll("a[href], button, select, input, summary, [tabindex='0']")].filter(e => e.checkVisibility() && e.getBoundingClientRect().width > 0);
    all.forEach((e, i) => { e.dataset.tab = i; });
    return all.length;
  });
  const seen = new Set();
  for (let i = 0; i < 2 * wanted && seen.size < wanted; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const style = getComputedStyle(document.activeElement);
      return [document.activeElement.dataset.tab, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1, document.activeElement.outerHTML.slice(0, 80)];
    });
    if (at[0] === undefined) continue;
    assert(at[1], `the focus cannot be seen on ${at[2]}`);
    seen.add(at[0]);
  }
  assert.equal(seen.size, wanted, "what Tab reaches");
  const path = () => page.locator("#curves .chart path.line").first().getAttribute("d"), whole = await path();
  await page.locator("#curves .chart").first().focus();
  await page.keyboard.press("+");
  const near = await path();
  assert.notEqual(near, whole);
  await page.keyboard.press("ArrowLeft");
  assert.notEqual(await path(), near);
  await page.keyboard.press("Escape");
  assert.equal(await path(), whole);
  await page.close();
}

// ---- curves that grow, and what several runs are compared by
{
  const page = await open("bank/report.html");
  const grown = await page.evaluate(async () => {
    const x = [0, 1, 2], y = [3, 2, 1], frame = () => new Promise(requestAnimationFrame);
    const chart = lineChart("Loss", [{name: "a", x, y, colour: "red"}], [{name: "bigrams", value: 1.5}, {name: "far", value: 1e6}]), node = chart.node.querySelector("svg");
    const d = () => chart.node.querySelector("path.line").getAttribute("d"), first = d();
    for (let i = 3; i < 200000; i++) x.push(i), y.push(Math.cos(i));
    y[777] = 50;
    chart.update([{name: "a", x, y, colour: "red"}], []);
    await frame(), await frame();
    const all = d();
    node.dispatchEvent(new KeyboardEvent("keydown", {key: "+"}));
    const zoomed = d();
    x.push(200000), y.push(1);
    chart.update([{name: "a", x, y, colour: "red"}], []);
    await frame(), await frame();
    const level = lineChart("Loss", [{name: "a", x: [0, 1], y: [1, 3], colour: "red"}], [{name: "bigrams", value: 1.5}, {name: "far", value: 1e6}]).node;
    return {first, all, zoomed, after: d(), same: node === chart.node.querySelector("svg"), levels: [...level.querySelectorAll("text.level")].map(e => e.textContent), legend: level.querySelector(".legend").textContent};
  });
  assert.notEqual(grown.all, grown.first);
  assert(grown.all.split(/[ML]/).length < 2000, "a path has no more points than the picture has columns");
  assert(Math.min(...grown.all.split(/[ML]/).slice(1).map(p => Number(p.split(" ")[1]))) < 20, "the highest of many points is drawn");
  assert.notEqual(grown.zoomed, grown.all);
  assert.equal(grown.after, grown.zoomed, "a zoomed chart stays where it is");
  assert(grown.same);
  assert.deepEqual(grown.levels, ["bigrams"]);
  assert.match(grown.legend, /far/);

  const compared = await page.evaluate(() => {
    const run = (name, seed, lr, loss) => ({name, start: {metric: "loss"}, result: {val: {loss}}, config: [{key: "run.seed", value: seed}, {key: "optimizer.lr", value: lr}]});
    const table = comparison();
    table.update([run("a", "1", "0.1", 1), run("b", "2", "0.1", 3), run("c", "1", "0.2", 8), run("<img src=x>", "2", "0.2", 8.5)]);
    return [...table.node.querySelectorAll("tbody tr")].map(row => [...row.cells].map(cell => cell.textContent));
  });
  assert.deepEqual(compared, [["a and 1 like it", "0.1", "2.0000 ± 1.4142", "–"], ["c and 1 like it", "0.2", "8.2500 ± 0.3536", "+6.2500 ± 1.0308"]]);
  // Numbers as the program writes them: tests/log/number_text_test.cpp, svg_test.cpp.
  assert.deepEqual(await page.evaluate(() => [0.6123, 12.34, 512.25, 3.2e-5, 0, 1.5e7, NaN, Infinity].map(metricText)),
                   ["0.6123", "12.3400", "512.25", "3.20e-05", "0.0000", "1.50e+07", "–", "inf"]);
  assert.deepEqual(await page.evaluate(() => [[0, 0.25, 0.5], [0, 5000, 10000], [1e6, 1.5e6], [0, 5e-6, 1e-5]].map(tickTexts)),
                   [["0", "0.25", "0.50"], ["0", "5k", "10k"], ["1.0M", "1.5M"], ["0", "5e-06", "1.0e-05"]]);
  assert.deepEqual(page.faults, []);
  await page.close();
}

// ---- on paper: nothing is cut or scrolled, a card is on one page unless it is a long table, and dark is not printed
for (const file of reports) {
  const page = await open(file, {viewport: {width: 688, height: 1000}, colorScheme: "dark"});
  await page.emulateMedia({media: "print", colorScheme: "dark"});
  const wide = await page.evaluate(() => [...document.querySelectorAll("main *")].filter(e => {
    const style = getComputedStyle(e);
    return !e.ownerSVGElement && e.checkVisibility() && style.display !== "inline" && (e.scrollWidth > e.clientWidth + 1 || ["auto", "scroll"].includes(style.overflowX) || e.getBoundingClientRect().right > 689);
  }).map(e => `${e.tagName}.${e.className.baseVal ?? e.className} ${e.textContent.slice(0, 40)}`));
  assert.deepEqual(wide, [], `${file}: cut on paper`);
  const tall = await page.evaluate(() => [...document.querySelectorAll(".card")].filter(e => getComputedStyle(e).breakInside === "avoid" && e.getBoundingClientRect().height > 1000).map(e => e.textContent.slice(0, 40)));
  assert.deepEqual(tall, [], `${file}: taller than a page`);
  assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector(".card")).backgroundColor), "rgb(255, 255, 255)");
  for (const screen of [".top", ".film-bar", ".controls", ".ask"])
    for (const element of await page.locator(screen).all()) assert(!await element.isVisible(), screen);
  const pdf = (await page.pdf({preferCSSPageSize: true, format: "A4"})).toString("latin1"), pages = (pdf.match(/\/Type\s*\/Page\b/g) || []).length;
  assert(pages >= 2 && pages < 40, `${file}: ${pages} pages`);
  console.log(`${file}: ${pages} pages of paper`);
  assert.deepEqual(page.faults, []);
  await page.close();
}

// ---- pictures as SVG: documents in their own right, dark where the screen is
{
  const files = readdirSync(`${scratch}/runs/pictures`);
  for (const name of ["comparison", "confusion", "curve-loss", "weights", "attention-1", "map-vectors", "norms-weight", "time"]) assert(files.includes(`${name}.svg`), name);
  const page = await browser.newPage();
  for (const file of files) {
    const parsed = await page.evaluate(text => {
      const root = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
      return [root.localName, root.querySelector("parsererror") === null, (root.querySelector("title") || {}).textContent];
    }, readFileSync(`${scratch}/runs/pictures/${file}`, "utf8"));
    assert.deepEqual(parsed.slice(0, 2), ["svg", true], file);
    assert(parsed[2], `${file} has no title`);
  }
  for (const [colorScheme, paper] of [["light", "rgb(255, 255, 255)"], ["dark", "rgb(20, 22, 26)"]]) {
    const shown = await browser.newPage({colorScheme});
    await shown.goto(`file://${scratch}/runs/pictures/curve-loss.svg`);
    assert.equal(await shown.evaluate(() => getComputedStyle(document.querySelector("rect")).fill), paper);
    const cut = await shown.evaluate(() => {
      const {width, height} = document.documentElement.viewBox.baseVal;
      return [...document.querySelectorAll("text")].map(e => e.getBBox()).filter(b => b.x < 0 || b.y < 0 || b.x + b.width > width || b.y + b.height > height).length;
    });
    assert.equal(cut, 0, "texts outside of the picture");
  }
}

await browser.close();
console.log("the reports look well");
