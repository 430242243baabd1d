// Elements of the page, Verilog in colours, what two designs differ in, and waveforms.
// Every text of a model goes into the page as a text node; nothing here makes markup of a string.
const SVG = "http://www.w3.org/2000/svg";
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "click") made.addEventListener("click", value);
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
// --- Verilog in colours, and what two designs differ in

const WORDS = new Set(("always always_comb always_ff always_latch and assign automatic begin bit buf case casex casez default defparam else end endcase "
  + "endfunction endgenerate endmodule endtask enum for forever function generate genvar if initial inout input int integer localparam logic module nand negedge "
  + "nor not or output packed parameter posedge real reg repeat return signed struct supply0 supply1 task tri typedef unique unsigned wait while wire xnor xor").split(" "));
const TOKEN = /(\/\/[^\n]*|\/\*[^]*?(?:\*\/|$))|("(?:\\.|[^"\\\n])*"?)|(`\w+)|(\$\w+)|(\d*'s?[bodh][\da-fxz?_]+|\b\d[\d_.]*)|([a-z_][\w$]*)/gi;
const CLASSES = ["comment", "string", "directive", "system", "number"];
function listing(whole, isCode) {
  const text = whole.replace(/\n+$/, "");
  const made = el("pre", { class: "code", tabindex: "0" });
  let line = el("span", { class: "line" }), last = 0;
  const put = (piece, kind) => piece.split("\n").forEach((part, n) => {
    if (n) { made.append(line, "\n"); line = el("span", { class: "line" }); }
    if (part) line.append(kind ? el("span", { class: `v-${kind}` }, part) : part);
  });
  for (const found of isCode && text.length < 2e5 ? text.matchAll(TOKEN) : []) {
    put(text.slice(last, found.index), "");
    const kind = found[6] ? (WORDS.has(found[6]) ? "word" : "") : CLASSES[found.slice(1, 6).findIndex(Boolean)];
    put(found[0], kind);
    last = found.index + found[0].length;
  }
  put(text.slice(last), "");
  made.append(line);
  return made;
}
function common(a, b) { // pairs of equal places, a longest chain of them; between equal ends, none where that is too long
  let start = 0, ends = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (ends < a.length - start && ends < b.length - start && a[a.length - 1 - ends] === b[b.length - 1 - ends]) ends++;
  const n = a.length - start - ends, m = b.length - start - ends, pairs = [];
  for (let i = 0; i < start; i++) pairs.push([i, i]);
  if (n * m <= 4e6) {
    const long = Array.from({ length: n + 1 }, () => new Uint16Array(m + 1));
    for (let i = n - 1; i >= 0; i--)
      for (let j = m - 1; j >= 0; j--)
        long[i][j] = a[start + i] === b[start + j] ? long[i + 1][j + 1] + 1 : Math.max(long[i + 1][j], long[i][j + 1]);
    for (let i = 0, j = 0; i < n && j < m;) {
      if (a[start + i] === b[start + j]) pairs.push([start + i++, start + j++]);
      else if (long[i + 1][j] >= long[i][j + 1]) i++;
      else j++;
    }
  }
  for (let k = ends; k > 0; k--) pairs.push([a.length - k, b.length - k]);
  return pairs;
}
function marked(mine, other) { // the pieces of a line that the other does not have
  const own = mine.match(/\w+|\s+|[^\w\s]/g) ?? [], its = other?.match(/\w+|\s+|[^\w\s]/g) ?? [];
  const same = new Set(common(own, its).map(([i]) => i));
  return own.map((piece, i) => (other === undefined || same.has(i) ? piece : el("mark", {}, piece)));
}
function difference(reference, code) {
  const [old, now] = [reference, code].map((text) => text.trimEnd().split("\n").map((line) => line.trimEnd()));
  const made = el("pre", { class: "code diff", tabindex: "0", "aria-label": "difference: minus is the reference, plus is the answer" });
  const put = (kind, signs, pieces) => made.append(el("span", { class: `line ${kind}` }, el("span", { class: "edge" }, signs), ...pieces), "\n");
  let i = 0, j = 0;
  for (const [x, y] of [...common(old, now), [old.length, now.length]]) {
    const gone = old.slice(i, x), come = now.slice(j, y);
    gone.forEach((line, k) => put("gone", "− ", marked(line, come[k])));
    come.forEach((line, k) => put("come", "+ ", marked(line, gone[k])));
    if (x < old.length) put("same", "  ", [old[x]]);
    [i, j] = [x + 1, y + 1];
  }
  if (!made.querySelector(".gone, .come")) made.prepend(el("span", { class: "hint" }, "Equal, but for white space at the ends of lines.\n"));
  return made;
}

