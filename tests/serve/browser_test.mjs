// What a reader does with the live page: see browser_test.sh.   node browser_test.mjs CHROMIUM SCRATCH_DIR QKV_BINARY
import assert from "node:assert/strict";
import {execFileSync, spawn} from "node:child_process";
import {cpSync, readdirSync, readFileSync} from "node:fs";
import {chromium} from "playwright-core";

const [executablePath, scratch, qkv] = process.argv.slice(2);
const kName = "<img src=x onerror=window.hacked=1>";
const log = run => readFileSync(`${scratch}/runs/${run}/metrics.jsonl`, "utf8").trim().split("\n").map(line => JSON.parse(line));

// ---- the server, on a free port
async function served(folder) {
  const server = spawn(qkv, ["serve", folder, "--port", "0", "--json"], {cwd: scratch, stdio: ["ignore", "pipe", "inherit"]});
  process.on("exit", () => server.kill("SIGKILL"));
  const {url} = await new Promise(done => server.stdout.once("data", bytes => done(JSON.parse(bytes))));
  return {url, server, end: () => new Promise(done => { server.once("exit", code => done(code)); server.kill("SIGINT"); })};
}
const {url, end} = await served("runs");
const browser = await chromium.launch({executablePath, args: ["--no-sandbox"]});
async function open(path, options = {}) {
  const page = await browser.newPage({viewport: {width: 1280, height: 900}, ...options});
  const faults = [];
  page.on("console", message => { if (!/status of 400/.test(message.text())) faults.push(`console: ${message.text()}`); });
  page.on("pageerror", error => faults.push(`error: ${error.stack}`));
  page.on("request", request => { if (!request.url().startsWith(options.origin || url) && !request.url().startsWith("data:")) faults.push(`request: ${request.url()}`); });
  await page.goto(path);
  page.check = async () => {
    assert.deepEqual(faults, [], path);
    assert.equal(await page.evaluate(() => window.hacked), undefined);
  };
  return page;
}
// (waitForFunction would evaluate a text, which the page forbids.)
async function until(page, what, condition, argument) {
  for (const end = Date.now() + 20000; Date.now() < end; await page.waitForTimeout(40))
    if (await page.evaluate(condition, argument).catch(() => false)) return;
  assert.fail(`waited in vain: ${what}`);
}

// ---- the table
const page = await open(url);
await until(page, "seven runs", () => document.querySelectorAll("#runs tbody tr").length === 7);
const names = () => page.locator("#runs tbody th").allTextContents();
assert((await names()).includes(kName), "the name of a run is shown as it is");
const sorted = async column => {
  await page.locator("#runs thead button", {hasText: new RegExp(`^${column}$`)}).click();
  return names();
};
const losses = async () => (await page.locator("#runs tbody tr td:nth-child(6)").allTextContents()).map(Number);
await sorted("training loss");
const upwards = await losses();
assert.deepEqual(upwards, [...upwards].sort((a, b) => a - b));
await sorted("training loss");
assert.deepEqual(await losses(), [...upwards].reverse());
assert.equal(await page.locator("th[aria-sort=descending]").count(), 1);
await page.locator("#run-filter").fill("seed-");
assert.equal((await names()).length, 3);
assert.match(await page.locator("#run-count").textContent(), /^3 of 7 runs$/);

// ---- comparison, with the noise of seeds
await page.locator("#runs thead input").check();
await page.locator("#run-filter").fill("");
await page.locator("#runs tbody tr", {hasText: "other"}).locator("input").check();
await until(page, "the comparison", () => document.querySelectorAll("#compare table tbody tr").length === 2);
const compared = await page.locator("#compare table").first().textContent();
assert.match(compared, /seed-1337 and 2 like it/);
assert.match(compared, /±/);
assert.match(compared, /optimizer\.lr/);
assert(await page.locator("#compare .chart path.line").count() >= 4);
assert.equal(new URL(page.url()).searchParams.getAll("compare").length, 4);
await page.reload();
await until(page, "the comparison after a reload", () => document.querySelectorAll("#compare table tbody tr").length === 2);
assert.equal(await page.locator(".picture img").count(), 1);
assert(await page.locator(".picture img").evaluate(async image => { image.loading = "eager"; await image.decode(); return image.naturalWidth > 0; }));
await page.check();

