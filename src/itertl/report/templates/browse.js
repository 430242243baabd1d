// The list of answers: filters, a list that draws only what is in sight, and one answer in full.
const data = JSON.parse(document.getElementById("answers").textContent);
const rows = data.rows, total = rows.run.length, several = data.runs.length > 1;
const SIGNS = { good: "✓", part: "≈", output: "✗", compile: "!", gamed: "⊘", cut: "…", ours: "?" };
const ROW = 54;
const byId = (id) => document.getElementById(id);
const list = byId("list"), inner = byId("list-inner"), detail = byId("detail"), search = byId("f-text");
const filters = ["run", "group", "model", "verdict", "rung"];
let shown = [], at = -1, open = -1, mode = "answers", remote = null, request = null, timer = 0;

const kindOf = (n) => data.verdicts[rows.verdict[n]][2];
const verdictOf = (n) => data.verdicts[rows.verdict[n]][1];
const taskOf = (n) => data.tasks[rows.task[n]];
const isTraining = (n) => taskOf(n)[0] === data.training;
const modelName = (model) => (model === 0 ? "untouched" : `after ${model}`);
const sign = (n) => el("span", { class: `sign ${kindOf(n)}`, "aria-hidden": "true" }, SIGNS[kindOf(n)]);
function where(n) {
  const parts = [isTraining(n) ? "training candidate" : taskOf(n)[0], rows.model[n] === 0 ? "untouched model" : `model after iteration ${rows.model[n]}`];
  if (rows.heat[n] !== null) parts.push(`T ${rows.heat[n]}`);
  if (several) parts.unshift(data.runs[rows.run[n]].name);
  return `${parts.join(", ")}, answer ${rows.index[n] + 1}`;
}
const say = (n) => `${verdictOf(n)}, ${where(n)}`;

// --- filters

const groups = new Map(); // "task run" -> its answers, by model
for (let n = 0; n < total; n++) {
  const key = `${rows.task[n]} ${rows.run[n]}`;
  groups.has(key) ? groups.get(key).push(n) : groups.set(key, [n]);
}
for (const answers of groups.values()) {
  answers.sort((a, b) => rows.model[a] - rows.model[b] || rows.heat[a] - rows.heat[b] || rows.index[a] - rows.index[b]);
}
const hays = { task: new Map(), answer: new Map() };
function hayOfTask(task) {
  if (!hays.task.has(task)) {
    const known = data.problems[task];
    const texts = known ? [known.prompt, known.header] : [];
    hays.task.set(task, [...data.tasks[task], ...texts].join("\n").toLowerCase());
  }
  return hays.task.get(task);
}
function hayOf(n) {
  if (!hays.answer.has(n)) {
    const known = data.details[n];
    const said = known ? known.scores.map((s) => `${s.scorer} ${s.detail}`) : [];
    hays.answer.set(n, known ? [known.text, known.code, known.message, ...said].join("\n").toLowerCase() : "");
  }
  return hays.answer.get(n);
}
function matching() {
  const wanted = filters.map((name) => [byId(`f-${name}`).value, name]).filter(([value]) => value !== "");
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const name = byId("f-task").value.trim().toLowerCase();
  const columns = wanted.filter(([, key]) => key !== "group").map(([value, key]) => [rows[key], Number(value)]);
  const group = byId("f-group").value;
  const missing = data.tasks.map((task, number) => { // of each task: null, or the words that its own texts lack
    if ((group && task[0] !== group) || (name && !task[1].toLowerCase().includes(name))) return null;
    return remote ? [] : words.filter((word) => !hayOfTask(number).includes(word));
  });
  const found = [];
  for (let n = 0; n < total; n++) {
    const lacks = missing[rows.task[n]];
    if (lacks === null || !columns.every(([column, value]) => column[n] === value)) continue;
    if (remote ? remote.has(n) : lacks.every((word) => hayOf(n).includes(word))) found.push(n);
  }
  return found;
}
function refresh() {
  const start = performance.now(), found = matching();
  const keep = at >= 0 ? shown[at] : undefined;
  if (mode === "answers") shown = found;
  else shown = [...new Set(found.map((n) => `${rows.task[n]} ${rows.run[n]}`))];
  at = shown.indexOf(keep);
  if (at < 0) at = shown.length ? 0 : -1;
  list.scrollTop = at > 0 ? Math.max(0, at * ROW - list.clientHeight / 2) : 0;
  draw();
  const noun = mode === "answers" ? "answers" : several ? "problems by run" : "problems";
  const whole = mode === "answers" ? total : groups.size;
  byId("count").textContent = `${shown.length.toLocaleString("en")} of ${whole.toLocaleString("en")} ${noun}`;
  byId("count").title = `filtered in ${(performance.now() - start).toFixed(1)} ms`;
  byId("clear").hidden = found.length === total;
}
function asked() { // of a served page, whose server searches the texts
  clearTimeout(timer);
  if (request) request.abort();
  const query = search.value.trim();
  if (!data.served || !query) { remote = null; refresh(); return; }
  timer = setTimeout(() => {
    byId("count").textContent = "searching …";
    request = new AbortController();
    fetch(`api/search?q=${encodeURIComponent(query)}`, { signal: request.signal })
      .then((answer) => answer.json()).then((found) => { remote = new Set(found.answers); refresh(); })
      .catch((error) => { if (error.name !== "AbortError") byId("count").textContent = "the server does not answer"; });
  }, 200);
}

