"use strict";

// Each event is the whole state, so nothing is lost with a connection. All of it is put on the page
// as text, never as HTML: names of hosts and errors may contain anything.

const SILENCE_MS = 20000, RETRY_MS = 3000, MOST_LOSSES = 20;
const NAMES = { in_flight: "in flight", running: "running", waiting: "waiting", repeated: "repeated",
  lost: "lost", done: "done" };
const $ = (id) => document.getElementById(id);

let source = null, state = null, offsetMs = 0, heardMs = 0, connected = false;

// --- words

const count = (n) => Math.round(n).toLocaleString("en");
const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

function seconds(s) {
  if (s < 9.95) return `${s.toFixed(1)} s`;
  const whole = Math.round(s), pad = (n) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; n >= 999.5 && unit < 4; unit++) n /= 1000;
  return `${n < 9.95 && unit ? n.toFixed(1) : Math.round(n)} ${units[unit]}`;
}

function rate(perSecond) {
  const units = ["", " thousand", " million", " billion"];
  let unit = 0;
  for (; perSecond >= 9999.5 && unit < 3; unit++) perSecond /= 1000;
  const digits = perSecond >= 100 ? 0 : perSecond >= 10 ? 1 : 2;
  return (digits ? perSecond.toFixed(digits) : count(perSecond)) + units[unit];
}

// --- elements

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function make(tag, parent, text) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
}

/** Updates the children of a node to match the items, reusing existing ones. */
function fit(parent, items, create, update) {
  while (parent.children.length > items.length) parent.lastChild.remove();
  items.forEach((item, i) => update(parent.children[i] || parent.appendChild(create()), item));
}

function figures(list, pairs) {
  const create = () => {
    const pair = document.createElement("div");
    make("dt", pair);
    make("dd", pair);
    return pair;
  };
  fit(list, pairs, create, (pair, [name, value]) => {
    put(pair.children[0], name);
    put(pair.children[1], value);
    pair.children[1].dataset.name = name;
  });
}

function row(...classes) {
  return () => {
    const line = document.createElement("tr");
    for (const name of classes) make("td", line).className = name;
    return line;
  };
}

// --- the run

function nowS() {
  return (Date.now() + offsetMs) / 1000;
}

function showTimes() {
  const run = state && state.run;
  if (!run) return;
  const goes = !run.ended && !state.ended && connected;
  const sinceS = goes ? Math.max(0, nowS() - run.told_s) : 0;
  const pairs = [["time so far", seconds(run.elapsed_s + sinceS)]];
  if (run.remaining_s !== null && !state.ended) {
    const leftS = run.remaining_s - sinceS;
    pairs.push(["time left", leftS < 1 ? "less than 1 s" : `about ${seconds(leftS)}`]);
  }
  const samples = run.n_samples !== null;
  const total = run.n_blocks === null ? "" : ` of ${count(run.n_blocks)}`;
  pairs.push([`${samples ? "blocks" : run.unit} done`, count(run.n_done) + total]);
  if (samples) pairs.push([run.unit, count(run.n_samples)]);
  pairs.push([`${run.unit} per second`, rate(run.rate)]);
  if (run.n_recalled) pairs.push(["blocks from the ledger", count(run.n_recalled)]);
  figures($("figures"), pairs);
}

function showRun(run) {
  $("progress").hidden = !run;
  put($("workload"), run ? run.workload || "A run" : "No run yet");
  $("estimate").hidden = !run || !run.estimate.length;
  $("others").hidden = !state.n_other_runs;
  put($("others"), `${plural(state.n_other_runs, "other run")} on the same engine`);
  if (!run) return;
  const share = run.n_blocks ? Math.min(1, run.n_done / run.n_blocks) : null;
  if (share === null && !run.ended) $("bar").removeAttribute("value");
  else $("bar").value = share === null ? 1 : share;
  put($("share"), share === null ? "" : `${(100 * share).toFixed(share < 1 ? 1 : 0)} %`);
  showTimes();
  if (!run.estimate.length) return;
  const more = run.n_values - run.estimate.length;
  put($("value"), run.estimate.join("\n") + (more > 0 ? `\nand ${plural(more, "other")}` : ""));
  const which = run.n_values > 1 ? "first value" : "estimate";
  put($("legend"), `The ${which} and its interval over the time of the run.`);
  draw(run.history);
}

