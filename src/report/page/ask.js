// The section that asks the model: what one types, the answer, how sure it is, and where it looked.

// Of each kind of task: what is asked, and what the answer is about.
const kAsked = {
  wsd: ["a sentence", "Change the sentence and see which sense the model reads, and where the word looks in the first layer."],
  "text-classification": ["a text", "Change the text and see which class the model gives it. The two texts of a pair have a tab between them."],
  "language-model": ["a beginning", "The model goes on with what you type, token by token."],
  "prompt-answer": ["a prompt", "The model answers what you type."],
  "masked-language-model": ["a text with [MASK]", "Put [MASK] in place of a word and see which words the model expects there."],
  translation: ["a text to translate", "The model turns what you type into the other language."],
  summarization: ["a text to sum up", "The model sums up what you type."],
  word2vec: ["a word", "The words whose vectors point the same way, and the words that this one predicts around itself."],
};
const kPuzzle = ["a question", "The model continues what you type, symbol by symbol."];
const kWriting = ["language-model", "prompt-answer"];

// Texts to begin with, from those of the run.
const kQuestions = {adder: ["12+34", "57+68"], "modular-addition": ["3+4", "40+60"], listops: ["[MAX 2 9 [MIN 4 7 ] 0 ]", "[SM 7 8 ]"], adding: ["0.3 0.5* 0.2 0.7*", "0.1* 0.9 0.4*"]};
function examplesFor(about) {
  const texts = kQuestions[about.task] || about.examples || [];
  if (about.task === "prompt-answer" && about.settings) return texts.map(text => text.split(JSON.parse(about.settings["data.between"]))[0]);
  if (about.task === "word2vec" && about.tokenizer) return about.tokenizer.tokens.filter(token => token.length > 3 && !token.startsWith("<")).slice(0, 2);
  if (about.task !== "masked-language-model") return texts;
  return texts.map(text => text.includes("[MASK]") ? text : text.split(" ").slice(0, 12).map((word, i) => i === 3 ? "[MASK]" : word).join(" "));
}

const barTable = (rows, label) => el("div", {class: "answers", role: "img", "aria-label": `${label}: ${rows.map(r => `${r.name} ${r.value.toFixed(3)}`).join(", ")}`}, rows.map((row, i) => [
  el("span", {style: row.bold ? "font-weight:650" : null}, row.name),
  el("span", {class: "bar"}, el("i", {style: `left:0;width:${(100 * Math.max(0, row.value)).toFixed(1)}%;background:${row.colour || "var(--accent)"}`})),
  el("span", {class: "n"}, row.value.toFixed(3))]));
const tokenBars = (tokens, label) => barTable(tokens.map(t => ({name: visible(t.token), value: t.probability})), label);

// [heading, content] of what an answer says beside its text.
function answerCards(answer) {
  const {prediction: p = {}} = answer, cards = [];
  if (p.probabilities) cards.push(["How sure it is", barTable(answer.classes.map((name, c) => ({name, value: p.probabilities[name], colour: classColour(c)})), "probabilities")]);
  for (const {position, tokens} of p.masks || []) cards.push([`Token ${position + 1}`, tokenBars(tokens, "likeliest tokens")]);
  if (p.neighbors) cards.push(["Nearest words (cosine)", barTable(p.neighbors.map(n => ({name: n.word, value: n.cosine})), "cosines")]);
  if (answer.next && !p.masks) cards.push([p.neighbors ? "Words it predicts around" : answer.source ? "The first token" : answer.read > 0 ? `After “${visible(answer.words[answer.read - 1])}”` : "After what you typed", tokenBars(answer.next, "likeliest tokens")]);
  if (p.candidates && p.candidates.length > 1) cards.push(["Hypotheses of the beam", dataTable(null, ["text", "score"], ["score"], p.candidates.map(c => [c.text, c.score.toFixed(3)]))]);
  return cards;
}

// The sentence that answers, as nodes.
function answerText(answer, task) {
  const {prediction: p = {}} = answer, strong = (words, colour) => el("span", {style: colour ? `color:${colour}` : "color:var(--accent)"}, words);
  if (p.sense !== undefined) return [`${p.target} = `, strong(p.sense, classColour(answer.classes.indexOf(p.sense)))];
  if (p.label !== undefined) return [strong(p.label, classColour(answer.classes.indexOf(p.label)))];
  if (p.filled !== undefined) return [p.filled];
  if (p.neighbors) return [`${p.word} is nearest to `, strong(p.neighbors.slice(0, 3).map(n => n.word).join(", "))];
  if (task === "language-model") return [el("span", {class: "soft"}, p.text), strong(answer.written)];
  return [strong(p.answer ?? p.translation ?? p.summary ?? answer.written ?? "")];
}

