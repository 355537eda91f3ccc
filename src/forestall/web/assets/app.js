// Our own behaviour: theme, keyboard, charts, live parts. Loaded with defer; there is no inline script.
"use strict";

// --- theme and drawer
document.addEventListener("click", (event) => {
  const target = event.target;
  if (target.closest("[data-theme-toggle]")) {
    try { localStorage.setItem("theme", root.dataset.theme === "dark" ? "light" : "dark"); } catch { /* off */ }
    applyTheme();
    drawCharts();
  }
  if (target.closest("[data-drawer-toggle]")) document.body.classList.toggle("drawer-open");
  if (target.closest("[data-copy]")) navigator.clipboard?.writeText(target.closest("[data-copy]").dataset.copy);
  if (target.closest("[data-help]")) document.getElementById("help")?.showModal();
  const row = target.closest("tr[data-href]");
  if (row && !target.closest("a, button, input, select, label")) location.href = row.dataset.href;
});

// --- a search that takes long can be cancelled: the server ends its queries when nobody waits for the page
document.addEventListener("submit", (event) => {
  const stop = event.target.querySelector("[data-stop]");
  if (stop) stop.hidden = false;
});
document.addEventListener("click", (event) => {
  const stop = event.target.closest("[data-stop]");
  if (stop) { window.stop(); stop.hidden = true; }
});
window.addEventListener("pageshow", () => document.querySelectorAll("[data-stop]").forEach((stop) => { stop.hidden = true; }));

