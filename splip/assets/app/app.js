// Questions and answers: when one is asked, what is shown, and the address that each has.

import * as paper from "./paper.js";
import * as photos from "./photos.js";

const $ = (selector) => document.querySelector(selector);
const WAIT = 60; // ms after a change before the question is asked
const SETTLED = 1200; // ms without a change after which the next one gets an entry of its own in the history
const KEPT = 40; // drawings that this browser remembers
const SILENT = "The program does not answer: is it still running?";

let asked = 0; // number of the newest question
let answering = null; // AbortController of the question that is on its way
let again = false; // whether something has changed since that question was asked
let timer = 0;
let noting = 0;
let settling = 0;
let settled = true;
let passing = ""; // the kept drawing of a question that has not settled yet
let photo = null; // the photo of the index that others are likened to
let images = -1; // in the index, as far as the page knows

const kind = () => $("input[name=kind]:checked").value;
function setKind(value) {
  $(`input[name=kind][value=${value}]`).checked = true;
}

// --------------------------------------------------------------------- questions

/** Ask soon; while an answer is on its way, once it is there. */
function changed() {
  photo = null;
  for (const old of [noting, settling]) clearTimeout(old);
  noting = setTimeout(note, 150);
  settling = setTimeout(() => ([settled, passing] = [true, ""]), SETTLED);
  soon();
}
function soon() {
  if (answering) {
    again = true;
    return;
  }
  clearTimeout(timer);
  timer = setTimeout(ask, WAIT);
}

async function ask() {
  const text = $("#text").value.trim();
  const number = ++asked;
  again = false;
  if (photo) return request(number, `similar/${photo.id}?k=60`);
  if (!paper.isDrawn() && !text) {
    show([]);
    return say("");
  }
  const query = new URLSearchParams({ kind: kind(), text, k: 60 });
  const body = paper.isDrawn() ? paper.asPNG() : null;
  await request(number, `search?${query}`, { method: "POST", body });
}

async function request(number, url, options = {}) {
  answering = new AbortController();
  try {
    const response = await fetch(url, { ...options, signal: answering.signal });
    const answer = await response.json();
    if (number !== asked) return;
    if (!response.ok) {
      show([]);
      say(answer.error, true);
    } else {
      show(answer.hits);
      $("#understood").hidden = !answer.understood;
      if (answer.understood) $("#understood img").src = answer.understood;
      const nothing = answer.hits.length > 0 && answer.hits[0].weak;
      say([nothing ? "Nothing here looks much like it" : `${answer.hits.length} photos`, answer.seconds && `${Math.round(answer.seconds * 1000)} ms`, ...answer.mended].filter(Boolean).join(" · "));
    }
  } catch (error) {
    if (error.name !== "AbortError") say(SILENT, true);
  } finally {
    answering = null;
    if (again) soon();
  }
}

function say(text, wrong = false) {
  $("#status").textContent = text;
  $("#status").classList.toggle("wrong", wrong);
}

function show(hits) {
  if (!hits.length) $("#understood").hidden = true;
  photos.show($("#photos"), hits.filter((hit) => !hit.weak));
  photos.show($("#weak"), hits.filter((hit) => hit.weak));
  $("#weak-title").hidden = !hits.some((hit) => hit.weak);
  const question = photo !== null || paper.isDrawn() || $("#text").value.trim() !== "";
  $("#welcome").hidden = question;
  $("#similar").hidden = photo === null;
  if (!question) newest();
}

async function newest() {
  const response = await fetch("newest?k=24");
  const hits = response.ok ? (await response.json()).hits : [];
  photos.show($("#newest"), hits);
  $("#newest-title").hidden = hits.length === 0;
}

function like(hit) {
  answering?.abort();
  for (const old of [noting, settling]) clearTimeout(old);
  note();
  setPhoto(hit);
  [settled, passing] = [true, ""];
  remember(true);
  window.scrollTo({ top: 0, behavior: "smooth" });
  $("#answer").scrollTo({ top: 0 });
  again = answering !== null;
  if (!again) ask();
}
function setPhoto(hit) {
  photo = hit;
  if (!hit) return;
  $("#similar img").src = photos.source(hit.id);
  $("#similar span").textContent = `Like ${hit.name}`;
}
$("#back").addEventListener("click", () => history.back());

photos.onAction({ like, say });
paper.onChange(() => {
  if (!paper.isDrawn()) setKind("sketch");
  changed();
});
for (const choice of document.querySelectorAll("input[name=kind]")) choice.addEventListener("change", changed);
$("#text").addEventListener("input", changed);

