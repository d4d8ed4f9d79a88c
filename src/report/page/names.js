// How metrics, splits and ends are called, which metrics are better when lower, and the colour of each run.

const kTitles = {
  loss: "Loss", accuracy: "Accuracy", macro_f1: "Macro-F1", exact_match: "Exact match", answer_loss: "Loss of the answer",
  token_accuracy: "Token accuracy", perplexity: "Perplexity", bits_per_char: "Bits per character", bits_per_byte: "Bits per byte", bleu: "BLEU", chrf: "chrF",
  rouge1: "ROUGE-1", rouge2: "ROUGE-2", rougeL: "ROUGE-L", lr: "Learning rate", grad_norm: "Gradient norm",
  tokens_per_s: "Tokens per second", step_ms: "Milliseconds per step", skipped: "Skipped steps",
};
const kSplits = {train: "training", val: "validation", test: "test"};
const kEnds = {max_steps: "all steps done", early_stop: "stopped early: no further improvement", interrupted: "interrupted", diverged: "diverged"};

function metricTitle(name) {
  if (kTitles[name]) return kTitles[name];
  if (name.startsWith("train_")) return `${metricTitle(name.slice(6))} on training examples`;
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
const splitTitle = name => kSplits[name] || name;
const lowerIsBetter = name => /loss|perplexity|^bits_per|^step_ms$/.test(name);
const runColour = i => i < 8 ? `var(--c${i})` : `hsl(${47 * i % 360} 50% 55%)`;
