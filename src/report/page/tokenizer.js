// The tokenizer of a run, as its tokenizer.json says: text to ids and back.

// A pattern of Oniguruma as one of JavaScript.
function regex(source) {
  try {
    return new RegExp(source.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}"), "gu");
  } catch {
    throw new Error(`This page cannot cut text by the pattern ${source} of the tokenizer.`);
  }
}
const literal = text => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
const patternOf = part => "Regex" in part.pattern ? regex(part.pattern.Regex) : new RegExp(literal(part.pattern.String), "gu");
const lower = text => Array.from(text, c => c.toLowerCase()).join("");
const sequence = (steps, make) => { const all = steps.map(make); return x => all.reduce((y, step) => step(y), x); };
const unknownPart = (kind, part) => { throw new Error(`This page does not know the ${kind} ${part.type} of the tokenizer.`); };

// ---- text to text

const kIdeographs = /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;
function bertNormal(part) {
  const {clean_text = true, handle_chinese_chars = true, lowercase = true} = part, accents = part.strip_accents ?? lowercase;
  return text => {
    if (clean_text) text = Array.from(text, c => /[\t\n\r]/.test(c) || /\p{White_Space}/u.test(c) && !/\p{C}/u.test(c) ? " " : /[\0\uFFFD]|\p{C}/u.test(c) ? "" : c).join("");
    if (handle_chinese_chars) text = text.replace(kIdeographs, " $& ");
    if (accents) text = text.normalize("NFD").replace(/\p{Mn}/gu, "");
    return lowercase ? lower(text) : text;
  };
}

function normalizerOf(part) {
  if (!part) return text => text;
  switch (part.type) {
    case "Sequence": return sequence(part.normalizers, normalizerOf);
    case "BertNormalizer": return bertNormal(part);
    case "Lowercase": return lower;
    case "StripAccents": return text => text.replace(/\p{M}/gu, "");
    case "NFC": case "NFD": case "NFKC": case "NFKD": return text => text.normalize(part.type);
    case "Replace": { const pattern = patternOf(part); return text => text.replace(pattern, () => part.content); }
    default: return unknownPart("normalizer", part);
  }
}

// ---- text to pieces

const kByteLetters = (() => {
  let other = 0x100;
  return Array.from({length: 256}, (_, b) => String.fromCodePoint((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174 ? b : other++));
})();
const kLetterBytes = new Map(kByteLetters.map((letter, byte) => [letter, byte]));
const toLetters = text => Array.from(new TextEncoder().encode(text), byte => kByteLetters[byte]).join("");
const kGpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const kWords = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]+";

// What the pattern matches and what is between, as `behavior` says; with `invert` the other way round.
function cutBy(pattern, behavior, invert) {
  return text => {
    let parts = [], end = 0;
    const add = (from, to, separates) => { if (to > from) parts.push({text: text.slice(from, to), separates: separates !== invert}); };
    for (const match of text.matchAll(pattern)) {
      add(end, match.index, false);
      add(match.index, end = match.index + match[0].length, true);
    }
    add(end, text.length, false);
    if (behavior === "Removed") parts = parts.filter(part => !part.separates);
    else if (behavior !== "Isolated") {
      const next = behavior === "MergedWithNext", merged = [];
      let before = false;
      for (const {text: one, separates} of next ? parts.reverse() : parts) {
        const joins = behavior === "Contiguous" ? separates === before : separates && !before;
        before = separates;
        if (!joins || !merged.length) merged.push({text: one});
        else { const to = merged[merged.length - 1]; to.text = next ? one + to.text : to.text + one; }
      }
      parts = next ? merged.reverse() : merged;
    }
    return parts.map(part => part.text);
  };
}

