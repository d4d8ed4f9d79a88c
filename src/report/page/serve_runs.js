// The runs of the folder, followed: what has changed is asked for, and of shown runs the lines that their logs got.

const kPoll = 400, kHidden = 5000;  // milliseconds between two questions; of a page that is not seen
const kPoints = 8000;               // of a curve; a longer one is thinned to half of it

// Half as many points: of each stretch the lowest and the highest.
function halved({x, y}) {
  const kept = [];
  for (let i = 0; i < x.length; i += 4) {
    const group = [i, i + 1, i + 2, i + 3].filter(k => k < x.length), size = k => Number.isFinite(y[k]) ? y[k] : Infinity;
    const low = group.reduce((a, b) => size(b) < size(a) ? b : a), high = group.reduce((a, b) => size(b) > size(a) ? b : a);
    kept.push(...new Set([Math.min(low, high), Math.max(low, high)]));
  }
  return {x: kept.map(i => x[i]), y: kept.map(i => y[i])};
}

class Runs {
  constructor() {
    this.version = 0;
    this.names = [];
    this.all = new Map();    // summaries by name
    this.shown = new Map();  // followed runs by name, as compare.js takes them
    this.faults = {};
  }
  // Follows a run; the entry grows. Its config, levels and results come first.
  async follow(name) {
    if (this.shown.has(name)) return this.shown.get(name);
    const run = {name, curves: {}, to: 0, mark: ""};
    this.shown.set(name, run);
    Object.assign(run, await ask(address("/api/run", {run: name})), {name});
    await this.grow(run);
    return run;
  }
  // One after the other, so that no line is taken twice.
  grow(run) {
    run.growth = (run.growth || Promise.resolve()).catch(() => {}).then(() => this.read(run));
    return run.growth;
  }
  async read(run) {
    for (let more = true; more;) {
      const got = await ask(address("/api/curves", {run: run.name, from: run.to, mark: run.mark}));
      if (got.again) run.curves = {}, run.end = run.best = null;
      Object.assign(run, {to: got.to, mark: got.mark});
      for (const key of ["last", "best", "end"]) if (got[key]) run[key] = got[key];
      for (const [metric, splits] of Object.entries(got.curves))
        for (const [split, {x, y}] of Object.entries(splits)) {
          const curve = ((run.curves[metric] ??= {})[split] ??= {x: [], y: []});
          for (let i = 0; i < x.length; i++) curve.x.push(x[i]), curve.y.push(y[i]);
          while (curve.x.length > kPoints) Object.assign(curve, halved(curve));
        }
      more = got.more;
    }
  }
  // What has changed: names of runs, and whether runs came or went.
  async poll() {
    const got = await ask(address("/api/runs", {since: this.version || ""}));
    const changed = got.runs.map(run => run.name), known = JSON.stringify(this.faults);
    this.version = got.version;
    for (const run of got.runs) this.all.set(run.name, run);
    if (got.names) {
      this.names = got.names;
      for (const name of [...this.all.keys()]) if (!got.names.includes(name)) this.all.delete(name), this.shown.delete(name);
    }
    this.faults = got.faults;
    await Promise.all(changed.filter(name => this.shown.has(name) && this.shown.get(name).to > 0).map(name => this.grow(this.shown.get(name))));
    return {changed, names: Boolean(got.names), faults: known !== JSON.stringify(got.faults)};
  }
  // Calls `update` with what has changed, from now on; what keeps the server from answering is shown until it does.
  async watch(update) {
    const problem = el("p", {class: "problems", id: "serve-problem", role: "status", hidden: true});
    document.getElementById("main").prepend(problem);
    for (;;) {
      try {
        const change = await this.poll();
        problem.hidden = true;
        if (change.changed.length || change.names || change.faults) update(change);
      } catch (error) {
        problem.textContent = `The server does not answer as it should: ${error.message}. This page goes on asking.`;
        problem.hidden = false;
      }
      await new Promise(done => setTimeout(done, document.hidden ? kHidden : kPoll));
    }
  }
}