// --- the list

function option(place) {
  const item = shown[place], answers = mode === "answers" ? [item] : groups.get(item), n = answers[0];
  const name = el("span", { class: "name" }, taskOf(n)[1]);
  const hint = isTraining(n) ? "training" : taskOf(n)[0].split(" ")[0];
  const row = mode === "answers"
    ? [sign(n), el("span", { class: "what" }, name, el("span", { class: "hint" }, `${verdictOf(n)} · ${taskOf(n)[2] || hint}`)),
       el("span", { class: "when" }, el("span", {}, modelName(rows.model[n])), el("span", { class: "hint" }, several ? data.runs[rows.run[n]].name : `${hint} ${rows.index[n] + 1}`))]
    : [el("span", { class: "what" }, name, el("span", { class: "hint" }, several ? data.runs[rows.run[n]].name : hint)), strip(item, false)];
  const label = mode === "answers" ? `${taskOf(n)[1]}: ${say(n)}` : `${taskOf(n)[1]}: ${summary(answers)}`;
  return el("div", {
    role: "option", id: `o-${place}`, class: mode, "aria-selected": String(place === at), "aria-label": label,
    "aria-setsize": shown.length, "aria-posinset": place + 1, style: `top:${place * ROW}px`,
    click: (event) => { at = place; draw(); show(Number(event.target.closest("[data-n]")?.dataset.n ?? n), true); },
  }, ...row);
}
function summary(answers) {
  const models = [...new Set(answers.map((n) => rows.model[n]))];
  return models.map((m) => {
    const own = answers.filter((n) => rows.model[n] === m), right = own.filter((n) => kindOf(n) === "good").length;
    return `${modelName(m)} ${right} of ${own.length} right`;
  }).join("; ");
}
function strip(key, asButtons) { // in the list, many answers of one model are one mark: how many of them are right
  const made = el("span", { class: "strip" }), models = new Map();
  for (const n of groups.get(key)) models.get(rows.model[n])?.push(n) ?? models.set(rows.model[n], [n]);
  for (const [model, own] of models) {
    const step = el("span", { class: "step" }, el("span", { class: "hint" }, String(model))), right = own.filter((n) => kindOf(n) === "good");
    if (asButtons) step.append(...own.map((n) => mark(n, SIGNS[kindOf(n)], true)));
    else if (own.length <= 3) step.append(...own.map((n) => mark(n, SIGNS[kindOf(n)], false)));
    else step.append(mark(right[0] ?? own[0], `${right.length}/${own.length}`, false));
    made.append(step);
  }
  return made;
}
function mark(n, shape, isButton) {
  const made = { class: `mark ${kindOf(n)}`, "data-n": n, title: say(n) };
  if (!isButton) return el("span", made, shape);
  return el("button", { ...made, type: "button", "aria-label": say(n), "aria-current": n === open ? "true" : null, click: () => go(n) }, shape);
}
function draw() {
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 6);
  const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 6);
  inner.style.height = `${shown.length * ROW}px`;
  const places = Array.from({ length: Math.max(0, last - first) }, (_, n) => first + n);
  if (at >= 0 && (at < first || at >= last)) places.push(at); // what has the keyboard's focus stays in the tree
  inner.replaceChildren(...places.map(option));
  if (!shown.length) inner.append(el("p", { class: "empty" }, "No answer fits these filters."));
  at >= 0 ? list.setAttribute("aria-activedescendant", `o-${at}`) : list.removeAttribute("aria-activedescendant");
}
function move(to) {
  if (!shown.length) return;
  at = Math.max(0, Math.min(shown.length - 1, to));
  const top = at * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  draw();
  if (isWide()) show(current(), false);
}
const isWide = () => getComputedStyle(byId("back")).display === "none"; // list and answer stand side by side
const current = () => (mode === "answers" ? shown[at] : groups.get(shown[at])[0]);

// --- one answer