// ---- a name that would be a script, everywhere
await page.locator("#runs tbody tr", {hasText: kName}).locator("a").click();
await until(page, "the run", name => document.querySelector("#config") && document.querySelector("h1").textContent.startsWith(name), kName);
await page.check();

// ---- a model of every kind answers as predict does
const kinds = await served("kinds");
const asked = {bow: "We sat by the river bank.", adder: "12+34", "translate-toy": "the red cat", "masked-words": "the [MASK] sat", summarize: "the cat sat on the mat .", stories: "Once upon a"};
for (const [run, text] of Object.entries(asked)) {
  const one = await open(`${kinds.url}?run=${run}`, {origin: kinds.url}), {continuation = "", ...expected} = JSON.parse(execFileSync(qkv, ["predict", `kinds/${run}`, text, "--json"], {cwd: scratch}));
  await until(one, "the model", () => document.querySelector("#ask"));
  await one.locator("#ask").fill(text);
  await until(one, `the answer to ${text}`, text => { const said = document.querySelector("#answer").dataset.answer; return said && JSON.parse(said).text === text; }, expected.text);
  const {continuation: written = "", ...answer} = JSON.parse(await one.locator("#answer").getAttribute("data-answer"));
  assert.deepEqual(answer, expected);
  assert(continuation.startsWith(written.trimEnd()));
  await one.locator("#ask").fill("<img src=x onerror=window.hacked=1> ] \u0000");
  await until(one, "the refusal", () => !document.querySelector("#ask-problem").hidden);
  await one.check();
  await one.close();
}
assert.equal(await kinds.end(), 0);

// ---- curves grow while a run trains; it is stopped, and goes on
const trainer = spawn(qkv, ["-q", "train", `${scratch}/bow.toml`, "--set", "run.name=live", "--set", "train.max_steps=1000000", "--set", "log.every=10", "--set", "eval.every=200"], {cwd: scratch, stdio: "inherit"});
const left = new Promise(done => trainer.once("exit", code => done(code)));
const live = await open(`${url}?run=live`);
await until(live, "the curve", () => document.querySelectorAll("#curves .chart path.line").length >= 2);
const drawn = () => live.evaluate(() => ({step: Number(document.querySelector("#stats b").textContent.replaceAll(",", "")), d: document.querySelector("#curves .chart path.line").getAttribute("d")}));
const before = await drawn();
const delays = [];
for (let i = 0; i < 8; i++) {
  const step = log("live").filter(record => record.type === "train").pop().step, start = Date.now();
  await until(live, "growth", step => Number(document.querySelector("#stats b").textContent.replaceAll(",", "")) >= step, step);
  delays.push(Date.now() - start);
  await live.waitForTimeout(130);
}
console.log(`a line of the log is on the page after at most ${Math.max(...delays)} ms`);
const after = await drawn();
assert(after.step > before.step);
assert.notEqual(after.d, before.d);
await live.locator("#stop").click();
assert.equal(await left, 130);
await until(live, "the end", () => document.querySelector("h1 .pill").textContent === "interrupted");
assert(await live.locator("#stop").isHidden());
const reached = log("live").pop();
assert.equal(reached.reason, "interrupted");
await live.locator("#extend-steps").fill(String(reached.step + 500));
await live.locator("#extend").click();
await until(live, "more steps", () => document.querySelector("h1 .pill").textContent === "finished");
assert.equal(log("live").pop().step, reached.step + 500);
await until(live, "its last step", step => document.querySelector("#stats b").textContent.replaceAll(",", "") === String(step), reached.step + 500);
await live.check();

