// Numbers as text: what `pack` and `packed_matrix` of report/report.h write.

const kDigits = new Uint8Array(128);
for (let k = 0, c = 33; k < 91; c++) if (!"\"<\\".includes(String.fromCharCode(c))) kDigits[c] = k++;

function unpack(packed, n, most, bits) {
  const out = new Float64Array(n), half = 2 ** (bits - 1) - 1;
  let pending = 0, count = 0, at = 0;
  for (let i = 0; i < n; i++) {
    for (; count < bits; count += 13, at += 2)
      pending = pending * 8192 + kDigits[packed.charCodeAt(at)] * 91 + kDigits[packed.charCodeAt(at + 1)];
    const unit = 2 ** (count - bits), level = Math.floor(pending / unit);
    pending -= level * unit;
    count -= bits;
    out[i] = (level - half) / half * most;
  }
  return out;
}

// A tensor with a scale for each row along its last axis.
function unpackTensor(m) {
  const n = m.shape.reduce((a, b) => a * b, 1), columns = Math.max(1, m.shape[m.shape.length - 1] ?? 1);
  const values = unpack(m.data, n, 1, m.bits), scales = unpack(m.scales, n / columns, m.most, 18), data = new (m.whole ? Int32Array : Float32Array)(n);
  for (let r = 0, i = 0; r < scales.length; r++) for (const end = i + columns; i < end; i++) data[i] = m.whole ? Math.round(values[i] * scales[r]) : values[i] * scales[r];
  return {shape: m.shape, data};
}
