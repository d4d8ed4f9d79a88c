// How the answers to the run's samples changed, and what is explained where it is seen.

// samples: [{text, answers: [{step, answer}], last}]
function showSamples(samples) {
  if (!samples || !samples.length) return;
  let chosen = 0;
  const rows = el("div", {});
  function draw() {
    const {answers, last} = samples[chosen], until = i => i + 1 < answers.length ? answers[i + 1].step : last;
    rows.replaceChildren(dataTable(null, ["from step", "answer"], [], answers.map(({step, answer}, i) => [text(step), el("span", {class: "written", title: `until step ${text(until(i))}`}, answer.trimEnd())])));
  }
  draw();
  section("samples", "Answers over time", "What the model answered at each evaluation; an answer stands until the step at which it changed.",
    el("div", {class: "controls"}, select("Text", "samples-text", samples.map(one => tidy(one.text).slice(0, 90)), v => { chosen = v; draw(); })), scrollCard("answers", rows));
}

// Why two numbers that should agree do not.
function lossNote(run) {
  const train = run.curves.loss && run.curves.loss.train, val = run.curves.loss && run.curves.loss.val, value = key => (run.config.find(k => k.key === key) || {}).value;
  if (!train || !val || !(train.y[train.y.length - 1] > val.y[val.y.length - 1])) return null;
  const dropout = Number(value("model.dropout")) > 0, smoothing = Number(value("train.label_smoothing")) > 0;
  const reasons = [dropout && "training drops out part of the network, evaluation does not", smoothing && "training smooths the labels, which adds to its loss", "a point of the training curve is the mean of the steps before it, when the model was worse"];
  return el("p", {class: "note", id: "loss-note"}, `The training loss lies above the validation loss. That is no mistake: ${reasons.filter(Boolean).join("; ")}.`);
}
function checkpointNote(run) {
  const best = run.best && run.best.step, end = run.end && run.end.step;
  if (!best || !end || best === end) return null;
  return el("p", {class: "note", id: "checkpoint-note"}, `There are two checkpoints: “best”, of step ${text(best)}, and “last”, of step ${text(end)}. They may give two answers; this page, “qkv predict” and “qkv eval” take the best one.`);
}

// Whether the map of attention says which word decides.
function faithfulNote(faithful) {
  if (!faithful) return el("p", {class: "note"}, "Attention says where a word looked. It need not say which word decided: “qkv inspect RUN faithful” measures that where the model allows it.");
  return el("div", {class: "card next", id: "faithful"}, el("h3", {}, faithful.believed ? "This map may be trusted" : "Do not trust this map alone"),
    el("p", {class: "note"}, `In ${faithful.texts} examples ${faithful.reason}. The table compares ways to ask which word decided with removing the word itself:`),
    dataTable(null, ["way", "names the same word", "rank correlation"], ["names the same word", "rank correlation"], faithful.methods.map(m => [m.name, `${(100 * m.agreement).toFixed(0)} %`, m.correlation.toFixed(2)])));
}
