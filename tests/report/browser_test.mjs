// What a reader does with a report: see browser_test.sh.   node browser_test.mjs CHROMIUM SCRATCH_DIR
import assert from "node:assert/strict";
import {existsSync, readdirSync, readFileSync, statSync} from "node:fs";
import {chromium} from "playwright-core";

const [executablePath, scratch] = process.argv.slice(2);
const browser = await chromium.launch({executablePath, args: ["--no-sandbox"]});
const size = file => statSync(`${scratch}/runs/${file}`).size;

// Opens a report; whatever it logs or asks the network for is a fault.
async function open(file, options = {}) {
  const page = await browser.newPage({viewport: {width: 1280, height: 900}, ...options});
  const faults = [];
  page.on("console", message => faults.push(`console: ${message.text()}`));
  page.on("pageerror", error => faults.push(`error: ${error.stack}`));
  page.on("request", request => { if (!/^(file|data):/.test(request.url()) || page.loaded) faults.push(`request: ${request.url()}`); });
  await page.goto(`file://${scratch}/runs/${file}`);
  page.loaded = true;
  page.check = () => assert.deepEqual(faults, [], file);
  return page;
}
const pixels = (page, i) => page.evaluate(i => document.querySelectorAll("canvas")[i].toDataURL(), i);
const content = (page, selector) => page.locator(selector).first().innerHTML();

// ---- the film
assert(size("bank/report.html") <= 5_000_000);
const page = await open("bank/report.html");
assert.match(await page.title(), /^bank/);
assert.match(await content(page, ".stats"), /inside its band/);
const last = Number(await page.locator("#film-slider").getAttribute("max"));
assert(last >= 20);
const state = async () => [await pixels(page, 0), await pixels(page, 1), await pixels(page, 2), await content(page, "#film .rows"), await content(page, "#film .answers"), await page.locator("circle.dot").evaluateAll(dots => dots.map(d => d.getAttribute("cx")).join())];
const atEnd = await state();
await page.locator("#film-slider").fill("0");
assert.match(await page.locator("#film-step").textContent(), /^step 0 of 980$/);
const atStart = await state();
atStart.forEach((part, i) => assert.notEqual(part, atEnd[i], `part ${i} of the film does not move`));
await page.locator("#film-slider").focus();
await page.keyboard.press("End");
assert.deepEqual(await state(), atEnd);
await page.locator("#film-layer").selectOption("1");
assert.notEqual(await pixels(page, 0), atEnd[0]);
await page.locator("#film-head").selectOption("3");
assert.notEqual(await content(page, "#film .rows"), atEnd[3]);
const weights = await pixels(page, 0), words = await pixels(page, 3);
await page.locator("#film-show").selectOption("1");
assert.notEqual(await pixels(page, 0), weights);
await page.locator("#film-slider").fill("0");
assert.notEqual(await pixels(page, 3), words);
await page.locator("#film-slider").fill(String(last));
await page.locator("#film-show").selectOption("0");
assert(await page.locator(".band").first().isVisible());

// The senses part: in the last frame a dot's nearest neighbours are more often of its own sense than in the first.
const parted = frame => page.evaluate(frame => {
  const p = data.film.points, n = p.labels.length, xy = unpack(p.vectors.frames[frame], 2 * n, 1, p.bits);
  const nearest = i => [...Array(n).keys()].filter(j => j !== i).sort((a, b) => Math.hypot(xy[2 * a] - xy[2 * i], xy[2 * a + 1] - xy[2 * i + 1]) - Math.hypot(xy[2 * b] - xy[2 * i], xy[2 * b + 1] - xy[2 * i + 1])).slice(0, 5);
  return [...Array(n).keys()].reduce((sum, i) => sum + nearest(i).filter(j => p.labels[j] === p.labels[i]).length, 0) / (5 * n);
}, frame);
const before = await parted(0), after = await parted(last);
console.log(`neighbours of the same sense on the map: ${before.toFixed(2)} at first, ${after.toFixed(2)} in the end`);
assert(after > 0.75 && after > before + 0.2);