// ------------------------------------------------------ the address of a question

/** A short name for a text. */
function nameOf(text) {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 2654435761);
    b = Math.imul(b ^ text.charCodeAt(i), 1597334677);
  }
  return (a >>> 0).toString(36) + (b >>> 0).toString(36);
}

/** Keep a drawing in this browser -> its name; the oldest of many goes. */
function keep(drawing) {
  const name = nameOf(drawing);
  let names = JSON.parse(localStorage.getItem("splip-drawings") ?? "[]").filter((other) => other !== name);
  names = [name, ...names];
  for (;;) {
    for (const old of names.splice(KEPT)) localStorage.removeItem(`splip-drawing-${old}`);
    try {
      localStorage.setItem(`splip-drawing-${name}`, drawing);
      localStorage.setItem("splip-drawings", JSON.stringify(names));
      return name;
    } catch { // the browser's space is full
      if (names.length < 2) return "";
      localStorage.removeItem(`splip-drawing-${names.pop()}`);
    }
  }
}

/** The address follows the question; a settled one stays behind, for Back. */
function note() {
  const before = passing;
  passing = remember(settled);
  if (!settled && before && before !== passing) localStorage.removeItem(`splip-drawing-${before}`);
  settled = false;
}

/** Write the question into the address, as an entry of its own or not -> the name of its drawing. */
function remember(own) {
  const drawing = paper.save();
  const words = new URLSearchParams();
  if (photo) words.set("like", photo.id), words.set("name", photo.name);
  if (drawing) words.set("drawing", keep(drawing));
  if (drawing && kind() === "photo") words.set("kind", "photo");
  if ($("#text").value.trim()) words.set("text", $("#text").value.trim());
  const address = words.size ? `#${words}` : location.pathname;
  if (address !== (location.hash || location.pathname)) own ? history.pushState(null, "", address) : history.replaceState(null, "", address);
  return words.get("drawing") ?? "";
}

/** Ask what the address says. */
async function restore() {
  const words = new URLSearchParams(location.hash.slice(1));
  const name = words.get("drawing") ?? "";
  const drawing = name ? localStorage.getItem(`splip-drawing-${name}`) : "";
  await paper.load(drawing ?? "");
  setKind(words.get("kind") === "photo" ? "photo" : "sketch");
  $("#text").value = words.get("text") ?? "";
  setPhoto(words.has("like") ? { id: words.get("like"), name: words.get("name") ?? "this photo" } : null);
  answering?.abort();
  await ask();
  if (drawing === null) say("This browser does not have the drawing of that address any more", true);
}
addEventListener("popstate", restore);

// ------------------------------------------------------------- pictures from outside

async function take(file) {
  if (!file) return;
  try {
    await paper.take(file);
  } catch {
    say(`${file.name || "That"} is no picture that this browser can show`, true);
  }
}
$("#upload").addEventListener("change", async (event) => {
  await take(event.target.files[0]);
  event.target.value = ""; // the same file may be taken again
});
document.addEventListener("paste", (event) => take([...event.clipboardData.files][0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});

// ------------------------------------------------------------------------- start

const theme = localStorage.getItem("splip-theme");
if (theme) document.documentElement.dataset.theme = theme;
$("#theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  localStorage.setItem("splip-theme", document.documentElement.dataset.theme);
});

/** The header follows the index, and while photos are indexed so do the answers. */
async function follow() {
  let next = 10_000;
  try {
    const response = await fetch("about");
    const answer = await response.json();
    if (!response.ok) return say(answer.error, true); // the index cannot be opened: nothing will change that
    photos.setAbout(answer);
    const { running, done, total, error } = answer.indexing;
    const count = `${answer.images.toLocaleString("en")} photos · model ${answer.model}`;
    const progress = running ? (total ? `indexing ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "looking for photos …") : error;
    $("#about").textContent = [count, progress].filter(Boolean).join(" · ");
    $("#about").classList.toggle("wrong", !running && Boolean(error));
    $("#text").hidden = !answer.words;
    $("#none-yet").hidden = answer.images > 0 || running;
    if (images >= 0 && images !== answer.images) soon();
    images = answer.images;
    if (running) next = 1500;
  } catch {
    if (images >= 0) say(SILENT, true);
  }
  setTimeout(follow, document.hidden ? 60_000 : next);
}

say("Opening the index …"); // the program is loading its model; questions wait for it
follow();
restore().catch(() => say(SILENT, true));