function go(n) { // from a strip: the list follows where it holds the answer
  const place = shown.indexOf(mode === "answers" ? n : `${rows.task[n]} ${rows.run[n]}`);
  if (place >= 0) { at = place; list.scrollTop = Math.max(0, at * ROW - list.clientHeight / 2); draw(); }
  show(n, true);
}
async function show(n, withFocus) {
  open = n;
  history.replaceState(null, "", `#answer-${n}`);
  if (withFocus) byId("browse").classList.add("opened"); // on a narrow page, in place of the list
  if (data.served && !data.details[n]) await fetched(n);
  if (open !== n) return;
  const known = data.details[n], problem = data.problems[rows.task[n]];
  const failed = data.failed?.[n];
  const body = known ? parts(n, known, problem ?? { prompt: "", header: "", reference: "" })
    : [el("p", { class: "left" }, failed ?? "The texts of this answer did not fit into this file: `itertl view RUN` serves them.")];
  byId("answer").replaceChildren(heading(n), timeline(n), ...body);
  detail.scrollTop = 0;
  if (withFocus) detail.focus({ preventScroll: true });
}
async function fetched(n) {
  try {
    const answer = await fetch(`api/item?n=${n}`), got = await answer.json();
    if (!answer.ok) { data.failed = { ...data.failed, [n]: got.error }; return; }
    data.details[n] = got.detail;
    data.problems[rows.task[n]] = got.problem;
  } catch { data.failed = { [n]: "The server does not answer: is `itertl view` still running?" }; }
}
function heading(n) {
  const value = rows.value[n] === null || isNaN(rows.value[n]) ? "" : ` · value ${rows.value[n]}`;
  const rung = rows.rung[n] ? ` · highest rung ${data.rungs[rows.rung[n]]}` : "";
  return el("header", {}, el("h2", {}, taskOf(n)[1]),
    el("p", {}, el("span", { class: `verdict ${kindOf(n)}` }, sign(n), ` ${verdictOf(n)}`), el("span", { class: "hint" }, `${value}${rung}`)),
    el("p", { class: "hint" }, where(n)));
}
function timeline(n) {
  const made = el("section", { "aria-label": "This problem through all iterations", class: "timeline" });
  for (let run = 0; run < data.runs.length; run++) {
    const key = `${rows.task[n]} ${run}`;
    if (groups.has(key)) made.append(el("div", {}, several ? el("b", {}, data.runs[run].name) : null, strip(key, true)));
  }
  const task = el("button", { type: "button", class: "link", click: () => { byId("f-task").value = taskOf(n)[1]; refresh(); } }, "list only this problem");
  made.append(el("p", { class: "hint" }, "Each mark is an answer; the number is of iterations behind the model. ", task));
  return made;
}
function parts(n, known, problem) {
  const code = known.code || known.text, made = [];
  if (known.message) made.push(titled("Message", el("pre", { class: "wrap" }, known.message)));
  if (known.wave) made.push(titled(known.wave.mismatch === null ? "Waveform" : "First mismatch", ...waveform(known.wave)));
  if (known.scores.length) made.push(titled("Scores", scoreTable(known.scores)));
  const views = { [known.code ? "Code" : "Text, no code in it"]: () => listing(code, known.code !== "") };
  if (problem.reference) {
    views.Difference = () => difference(problem.reference, code);
    views.Reference = () => listing(problem.reference, true);
  }
  made.push(tabs(views));
  if (problem.prompt || problem.header) made.push(titled("Problem", el("p", { class: "prompt" }, problem.prompt), problem.header ? listing(problem.header, true) : null));
  const dropped = known.dropped.map(([why, size]) => `${why} (${size} characters)`).join("; ");
  const written = el("details", {}, el("summary", {}, "Text as written", el("span", { class: "hint" }, dropped ? ` taken out of it: ${dropped}` : "")),
    el("pre", { class: "wrap" }, known.text));
  const facts = el("table", { class: "text" }, el("tbody", {}, ...known.facts.map((pair) => el("tr", {}, ...pair.map((cell) => el("td", {}, cell))))));
  return [...made, written, el("details", {}, el("summary", {}, "Facts"), facts)];
}
const titled = (title, ...body) => el("section", {}, el("h3", {}, title), ...body);
function tabs(views) {
  const body = el("div", { class: "tab-body" }), bar = el("div", { class: "segments", role: "group", "aria-label": "Code" });
  for (const [name, make] of Object.entries(views)) {
    const pick = () => {
      for (const other of bar.children) other.setAttribute("aria-pressed", String(other === button));
      body.replaceChildren(make());
    };
    const button = el("button", { type: "button", "aria-pressed": "false", click: pick }, name);
    bar.append(button);
  }
  bar.firstChild.click();
  return el("section", {}, bar, body);
}
function scoreTable(scores) {
  const head = el("tr", {}, ...["scorer", "value", "verdict", "what its tool said"].map((name) => el("th", { scope: "col" }, name)));
  const lines = scores.map((s) => {
    const said = [s.detail, s.outputs.length ? `wrong outputs: ${s.outputs.join(", ")}` : "", s.counterexample ? `counterexample: ${s.counterexample}` : ""];
    return el("tr", {}, el("td", { title: s.tool }, s.scorer), el("td", {}, s.value === null ? "–" : String(Math.round(s.value * 1e4) / 1e4)),
      el("td", {}, s.verdict.replaceAll("_", " ")), el("td", { class: "said" }, said.filter(Boolean).join("\n")));
  });
  return el("div", { class: "scroll" }, el("table", { class: "scores" }, el("thead", {}, head), el("tbody", {}, ...lines)));
}