// ---- attention
const lines = await content(page, "#attention-view svg");
await page.locator("#attention-view-layer").selectOption("1");
const second = await content(page, "#attention-view svg");
assert.notEqual(second, lines);
await page.locator("#attention-view-head").selectOption("5");
assert.deepEqual(await page.locator("#attention-view-layer option").allTextContents(), ["layer 0", "layer 1"]);  // counted as by inspect and fork
assert.equal(await page.locator("#attention-view-head option").last().textContent(), "head 7");
assert.notEqual(await content(page, "#attention-view svg"), second);
await page.locator("#attention-text").selectOption("1");
assert.match(await content(page, "#attention-view svg"), /river/);

// ---- curves
const curve = page.locator("#curves .chart").first();
const whole = await content(page, "#curves .chart path.line");
await curve.scrollIntoViewIfNeeded();
const box = await curve.boundingBox();
await page.mouse.move(box.x + box.width * 0.4, box.y + 40);
await page.mouse.down();
await page.mouse.move(box.x + box.width * 0.6, box.y + 60);
assert.match(await page.locator("#tip").textContent(), /^step \d+/);
await page.mouse.up();
const path = () => page.locator("#curves .chart path.line").first().getAttribute("d");
const zoomed = await path();
await curve.press("Escape");
assert.notEqual(await path(), zoomed);
assert.equal(await content(page, "#curves .chart path.line"), whole);

// ---- the model in the page
// Asks the model of a page, and waits for its answer.
async function asked(page, text) {
  const done = () => page.locator("#model .card").first().getAttribute("data-asked");
  await page.locator("#ask").fill(text);
  for (let tries = 0; await done() !== text; tries++) {
    assert(tries < 600, `no answer to ${text}`);
    await page.waitForTimeout(50);
  }
  return page.locator("#answer").textContent();
}
for (const [sentence, sense] of [["I went to the bank to deposit money.", "money"], ["We sat by the river bank.", "river"]]) {
  assert.equal(await asked(page, sentence), `bank = ${sense}`);
  assert.equal(await page.locator("#answer span").textContent(), sense);
}
await asked(page, "<img src=x onerror=alert(1)> </script>");
assert(await page.locator("#ask-problem").isVisible());
assert.match(await asked(page, "<img src=x onerror=alert(1)> at the river bank </script>"), /river/);
await asked(page, "We sat by the river bank.");
await page.locator("#model details summary").click();
assert.equal(await page.locator("#ask-attention-layer option").count(), 2);

// Every sense and logit that the page computes is that of the program, within a frame or two.
const sentences = readFileSync(`${scratch}/sentences.txt`, "utf8").trim().split("\n");
assert.equal(sentences.length, 200);
async function compare(page, run) {
  const predictions = readFileSync(`${scratch}/runs/${run}.jsonl`, "utf8").trim().split("\n").map(line => JSON.parse(line));
  const answers = await page.evaluate(async list => {
    const results = [];
    for (const sentence of list) {
      const begin = performance.now(), {prediction} = await window.qkv.model.answer(sentence);
      results.push({...prediction, ms: performance.now() - begin});
    }
    return results;
  }, sentences);
  let furthest = 0;
  answers.forEach((answer, i) => {
    for (const [label, value] of Object.entries(predictions[i].logits)) furthest = Math.max(furthest, Math.abs(value - answer.logits[label]));
    assert.equal(answer.sense, predictions[i].sense, sentences[i]);
  });
  console.log(`${run}: logits of ${answers.length} sentences differ by at most ${furthest.toExponential(2)} from those of the program; median ${answers.map(a => a.ms).sort((a, b) => a - b)[100].toFixed(1)} ms`);
  assert(furthest <= 1e-3);
}
await compare(page, "bank");
for (const run of ["post", "short"]) {
  const other = await open(`${run}/report.html`);
  await compare(other, run);
  other.check();
}

