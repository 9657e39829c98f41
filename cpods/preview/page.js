// The page as a whole: hears how things stand, shows one goal, the bar and the keys. Knows no pixels: pages.js, frames.js, trouble.js.

import { Framed } from "./frames.js";
import { Pages } from "./pages.js";
import { Trouble } from "./trouble.js";

const $ = (name) => document.getElementById(name);
const THEMES = ["", "light", "dark"]; // "": as the system has it
const trouble = new Trouble();
let state = { goals: [], building: false, problems: [], failure: "", note: "", more: 0 };
let view = null; // of the goal that is shown
let shown = null; // which one: its number, name and kind
let source = null; // of events
let ended = false;
let isNoted = false; // the note about the browser's own viewer, for a while

// What is kept for the next time; a browser that keeps nothing is fine too.
function kept(store, name, otherwise) {
  try { return JSON.parse(store().getItem(`cpods-${name}`)) ?? otherwise; } catch { return otherwise; }
}
function keep(store, name, value) {
  try { store().setItem(`cpods-${name}`, JSON.stringify(value)); } catch { /* full, or forbidden */ }
}
const forEver = () => localStorage;
const forThisTab = () => sessionStorage;

// Events

function listen() {
  if (source || ended) return;
  source = new EventSource("events");
  source.addEventListener("state", ({ data }) => {
    state = JSON.parse(data);
    lost(false);
    show();
  });
  source.addEventListener("retired", hush); // too many tabs: back when this one is looked at
  source.addEventListener("ended", () => {
    ended = true;
    hush();
    state.building = false;
    view?.halt?.();
    show();
  });
  source.addEventListener("error", () => lost(true));
}

function hush() {
  source?.close();
  source = null;
}

function lost(isLost) {
  clearTimeout(lost.timer);
  lost.now = false;
  if (isLost && !ended) lost.timer = setTimeout(() => { lost.now = true; notice(); }, 3000);
  else notice();
}

// What is shown

function show() {
  const number = Math.max(0, state.goals.findIndex(({ name }) => location.hash === `#${encodeURIComponent(name)}`));
  const goal = state.goals[number];
  if (!goal) return;
  if (!shown || shown.name !== goal.name || shown.kind !== goal.kind) open(goal, number);
  if (goal.version) view.show(goal.version);
  $("empty").hidden = goal.version > 0;
  $("empty").textContent = `${goal.name} is not there yet. It appears with the first stable build.`;
  $("bar").hidden = !goal.version && state.goals.length < 2;
  $("activity").classList.toggle("on", state.building);
  trouble.show(state, goal.version > 0);
  title(goal);
  notice();
}

function open(goal, number) {
  remember();
  view?.close();
  shown = { ...goal, number };
  const place = kept(forThisTab, `place-${goal.name}`, { page: 0, down: 0, right: 0.5 });
  if (goal.kind === "pages") {
    scrollTo(0, 0);
    view = new Pages($("stage"), number, { right: 0.5, ...place }, kept(forEver, "zoom", "usual"), moved);
    // Fresh at the top of the first page, not with its top at the reading line.
    if (place.page === 0 && place.down === 0) view.place = { page: 0, down: -1, right: 0.5 };
  } else {
    view = new Framed($("stage"), number, goal.address, place, meet);
  }
  $("zooming").hidden = $("paging").hidden = goal.kind !== "pages";
  $("file").href = `${number}/${goal.address}`;
  $("file").textContent = goal.kind === "html" ? "HTML" : "PDF";
  $("goal").hidden = state.goals.length < 2;
  $("goal").replaceChildren(...state.goals.map(({ name }) => new Option(name, name, false, name === goal.name)));
  wake(4000);
  $("bar").classList.toggle("fixed", goal.kind === "viewer" && state.goals.length > 1); // no pointer is seen over the browser's own viewer
  isNoted = goal.kind === "viewer";
  setTimeout(() => { isNoted = false; notice(); }, 12000);
}

function remember() {
  if (!view) return;
  view.remember?.();
  if (view.version) keep(forThisTab, `place-${shown.name}`, view.place);
}

function moved(page, count, zoom) {
  if (document.activeElement !== $("page")) $("page").value = page + 1;
  $("page").style.width = `${Math.max(2, String(count).length) + 0.4}ch`;
  $("count").textContent = ` / ${count}`;
  $("zoom").textContent = `${Math.round(zoom * 100)} %`;
}