// --- starting

function fill(id, options) {
  byId(id).append(...options.map(([value, label]) => el("option", { value }, label)));
  if (options.length < 2) byId(id).closest("label").hidden = true;
}
function choose(kind) {
  if (kind === mode) return;
  const keep = open;
  mode = kind; at = -1; shown = [];
  for (const button of byId("modes").children) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  refresh();
  if (keep >= 0) { at = shown.indexOf(mode === "answers" ? keep : `${rows.task[keep]} ${rows.run[keep]}`); at = Math.max(at, 0); draw(); }
}
function close() {
  byId("browse").classList.remove("opened");
  list.focus({ preventScroll: true });
}
function route() {
  const wanted = /^#answer-(\d+)$/.exec(location.hash), isBrowse = wanted !== null || location.hash === "#browse";
  document.body.classList.toggle("browsing", isBrowse);
  for (const link of document.querySelectorAll("#views a")) {
    (link.hash === "#browse") === isBrowse ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  if (isBrowse && shown.length === 0) refresh();
  if (wanted && Number(wanted[1]) < total && open !== Number(wanted[1])) go(Number(wanted[1]));
  else if (isBrowse && open < 0 && at >= 0 && isWide()) show(current(), false);
  if (isBrowse && !wanted) list.focus({ preventScroll: true });
}
function key(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (!document.body.classList.contains("browsing") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (event.target === search && search.value) { search.value = ""; asked(); } else close();
  } else if (typing && event.key === "Enter" && event.target.tagName === "INPUT") list.focus();
  else if (typing) return;
  else if (event.key === "/") search.focus();
  else if (event.key === "j" || (event.key === "ArrowDown" && event.target === list)) move(at + 1);
  else if (event.key === "k" || (event.key === "ArrowUp" && event.target === list)) move(at - 1);
  else if (event.target === list && event.key === "PageDown") move(at + Math.floor(list.clientHeight / ROW));
  else if (event.target === list && event.key === "PageUp") move(at - Math.floor(list.clientHeight / ROW));
  else if (event.target === list && event.key === "Home") move(0);
  else if (event.target === list && event.key === "End") move(shown.length - 1);
  else if (event.target === list && event.key === "Enter" && at >= 0) show(current(), true);
  else return;
  event.preventDefault();
}
fill("f-run", data.runs.map((run, n) => [n, run.name]));
fill("f-group", [...new Set(data.tasks.map((task) => task[0]))].map((name) => [name, name === data.training ? "training candidates" : name]));
fill("f-model", [...new Set(rows.model)].sort((a, b) => a - b).map((model) => [model, modelName(model)]));
fill("f-verdict", data.verdicts.map(([, label], n) => [n, label]));
fill("f-rung", data.rungs.map((name, n) => [n, name || "none held"]));
byId("tasks").append(...[...new Set(data.tasks.map((task) => task[1]))].slice(0, 2000).map((name) => el("option", { value: name })));
for (const name of filters) byId(`f-${name}`).addEventListener("change", refresh);
byId("f-task").addEventListener("input", refresh);
search.addEventListener("input", asked);
byId("clear").addEventListener("click", () => {
  for (const name of [...filters, "task", "text"]) byId(`f-${name}`).value = "";
  asked(); search.focus();
});
for (const button of byId("modes").children) button.addEventListener("click", () => choose(button.dataset.mode));
byId("back").addEventListener("click", close);
byId("more").addEventListener("click", () => {
  byId("more").setAttribute("aria-expanded", String(byId("filters").classList.toggle("all")));
  draw();
});
list.addEventListener("scroll", draw);
addEventListener("resize", draw);
addEventListener("hashchange", route);
addEventListener("keydown", key);
byId("views").hidden = false;
route();