// ---- every kind of model is asked in its page
for (const name of readdirSync(`${scratch}/kinds`).filter(file => file.endsWith(".html"))) {
  const other = await open(`../kinds/${name}`), texts = readFileSync(`${scratch}/kinds/${name.replace(".html", ".texts")}`, "utf8").trim().split("\n");
  const predict = `${scratch}/kinds/${name.replace(".html", ".predict")}`, wanted = existsSync(predict) ? readFileSync(predict, "utf8").trim().split("\n").map(line => JSON.parse(line)) : [];
  for (const [i, text] of texts.slice(0, 2).entries()) {
    await asked(other, text);
    assert(await other.locator("#ask-problem").isHidden(), name);
    const got = JSON.parse(await other.locator("#answer").getAttribute("data-answer"));
    for (const key of ["sense", "label", "translation", "summary", "answer", "filled"])
      if (wanted[i] && key in wanted[i]) assert.equal(got[key], wanted[i][key], `${name}: ${text}`);
  }
  other.check();
  await other.close();
}

// ---- dark and light
assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
const light = await pixels(page, 0);
await page.locator("#theme").click();
assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
assert.notEqual(await pixels(page, 0), light);
page.check();

// ---- a phone, several runs, a language model
const phone = await open("bank/report.html", {viewport: {width: 390, height: 844}, colorScheme: "dark"});
assert.equal(await phone.evaluate(() => document.documentElement.dataset.theme), "dark");
assert((await phone.evaluate(() => document.documentElement.scrollWidth)) <= 390, "the page is wider than a phone");
phone.check();
const two = await open("two.html");
assert.match(await content(two, "#curves .legend"), /bank-static<[\s\S]*bank</);
two.check();
const stories = await open("stories/report.html");
for (const id of ["model", "samples", "film", "attention", "curves", "norms", "time", "config"]) assert.equal(await stories.locator(`#${id}`).count(), 1, id);
assert.equal(await stories.locator("#evaluation").count(), 0);
const beginning = await asked(stories, "Once upon a");
await stories.locator("#ask-temperature").fill("1");
assert.notEqual(await asked(stories, "Once upon a time"), beginning);
assert.equal(await stories.locator("#ask-attention-layer option").count(), 3);
assert.equal(await stories.locator("#samples tbody tr").count() >= 1, true);
assert.equal(await stories.locator("#film-layer option").count(), 3);
stories.check();
// ---- a fork beside its run
{
  const fork = await open("short-fork/report.html");
  assert.match(await fork.locator("#fork .lead").textContent(), /^Up to step 90, short-fork is short, bit by bit.*train\.ablate = \["0\.1"\].*first step that differs is 91\.$/);
  assert.match(await content(fork, "#fork .legend"), /in another order<[\s\S]*short<[\s\S]*short-fork</);
  assert.deepEqual(await fork.locator("#fork .card h3").allTextContents(), ["Loss, validation", "The texts that were asked", "The heads", "The examples that changed most"]);
  assert.equal(await fork.locator("#fork circle").count() >= 1 + 8 + 20, true);
  await fork.locator("#fork circle").last().hover();
  assert.match(await fork.locator("#tip").textContent(), /run .*, fork .*, seeds .* … /);
  assert.doesNotMatch(await content(fork, "#fork"), /NaN|undefined/);
  fork.check();
}
// ---- on paper: as wide as A4, nothing is cut off or scrolled, and what only a screen can do is gone
{
  const paper = await open("bank/report.html", {viewport: {width: 718, height: 1000}});
  await paper.emulateMedia({media: "print", colorScheme: "dark"});
  const wide = await paper.locator(".card").evaluateAll(cards => cards.filter(c => c.scrollWidth > c.clientWidth + 1).map(c => c.textContent.slice(0, 40)));
  assert.deepEqual(wide, []);
  for (const screen of [".top", ".film-bar", ".controls", ".ask"]) assert(!await paper.locator(screen).first().isVisible(), screen);
  assert.equal(await paper.evaluate(() => getComputedStyle(document.querySelector(".scroll")).overflowX), "visible");
  assert.deepEqual(await paper.evaluate(() => tickTexts([0, 5e-4, 1e-3])), ["0", "0.0005", "0.0010"]);
  assert.deepEqual(await paper.evaluate(() => tickTexts([0, 1e-5, 2e-5])), ["0", "1e-05", "2e-05"]);
  assert.doesNotMatch(await paper.evaluate(() => JSON.stringify(data)), /"[^"]*\/(home|root|tmp|work)\//);
  paper.check();
}

await browser.close();
console.log("the reports are whole");