function title(goal) {
  const name = goal.name.split("/").pop();
  document.title = state.failure ? `✕ ${name}` : name;
  const colour = ended ? "#aaa" : state.failure ? "#c8402f" : "#5d7ea8";
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M3 1h7l3 3v11H3z" fill="#fff" stroke="${colour}" stroke-width="1.5"/><path d="M5.5 6h5M5.5 8.5h5M5.5 11h3" stroke="${colour}"/></svg>`;
  const icon = `data:image/svg+xml,${encodeURIComponent(drawing)}`;
  if ($("icon").href !== icon) $("icon").href = icon;
}

function notice() {
  const sentence = ended ? "cpods watch has ended. This is the last good version." : lost.now ? "No connection to cpods watch." : isNoted ? state.note : "";
  $("notice").textContent = sentence;
  $("notice").hidden = !sentence;
}

// The bar and the keys

// The bar, for a while: all of it ("awake"), or the page number only ("passing").
const timers = {};
function wake(milliseconds = 1800, how = "awake") {
  $("bar").classList.add(how);
  clearTimeout(timers[how]);
  timers[how] = setTimeout(() => $("bar").classList.remove(how), milliseconds);
}

function zoomTo(zoom) {
  if (!(view instanceof Pages)) return;
  if (typeof zoom === "number") view.zoomBy(zoom);
  else view.setZoom(zoom);
  if (zoom === "page") goBy(0);
  keep(forEver, "zoom", view.zoom);
  wake();
}

function goBy(pages) {
  if (view instanceof Pages) view.go(view.anchor().page + pages);
}

function shade() {
  const { theme = "", night = false } = kept(forEver, "look", {});
  const dark = theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const root = document.documentElement;
  root.dataset.theme = theme;
  root.dataset.shade = dark ? "dark" : "light";
  root.toggleAttribute("data-night", night);
}

function change(part) {
  keep(forEver, "look", { ...kept(forEver, "look", {}), ...part });
  shade();
  wake();
}

function nextTheme() {
  const { theme = "" } = kept(forEver, "look", {});
  change({ theme: THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] });
}

const KEYS = {
  "+": () => zoomTo(1), "=": () => zoomTo(1), "-": () => zoomTo(-1),
  w: () => zoomTo("width"), p: () => zoomTo("page"), 0: () => zoomTo("usual"),
  j: () => goBy(1), k: () => goBy(-1),
  g: () => { wake(); $("page").focus(); $("page").select(); },
  d: nextTheme, i: () => change({ night: !kept(forEver, "look", {}).night }),
  o: () => $("file").click(),
  e: () => (trouble.isOpen ? trouble.putAway() : trouble.bringBack()), Escape: () => trouble.putAway(),
  "?": () => $("help").showModal(),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open || event.target.closest?.("input, select")) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

// A document in a frame has keys of its own; only what lies over it is ours.
function meet(framed) {
  framed.addEventListener("keydown", ({ key }) => { if (key === "Escape") trouble.putAway(); });
  framed.addEventListener("pointermove", wakeNearBar, { passive: true });
}

function wakeNearBar({ clientY }) {
  if (clientY > innerHeight * 0.7) wake();
}

for (const [name, act] of [["smaller", () => zoomTo(-1)], ["larger", () => zoomTo(1)], ["fit", () => zoomTo("width")], ["theme", nextTheme], ["keys", KEYS["?"]]])
  $(name).addEventListener("click", act);
$("page").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && Number($("page").value) >= 1) view.go(Math.round(Number($("page").value)) - 1);
  if (event.key === "Enter" || event.key === "Escape") $("page").blur();
});
$("goal").addEventListener("change", () => { location.hash = encodeURIComponent($("goal").value); });
addEventListener("hashchange", show);
addEventListener("popstate", ({ state: was }) => { if (was?.place && view instanceof Pages) view.restore(was.place); });
addEventListener("pointermove", wakeNearBar, { passive: true });
addEventListener("scroll", () => wake(1200, "passing"), { passive: true });
addEventListener("pagehide", remember);
document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") listen(); else remember(); });
addEventListener("focus", listen);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", shade);
history.scrollRestoration = "manual";
shade();
listen();