// --- the chart

function svg(parent, tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return parent.appendChild(node);
}

/** Tick values of an axis: three to six round ones. */
function ticks(low, high) {
  const rough = (high - low) / 3, power = 10 ** Math.floor(Math.log10(rough));
  const step = [5, 2, 1].map((n) => n * power).find((size) => size <= rough) || power;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
  return found.map((value) => [value, value.toFixed(Math.min(digits, 15))]);
}

/** The band narrows by orders of magnitude: its early, wide part is cut off. */
function limits(points) {
  const late = points.slice(Math.floor(points.length / 3));
  let low = Infinity, high = -Infinity;
  for (const [, value, half] of late) {
    low = Math.min(low, value - (half || 0));
    high = Math.max(high, value + (half || 0));
  }
  const margin = 0.08 * (high - low) || 1e-12 + Math.abs(high) * 1e-6;
  return [low - margin, high + margin];
}

function draw(points) {
  const chart = $("chart"), width = chart.clientWidth, height = chart.clientHeight;
  chart.replaceChildren();
  if (!points.length || width < 60) return;
  const [low, high] = limits(points), marks = ticks(low, high);
  const left = 14 + 7 * Math.max(...marks.map(([, text]) => text.length)), bottom = height - 22;
  const start = points[0][0], end = points[points.length - 1][0], span = end - start || 1;
  const x = (s) => left + ((s - start) / span) * (width - left - 8);
  const y = (v) => 6 + ((high - v) / (high - low)) * (bottom - 6);
  const at = (s, v) => `${x(s).toFixed(1)},${Math.max(-1e5, Math.min(1e5, y(v))).toFixed(1)}`;
  for (const [value, text] of marks) {
    svg(chart, "line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) });
    svg(chart, "text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, text);
  }
  svg(chart, "text", { x: left, y: height - 4 }, seconds(start));
  svg(chart, "text", { x: width - 2, y: height - 4, "text-anchor": "end" }, seconds(end));
  const field = svg(chart, "clipPath", { id: "field" });
  svg(field, "rect", { x: left, y: 0, width: width - left, height: bottom });
  const inside = svg(chart, "g", { "clip-path": "url(#field)" });
  const banded = points.filter(([, , half]) => half !== null);
  const above = banded.map(([s, v, half]) => at(s, v + half));
  const below = banded.map(([s, v, half]) => at(s, v - half)).reverse();
  svg(inside, "polygon", { class: "band", points: [...above, ...below].join(" ") });
  svg(inside, "polyline", { class: "line", points: points.map(([s, v]) => at(s, v)).join(" ") });
  const [lastX, lastY] = at(end, points[points.length - 1][1]).split(",");
  svg(inside, "circle", { class: "last", cx: lastX, cy: lastY, r: 3.5 });
}

// --- hosts, workers, losses

function showHosts(hosts) {
  fit($("hosts"), hosts, row("any host", "whole", "", ""), (line, host) => {
    const [name, workers, load, memory] = line.children;
    put(name, host.label);
    const alive = host.n_alive !== undefined ? host.n_alive : host.workers.length;
    put(workers, !host.connected ? "not connected" :
      host.n_wanted === null ? count(alive) : `${alive} of ${host.n_wanted}`);
    const lacks = !host.connected || (host.n_alive !== undefined && alive < host.n_wanted);
    workers.classList.toggle("bad", lacks);
    put(load, host.load === undefined ? "–" :
      `${host.load.toFixed(2)} on ${plural(host.n_cores, "core")}`);
    showMemory(memory, host);
  });
}

function showMemory(cell, host) {
  if (host.memory_bytes === undefined) {
    put(cell, "–");
    return;
  }
  if (!cell.children.length) {
    cell.replaceChildren();
    make("span", cell);
    make("progress", cell).setAttribute("aria-hidden", "true");
  }
  const used = host.memory_bytes - host.available_bytes;
  put(cell.children[0], `${bytes(used)} of ${bytes(host.memory_bytes)}`);
  cell.children[1].value = used / host.memory_bytes;
}

function showWorkers(hosts) {
  const some = hosts.filter((host) => host.workers.length);
  const create = () => {
    const part = document.createElement("div");
    make("h3", part);
    make("ul", part).className = "grid-of-workers";
    return part;
  };
  fit($("workers"), some, create, (part, host) => {
    const alike = {};
    for (const { state: name } of host.workers) alike[name] = (alike[name] || 0) + 1;
    const told = Object.entries(alike).map(([name, n]) => `${n} ${name}`).join(", ");
    // Isolated, since a name may contain characters that reverse the direction of text.
    put(part.children[0], `\u2068${host.label}\u2069: ${told}`);
    fit(part.children[1], host.workers, createWorker, updateWorker);
  });
}

function createWorker() {
  const cell = document.createElement("li");
  cell.className = "worker";
  make("b", cell);
  make("span", cell);
  make("span", cell);
  return cell;
}

function updateWorker(cell, worker) {
  cell.dataset.state = worker.state;
  put(cell.children[0], worker.state);
  put(cell.children[1], worker.pid === null ? "no process yet" : `process ${worker.pid}`);
  const facts = [];
  if (worker.memory_bytes) facts.push(bytes(worker.memory_bytes));
  if (worker.n_done !== null) facts.push(plural(worker.n_done, "task"));
  put(cell.children[2], facts.join(", "));
}

function showLosses(losses) {
  const newest = losses.slice(-MOST_LOSSES).reverse();
  $("no-losses").hidden = newest.length > 0;
  $("losses-table").hidden = newest.length === 0;
  fit($("losses"), newest, row("whole", "any host", "whole", "any"), (line, loss) => {
    put(line.children[0], new Date(1000 * loss.at_s).toLocaleTimeString("en-GB"));
    put(line.children[1], loss.host);
    put(line.children[2], loss.pid === null ? "–" : String(loss.pid));
    put(line.children[3], loss.why);
  });
  $("more-losses").hidden = losses.length <= MOST_LOSSES;
  put($("more-losses"), `and ${count(losses.length - MOST_LOSSES)} before them`);
}

// --- the state of all

function showState() {
  const run = state && state.run;
  let name = "running", text = "running";
  if (state && state.ended) {
    [name, text] = ["done", run && !run.ended ? "ended before the run" : "ended"];
  } else if (!connected) {
    [name, text] = state ? ["lost", "not connected, trying again"] : ["connecting", "connecting"];
  } else if (!run) {
    [name, text] = ["ready", "waiting for a run"];
  } else if (run.ended) {
    [name, text] = ["ready", "run ended, waiting for another"];
  }
  $("state").dataset.state = name;
  put($("state"), text);
  const share = run && run.n_blocks && !run.ended ? `${Math.floor(100 * run.n_done / run.n_blocks)} % ` : "";
  document.title = `${share}${(run && run.workload) || "scoopsci"}`;
}

function show() {
  const trouble = state.failure ? `this page has failed: ${state.failure}` : state.trouble;
  $("trouble").hidden = !trouble;
  put($("trouble"), trouble || "");
  if (state.failure) return;
  put($("engine"), `on engine ${state.engine}`);
  showRun(state.run);
  const told = Object.keys(NAMES).filter((name) => state.tasks[name] !== undefined);
  figures($("tasks"), told.map((name) => [NAMES[name], count(state.tasks[name])]));
  showHosts(state.hosts);
  showWorkers(state.hosts);
  showLosses(state.losses);
}

// --- the connection

function hear(event) {
  const told = JSON.parse(event.data);
  heardMs = Date.now();
  offsetMs = 1000 * told.now_s - heardMs;
  connected = true;
  if (told.state) {
    state = told.state;
    show();
  }
  showState();
  if (state && state.ended) source.close();
}

function lose() {
  if (state && state.ended) return;
  connected = false;
  showState();
}

function connect() {
  if (source) source.close();
  heardMs = Date.now();
  source = new EventSource(`events${location.search}`);
  source.onmessage = hear;
  source.onerror = lose;
}

/** Updates the clock, and reconnects if the connection was refused or has gone silent. */
function look() {
  if (state && state.ended) return;
  showTimes();
  const silentMs = Date.now() - heardMs;
  if (source.readyState === EventSource.CLOSED ? silentMs > RETRY_MS : silentMs > SILENCE_MS) {
    lose();
    connect();
  }
}

// Also when a scroll bar appears, which narrows the chart.
new ResizeObserver(() => {
  if (state && state.run && state.run.estimate.length) draw(state.run.history);
}).observe($("chart"));
connect();
setInterval(look, 500);