function cutterOf(part) {
  if (!part) return text => [text];
  switch (part.type) {
    case "Sequence": { const all = part.pretokenizers.map(cutterOf); return text => all.reduce((pieces, cut) => pieces.flatMap(cut), [text]); }
    case "Split": return cutBy(patternOf(part), part.behavior, part.invert || false);
    case "Whitespace": return cutBy(regex(`${kWords}|[^\\s${kWords.slice(1, -2)}]+`), "Removed", true);
    case "WhitespaceSplit": return cutBy(regex("\\s+"), "Removed", false);
    case "BertPreTokenizer": { const isolate = cutBy(/[!-/:-@[-`{-~]|\p{P}/gu, "Isolated", false), words = cutBy(regex("\\s+"), "Removed", false); return text => words(text).flatMap(isolate); }
    case "ByteLevel": {
      const cut = part.use_regex ?? true ? cutBy(regex(kGpt2), "Isolated", false) : text => [text];
      return text => cut((part.add_prefix_space ?? true) && !text.startsWith(" ") ? " " + text : text).map(toLetters);
    }
    default: return unknownPart("pre-tokenizer", part);
  }
}

// ---- ids to text

function decoderOf(part) {
  if (!part) return tokens => [tokens.join(" ")];
  switch (part.type) {
    case "Sequence": return sequence(part.decoders, decoderOf);
    case "Fuse": return tokens => [tokens.join("")];
    case "BPEDecoder": return tokens => tokens.map((token, i) => token.replaceAll(part.suffix ?? "</w>", i + 1 < tokens.length ? " " : ""));
    case "ByteLevel": return tokens => [new TextDecoder().decode(Uint8Array.from(Array.from(tokens.join("")).flatMap(c => kLetterBytes.has(c) ? kLetterBytes.get(c) : [...new TextEncoder().encode(c)])))];
    case "WordPiece": {
      const prefix = part.prefix ?? "##";
      const tidied = text => part.cleanup ?? true ? [" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"].reduce((t, mark) => t.replaceAll(mark, mark.trim()), text).replaceAll(" do not", " don't") : text;
      return tokens => tokens.map((token, i) => tidied(i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : " " + token));
    }
    default: return unknownPart("decoder", part);
  }
}

// ---- the tokenizer

class TextTokenizer {
  // {"json": tokenizer.json without the vocabulary, "tokens", "special": ids, "type", "subwords", "pad", "unk" (-1: none)}
  constructor(packed) {
    Object.assign(this, packed);
    this.ids = new Map(packed.tokens.map((token, id) => [token, id]));
    this.specials = new Set(packed.special);
    const {normalizer, pre_tokenizer, decoder, model, added_tokens = []} = packed.json;
    const old = packed.json.qkv;  // of an earlier version: only A to Z become small
    this.normalize = normalizerOf(old ? {type: "Sequence", normalizers: (normalizer.normalizers || [normalizer]).filter(n => n.type !== "Lowercase")} : normalizer);
    if (old) { const rest = this.normalize; this.normalize = text => rest(text).replace(/[A-Z]/g, c => c.toLowerCase()); }
    this.cut = cutterOf(pre_tokenizer);
    this.join = decoderOf(decoder);
    this.model = model;
    this.ranks = new Map((model.merges || []).map((merge, rank) => [Array.isArray(merge) ? merge.join(" ") : merge, rank]));
    this.end = ["<eos>", "<|endoftext|>"].map(name => this.ids.get(name)).find(id => this.specials.has(id)) ?? -1;
    this.marks = this.table(packed.special.filter(id => id === this.end || id !== this.pad && id !== this.unk));
    this.literals = this.table(added_tokens.filter(token => !token.special).map(token => token.id));
  }
  table(ids) {
    const names = ids.map(id => this.tokens[id]).sort((a, b) => b.length - a.length);
    return names.length ? new RegExp(`(${names.map(literal).join("|")})`, "u") : null;
  }
  // The ids of what a table of tokens has, and f(text) of what is between.
  around(text, table, f) {
    return table ? text.split(table).flatMap((part, i) => i % 2 ? [this.ids.get(part)] : part ? f(part) : []) : f(text);
  }
  id(token) { return this.ids.get(token) ?? -1; }
  known(token) { const id = this.id(token); return id >= 0 && !this.specials.has(id) ? id : -1; }
  idOf(word) { const id = this.known(this.normalize(word)); return id < 0 ? Math.max(0, this.unk < 0 ? this.pad : this.unk) : id; }
  encode(text) { return this.around(text, this.literals, part => this.cut(this.normalize(part)).flatMap(piece => this.pieceIds(piece))); }
  encodeMarked(text) { return this.around(text, this.marks, part => this.encode(part)); }
  wordIds(word, first) { return this.subwords ? this.encode(first ? word : " " + word) : [this.idOf(word)]; }
  decode(ids) {
    const kept = ids.filter(id => !this.specials.has(id) || (id === this.unk && this.type !== "file"));
    return this.join(kept.map(id => id === this.unk && this.type === "char" ? "\uFFFD" : this.tokens[id])).join("");
  }

  pieceIds(piece) {
    const {type, continuing_subword_prefix: prefix} = this.model, unknown = this.unk < 0 ? [] : [this.unk];
    if (type === "WordLevel") return this.known(piece) < 0 ? unknown : [this.known(piece)];
    if (type === "BPE") return this.merged(piece);
    const letters = Array.from(piece), ids = [];
    if (letters.length > (this.model.max_input_chars_per_word ?? 100)) return unknown;
    for (let at = 0; at < letters.length;) {
      let end = letters.length, id = -1;
      for (; end > at; end--) if ((id = this.known((at ? prefix ?? "##" : "") + letters.slice(at, end).join(""))) >= 0) break;
      if (id < 0) return unknown;
      ids.push(id);
      at = end;
    }
    return ids;
  }
  merged(piece) {
    const {continuing_subword_prefix: prefix, end_of_word_suffix: suffix, fuse_unk, ignore_merges} = this.model;
    if (ignore_merges && this.known(piece) >= 0) return [this.known(piece)];
    const letters = Array.from(piece), unknown = this.tokens[this.unk];
    let symbols = letters.map((c, i) => (i ? prefix || "" : "") + c + (i + 1 === letters.length ? suffix || "" : "")).map(s => this.known(s) < 0 ? unknown : s).filter(s => s !== undefined);
    if (fuse_unk) symbols = symbols.filter((s, i) => s !== unknown || symbols[i - 1] !== unknown);
    for (;;) {
      let best = Infinity, at = -1;
      for (let i = 0; i + 1 < symbols.length; i++) {
        const rank = this.ranks.get(symbols[i] + " " + symbols[i + 1]);
        if (rank < best) best = rank, at = i;
      }
      if (at < 0) return symbols.map(s => this.ids.get(s));
      const right = symbols[at + 1];
      symbols.splice(at, 2, symbols[at] + (prefix && right.startsWith(prefix) ? right.slice(prefix.length) : right));
    }
  }
}

// What tokens add to a text that was read as `prompt`.
function addedText(tokenizer, prompt, text, ids) {
  const before = prompt.filter(id => tokenizer.decode([id]) !== "").slice(-4), begin = tokenizer.decode(before);
  const added = tokenizer.decode([...before, ...ids]).slice(begin.length), spaced = /[ \t\r\n]$/;
  return added.startsWith(" ") && ((spaced.test(text) && !spaced.test(begin)) || !tokenizer.decode(ids).startsWith(" ")) ? added.slice(1) : added;
}