// ---- arrows are drawn with mouse and keyboard, saved, and trained with
const seen = await open(`${url}?run=seen`);
await until(seen, "words to draw on", () => document.querySelectorAll("#draw .from-to").length > 4);
await seen.locator("#ask").fill("A [bank] of fog hid the river.");
await until(seen, "the words of the text", () => document.querySelector("#draw").textContent.includes("fog"));
const word = text => seen.locator("#draw .from-to", {hasText: new RegExp(`^${text}$`)}).last();
const arrows = () => seen.locator("#draw .arrow").count();
assert(await seen.locator("#draw-train").isDisabled());
await word("bank").click();
assert.match(await seen.locator("#draw-note").textContent(), /“bank”/);
await word("fog").click();
assert.equal(await arrows(), 1);
await word("river").press("Enter");
await word("hid").press("Enter");
assert.equal(await arrows(), 2);
await seen.locator("#draw .arrow").last().press("Delete");
assert.equal(await arrows(), 1);
await seen.screenshot({path: `${scratch}/draw.png`, fullPage: true});
const [saved] = await Promise.all([seen.waitForEvent("download"), seen.locator("#draw-save").click()]);
const kept = {text: "A [bank] of fog hid the river.", arrows: [[1, 3]]};
assert.deepEqual(JSON.parse(readFileSync(await saved.path(), "utf8")), kept);
await seen.locator("#draw-train").click();
await until(seen, "the answer", () => document.querySelector("#draw-note").textContent.includes("seen-drawn"));
assert.deepEqual(JSON.parse(readFileSync(`${scratch}/runs/seen-drawn.jsonl`, "utf8")), kept);
const drawnRun = await open(`${url}?run=seen-drawn`);
await until(drawnRun, "its end", () => document.querySelector("h1 .pill") && document.querySelector("h1 .pill").textContent === "finished");
assert(log("seen-drawn").filter(record => record.type === "train").every(record => record.attention_loss >= 0));
await seen.check();
await drawnRun.check();

// ---- on paper and on a phone nothing is cut
const wide = page => page.locator(".card:visible").evaluateAll(cards => cards.filter(c => c.scrollWidth > c.clientWidth + 1 && getComputedStyle(c).overflowX !== "auto").map(c => c.textContent.slice(0, 60)));
for (const path of [url, `${url}?run=bow`]) {
  const phone = await open(path, {viewport: {width: 390, height: 844}, colorScheme: "dark"});
  await until(phone, "the page", () => document.querySelectorAll("tbody tr").length > 0);
  assert(await phone.evaluate(() => document.documentElement.scrollWidth) <= 390, `${path} is wider than a phone`);
  assert.deepEqual(await wide(phone), []);
  await phone.screenshot({path: `${scratch}/phone${path === url ? "" : "-run"}.png`});
  await phone.check();
}
for (const path of [url, `${url}?compare=bow&compare=other`, `${url}?run=bow`]) {  // as wide as A4
  const paper = await open(path, {viewport: {width: 718, height: 1000}});
  await until(paper, "the page", () => document.querySelectorAll("tbody tr").length > 2);
  await paper.emulateMedia({media: "print"});
  assert.deepEqual(await paper.locator(".card:visible").evaluateAll(cards => cards.filter(c => c.scrollWidth > c.clientWidth + 1).map(c => c.textContent.slice(0, 40))), [], path);
  assert((await paper.pdf()).length > 1000);
  await paper.check();
}
await page.screenshot({path: `${scratch}/run.png`, fullPage: true});

// ---- 200 runs
for (let i = 0; i < 200; i++) cpSync(`${scratch}/runs/bow`, `${scratch}/many/run-${i}`, {recursive: true, verbatimSymlinks: true});
const many = await served("many");
const start = Date.now(), all = await open(many.url, {origin: many.url});
await until(all, "200 runs", () => document.querySelectorAll("#runs tbody tr").length === 200);
console.log(`200 runs are on the page after ${Date.now() - start} ms`);
await all.screenshot({path: `${scratch}/table.png`});
await all.check();
assert.equal(await many.end(), 0);
assert.equal(await end(), 0);
await browser.close();
assert(readdirSync(`${scratch}/runs`).includes("live"));
console.log("the live page is whole");