// --- waveforms

const LANE = 26, HIGH = 16, CHAR = 7;
function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== "") made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const isWrong = (want, got) => [...want].some((bit, n) => "01".includes(bit) && bit !== got[n]);
function digits(bits) { // a bit as it is, a word in hexadecimal
  if (bits.length === 1) return bits;
  return bits.padStart(Math.ceil(bits.length / 4) * 4, "0").match(/.{4}/g)
    .map((four) => (/^[01]+$/.test(four) ? parseInt(four, 2).toString(16) : /^0*z+$/.test(four) ? "z" : "x")).join("");
}
function waveform(wave) {
  const lanes = wave.lanes.flatMap((lane) => {
    const name = (lane.name.length > 28 ? `${lane.name.slice(0, 27)}…` : lane.name) + (lane.width > 1 ? `[${lane.width - 1}:0]` : "");
    const bad = lane.got.map((got, n) => lane.expected !== undefined && isWrong(lane.expected[n], got));
    const own = { name, bits: lane.got, bad, kind: lane.expected === undefined ? "in" : "out" };
    return bad.some(Boolean) ? [own, { name: `${name} expected`, bits: lane.expected, bad: bad.map(() => false), kind: "want" }] : [own];
  });
  const longest = Math.max(...lanes.map((lane) => digits(lane.bits[0]).length));
  const step = Math.min(110, Math.max(34, longest * CHAR + 14)), steps = lanes[0].bits.length, left = 16 + CHAR * Math.max(...lanes.map((lane) => lane.name.length));
  const width = left + steps * step + 4, height = lanes.length * LANE + 24;
  const says = mismatches(wave), label = wave.mismatch === null ? "Waveform; every output is right" : says.map((line) => line.textContent).join(" ");
  const made = svg("svg", { class: "wave", role: "img", "aria-label": label, viewBox: `0 0 ${width} ${height}`, width });
  for (let n = 0; n < steps; n++) {
    const x = left + n * step, isFirst = wave.first + n === wave.mismatch;
    if (isFirst) made.append(svg("rect", { class: "first", x, y: 0, width: step, height }));
    made.append(svg("text", { class: isFirst ? "step at" : "step", x: x + step / 2, y: 12, "text-anchor": "middle" }, String(wave.first + n)));
  }
  lanes.forEach((lane, n) => made.append(drawn(lane, left, 22 + n * LANE, step)));
  return [el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "waveform" }, made), ...says];
}
function drawn(lane, left, y, step) {
  const made = svg("g", { class: lane.kind }, svg("text", { x: left - 8, y: y + HIGH - 3, "text-anchor": "end" }, lane.name));
  let last = "";
  for (let n = 0, count; n < lane.bits.length; n += count) {
    const bits = lane.bits[n], bad = lane.bad[n] ? "bad" : "", x = left + n * step;
    for (count = 1; lane.bits[n + count] === bits && lane.bad[n + count] === lane.bad[n];) count++;
    const end = x + count * step;
    if (bits === "0" || bits === "1") {
      const level = y + (bits === "1" ? 0 : HIGH), from = last && last !== bits ? y + HIGH - (level - y) : level;
      made.append(svg("path", { class: bad, d: `M${x} ${from}V${level}H${end}` }));
      last = bits;
    } else {
      const value = digits(bits), room = Math.floor((end - x - 8) / CHAR);
      made.append(svg("path", { class: bad, d: `M${x} ${y + HIGH / 2}l3 ${-HIGH / 2}H${end - 3}l3 ${HIGH / 2}l-3 ${HIGH / 2}H${x + 3}z` }, svg("title", {}, value)));
      made.append(svg("text", { class: bad, x: (x + end) / 2, y: y + HIGH - 4, "text-anchor": "middle" }, value.length <= room ? value : `${value.slice(0, Math.max(0, room - 1))}…`));
      last = "";
    }
  }
  return made;
}
function mismatches(wave) { // each wrong output of that step, its wrong bits marked
  if (wave.mismatch === null) return [];
  const n = wave.mismatch - wave.first;
  return wave.lanes.filter((lane) => lane.expected !== undefined && isWrong(lane.expected[n], lane.got[n])).map((lane) => {
    const bits = (own) => el("code", {}, ...[...own[n]].map((bit, k) => (isWrong(lane.expected[n][k], lane.got[n][k]) ? el("mark", {}, bit) : bit)));
    return el("p", { class: "mismatch" }, `Step ${wave.mismatch}: ${lane.name} is `, bits(lane.got), ", expected ", bits(lane.expected), ".");
  });
}