// The words that were read, coloured by what the word in question attends to; dotted where they are unknown.
function wordLine(answer) {
  const at = answer.target, first = (answer.attention || [])[0], own = at >= 0 && first && first.queries === "words" && first.keys === "words" ? first : null;
  const weight = s => own ? own.weights.reduce((sum, head) => sum + head[at][s], 0) / own.heads : 0;
  return (answer.source || answer.words).slice(0, 200).map((word, s) => el("span", {class: answer.known && !answer.source && !answer.known[s] ? "unknown" : null, title: own ? `attention ${weight(s).toFixed(3)}` : null,
    style: `background:color-mix(in srgb, var(--accent) ${(100 * Math.min(1, weight(s))).toFixed(1)}%, ${own ? "transparent" : "var(--wash)"})${s === at && own ? ";font-weight:700" : ""}${s >= answer.read && !answer.source ? ";color:var(--accent)" : ""}`}, visible(word)));
}

// `about`: {"task", "classes", "missing": why there is no model here}; examples: texts to begin with.
function showModel(model, about, examples) {
  if (!model) {
    section("model", "Ask the model", null, el("p", {class: "note"}, `This page does not hold the model: ${about.missing}. Ask it with “qkv predict”, or in the page of “qkv serve”, where any model runs.`));
    return;
  }
  const [what, lead] = kAsked[about.task] || kPuzzle, writes = kWriting.includes(about.task), options = {max_tokens: 60, temperature: 0, seed: 0};
  const input = el("input", {type: "text", id: "ask", value: examples[0] || "", placeholder: what, spellcheck: "false", autocomplete: "off", "aria-label": what, maxlength: 2000});
  const answerLine = el("p", {class: writes ? "answer written" : "answer", id: "answer", role: "status"}, ""), words = el("p", {class: "tokens"}), cards = el("div", {class: "grid next"});
  const problem = el("p", {class: "problems", id: "ask-problem", hidden: true}), result = el("div", {class: "card"}, answerLine, words), more = el("div", {});
  let turn = 0, view = null, lastAnswer = null, waiting = null;

  function show(answer) {
    lastAnswer = {classes: about.classes || Object.keys((answer.prediction || {}).probabilities || {}).sort(), ...answer};
    fill(answerLine, {"data-answer": JSON.stringify(answer.prediction)}, []).replaceChildren(...answerText(lastAnswer, about.task));
    words.replaceChildren(...wordLine(lastAnswer));
    cards.replaceChildren(...answerCards(lastAnswer).map(([title, content]) => el("div", {class: "card"}, el("h3", {}, title), content)));
    if (model.drawing) model.drawing.show(input.value, lastAnswer);
    if (!(answer.attention || []).length) return more.replaceChildren();
    if (view && more.contains(view.node)) return view.update();
    view = attentionView("ask-attention", () => answeredAttention(lastAnswer));
    more.replaceChildren(el("details", {open: Boolean(answer.source) || writes, style: "margin-top:1rem"}, el("summary", {}, "Where it looks: all layers and heads"), el("div", {style: "margin-top:.8rem"}, view.node)));
  }
  async function run() {
    const own = ++turn, started = () => own === turn, asked = input.value;
    result.hidden = cards.hidden = more.hidden = input.value === "";
    if (input.value === "") return void (problem.hidden = true);
    result.setAttribute("aria-busy", "true");
    try {
      const answer = await model.answer(input.value, {...options, progress: text => { if (started() && about.task === "language-model") answerLine.replaceChildren(...answerText({prediction: {text: input.value}, written: text}, about.task)); return started(); }});
      if (!started()) return;
      problem.hidden = true;
      result.style.opacity = 1;
      show(answer);
    } catch (error) {
      if (!started()) return;
      problem.textContent = error.message;
      problem.hidden = false;
      result.style.opacity = 0.35;
    }
    result.removeAttribute("aria-busy");
    result.dataset.asked = asked;
  }
  // What takes long waits for a pause in typing.
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(run, kAsked[about.task] && !writes && about.task !== "summarization" ? 0 : 250); };
  input.addEventListener("input", soon);
  const number = (label, key, attributes) => el("label", {}, label, el("input", {type: "number", id: `ask-${key}`, value: options[key], ...attributes, oninput: event => { options[key] = Number(event.target.value) || 0; soon(); }}));
  section("model", "Ask the model", lead,
    el("form", {class: "ask", onsubmit: event => { event.preventDefault(); run(); }}, input,
       examples.length > 1 && examples.slice(0, 2).map((sentence, i) => el("button", {type: "button", onclick: () => { input.value = sentence; run(); }}, `example ${i + 1}`))),
    writes && el("div", {class: "controls"}, number("Temperature", "temperature", {min: 0, max: 5, step: 0.1}), number("Tokens", "max_tokens", {min: 1, max: 500}), number("Seed", "seed", {min: 0})),
    problem, result, cards,
    el("p", {class: "note"}, about.note || "The answer is that of the best checkpoint, whose weights this page holds with 10 to 20 bits each; the last one may answer otherwise.",
       writes ? " Temperature 0 takes the likeliest token each time; a higher one draws, the same for the same seed." : "",
       about.classes && about.classes.length ? " The attention says where a word looked, not why it was answered so: “Attention” below says whether it may be trusted." : ""), more, model.drawing && model.drawing.node);
  run();
  window.qkv = {model, data};
}