// --- keyboard: / search, ? help, j k rows, Enter or o opens, x marks, n new ticket, g then a letter goes; an
// element with data-key is focused or clicked by its letter; Ctrl+Enter sends the form one writes in
const PLACES = { o: "/", c: "/clients/", a: "/assets/", f: "/findings/", l: "/logs/", n: "/configurations/", t: "/tickets/", b: "/backups/", s: "/spec/", h: "/health/" };
let waitingForPlace = false;
document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input, textarea, select, dialog");
  if (field && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.target.form?.requestSubmit();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (field?.type === "checkbox" && event.key !== "Escape") { field.closest("tr")?.querySelector("a[data-row]")?.focus(); }
  else if (field) { if (event.key === "Escape") event.target.blur(); return; }
  if (waitingForPlace) {
    waitingForPlace = false;
    if (PLACES[event.key]) location.href = PLACES[event.key];
    return;
  }
  switch (event.key) {
    case "/": event.preventDefault(); document.querySelector("input[type=search]")?.focus(); break;
    case "?": document.getElementById("help")?.showModal(); break;
    case "g": waitingForPlace = true; setTimeout(() => { waitingForPlace = false; }, 1200); break;
    case "j": moveRow(1); break;
    case "k": moveRow(-1); break;
    case "o": document.activeElement?.matches("a[data-row]") && document.activeElement.click(); break;
    case "x": document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]")?.click(); break;
    case "n": document.querySelector("[data-new]")?.click(); break;
    case "Escape": document.body.classList.remove("drawer-open"); break;
    default: pressKey(event);
  }
});
function pressKey(event) {
  if (!/^[a-z]$/.test(event.key)) return;
  const target = document.querySelector(`[data-key="${event.key}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.matches("input, select, textarea")) target.focus(); else target.click();
}
function moveRow(step) {
  const links = [...document.querySelectorAll("[data-rows] a[data-row]")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, at + step))].focus();
}

// --- charts: [time in s, low, mean, high] as JSON from the server, at most a point a pixel
const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
function sayValue(metric, value) {
  if (value == null) return "–";
  if (metric.endsWith("ratio")) return (value * 100).toFixed(1) + "%";
  if (/bytes/.test(metric)) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let step = 0;
    while (Math.abs(value) >= 1000 && step < 4) { value /= 1000; step += 1; }
    return value.toFixed(step ? 1 : 0) + " " + units[step] + (metric.endsWith("per_s") ? "/s" : "");
  }
  if (metric.endsWith("_ms")) return value.toFixed(1) + " ms";
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(+value.toPrecision(3));
}
const two = (number) => String(number).padStart(2, "0");
function sayTimes(chart, ticks) {
  return ticks.map((tick) => {
    const at = new Date(tick * 1000);
    if (!at.getHours() && !at.getMinutes()) return at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
    return two(at.getHours()) + ":" + two(at.getMinutes());
  });
}
const SPAN_MIN_S = 600; // a point alone has no span of its own
const spanOf = ({ data: [times] }, first, last) => {
  const end = times.at(-1);
  return end - times[0] < SPAN_MIN_S ? [end - SPAN_MIN_S, end] : [first, last];
};
// Points that no line reaches, because there is a gap on both sides.
const alone = (chart, series) => {
  const values = chart.data[series];
  return values.flatMap((value, at) => value != null && values[at - 1] == null && values[at + 1] == null ? [at] : []);
};
async function drawChart(element) {
  const width = element.clientWidth;
  if (!width) return;
  if (!element.chartData) {
    const answer = await fetch(element.dataset.chart + "&pixels=" + width);
    if (!answer.ok) { element.textContent = "This chart cannot be drawn now: the store does not answer."; return; }
    element.chartData = await answer.json();
  }
  const [times, low, mean, high] = element.chartData;
  if (!times.length) { element.textContent = "No samples in this time."; return; }
  element.chart?.destroy();
  element.textContent = "";
  const metric = element.dataset.metric;
  const axis = { stroke: css("--mute"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false }, font: "11px Inter, system-ui" };
  const band = { stroke: "transparent", width: 0, points: { show: false } };
  element.chart = new uPlot({
    width, height: 150, legend: { show: false }, cursor: { y: false, points: { size: 6 } }, padding: [8, 6, 0, 0],
    scales: { x: { time: true, range: spanOf } },
    // in the order of painting: the mean comes last, on top of the band
    series: [{}, { ...band }, { ...band }, { stroke: css("--brand"), width: 1.5, points: { show: true, filter: alone } }],
    bands: [{ series: [2, 1], fill: css("--brand-soft") }],
    axes: [{ ...axis, size: 26, space: 60, values: sayTimes }, { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => sayValue(metric, tick)) }],
    hooks: { setCursor: [(chart) => {
      const at = chart.cursor.idx;
      const place = document.getElementById(element.dataset.says);
      if (place) place.textContent = at == null ? place.dataset.last : sayValue(metric, mean[at]);
    }] },
  }, [times, low, high, mean], element);
}
function drawCharts() { document.querySelectorAll("[data-chart]").forEach((element) => { drawChart(element); }); }
addEventListener("DOMContentLoaded", drawCharts);
let resizing = 0;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(drawCharts, 150); });

// --- live: one event stream per browser, not per tab (HTTP/1.1 allows six connections to a host). The tab that
// holds the lock owns the stream and tells the others; when it closes, the next one takes over. What changed is
// fetched once a page, not once a part, and not while nobody looks.
const FETCH_AFTER_MS = 1500;
const live = document.querySelector("meta[name=live]")?.content;
const waiting = new Set();
let flushing = 0;
function heard(kind) {
  document.querySelectorAll("[data-live]").forEach((element) => {
    if (element.dataset.live.split(" ").some((prefix) => kind.startsWith(prefix))) waiting.add(element.id);
  });
  flushLater();
}
function flushLater() {
  if (waiting.size && !flushing && !document.hidden) flushing = setTimeout(flush, FETCH_AFTER_MS);
}
document.addEventListener("visibilitychange", flushLater);
async function flush() {
  const ids = [...waiting];
  waiting.clear();
  try {
    const answer = await fetch(location.href, { headers: { "HX-Request": "true" } });
    if (answer.status === 401) location.reload();
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      ids.forEach((id) => refresh(id, page.getElementById(id)));
    }
  } catch { ids.forEach((id) => waiting.add(id)); /* the server restarts: with the next event */ }
  flushing = 0;
}
function refresh(id, fresh) {
  const old = document.getElementById(id);
  if (!old || !fresh) return;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  if (focused?.closest("form")) { waiting.add(id); return; } // somebody writes there: with the next event
  old.replaceWith(document.adoptNode(fresh));
  htmx.process(fresh);
  drawCharts();
  const href = focused?.getAttribute("href");
  if (href) [...fresh.querySelectorAll("a[data-row]")].find((link) => link.getAttribute("href") === href)?.focus();
}
if (live && "EventSource" in window) {
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("forestall") : null;
  const state = document.getElementById("live-state");
  const say = (text) => {
    if (!state || state.dataset.state === text) return;
    state.dataset.state = text;
    state.title = text === "on" ? "This page follows what happens" : "The connection is lost; it is tried again";
  };
  let owner = false;
  let last = "";
  const tell = (text) => { last = text; say(text); channel?.postMessage({ state: text }); };
  if (channel) channel.onmessage = ({ data }) => {
    if (data.ask) { if (owner) channel.postMessage({ state: last }); return; }
    if (data.state) say(data.state);
    if (data.kind) heard(data.kind);
  };
  const open = () => {
    owner = true;
    const stream = new EventSource(live);
    stream.onopen = () => tell("on");
    stream.onerror = () => tell("off");
    stream.addEventListener("entry", (event) => { channel?.postMessage({ kind: event.data }); heard(event.data); });
    return stream;
  };
  if (navigator.locks) navigator.locks.request("forestall-live", () => new Promise(open)); else open();
  channel?.postMessage({ ask: true });
}
