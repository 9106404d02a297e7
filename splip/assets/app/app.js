"use strict";

const $ = (selector) => document.querySelector(selector);
const SIDE = 512; // of the canvas, in its own pixels
const WAIT = 60; // ms after a change before the question is asked

const canvas = $("#canvas");
const pen = canvas.getContext("2d", { willReadFrequently: false });
let items = []; // what is on the paper, in order: {stroke: [[x, y], ...], width, erase} or {image}
let current = null; // the stroke that is being drawn
let erase = false;
let asked = 0; // number of the newest question
let answering = null; // AbortController of the question that is on its way
let again = false; // whether the paper has changed since that question was asked
let timer = 0;
let photo = null; // the photo of the index that others are likened to

// ------------------------------------------------------------------- the paper

function drawStroke({ stroke, width, erase }) {
  pen.strokeStyle = pen.fillStyle = erase ? "#fff" : "#000";
  pen.lineWidth = width;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  if (stroke.length === 1) {
    pen.arc(stroke[0][0], stroke[0][1], width / 2, 0, 7);
    pen.fill();
    return;
  }
  pen.moveTo(...stroke[0]);
  for (let i = 1; i < stroke.length - 1; i++) {
    const [x, y] = stroke[i];
    const [nextX, nextY] = stroke[i + 1];
    // a quick hand leaves few points: between distant ones the line is straight, and corners stay corners
    if (Math.hypot(nextX - x, nextY - y) > 24) pen.lineTo(x, y);
    else pen.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  pen.lineTo(...stroke[stroke.length - 1]);
  pen.stroke();
}

function drawImage({ image }) {
  const scale = Math.min(SIDE / image.width, SIDE / image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  pen.drawImage(image, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
}

function redraw() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, SIDE, SIDE);
  for (const item of items) item.image ? drawImage(item) : drawStroke(item);
  if (current) drawStroke(current);
  $("#hint").hidden = items.length > 0 || current !== null;
  $("#undo").disabled = $("#clear").disabled = items.length === 0;
}

function position(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  current = { stroke: [position(event)], width: Number($("#width").value) * (erase ? 3 : 1), erase };
  redraw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!current) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) current.stroke.push(position(part));
  redraw();
  changed();
});
function lift() {
  if (!current) return;
  items.push(current);
  current = null;
  redraw();
  changed();
}
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);

function undo() {
  items.pop();
  redraw();
  changed();
}
function clear() {
  items = [];
  setKind("sketch");
  redraw();
  changed();
}
function setTool(eraser) {
  erase = eraser;
  $("#pen").setAttribute("aria-pressed", String(!eraser));
  $("#eraser").setAttribute("aria-pressed", String(eraser));
}
$("#undo").addEventListener("click", undo);
$("#clear").addEventListener("click", clear);
$("#pen").addEventListener("click", () => setTool(false));
$("#eraser").addEventListener("click", () => setTool(true));

document.addEventListener("keydown", (event) => {
  if ($("#look").open || event.target.matches("#text")) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === "z") undo();
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (key === "p") setTool(false);
  else if (key === "e") setTool(true);
  else if (key === "delete" || key === "backspace") clear();
  else if (key === "[") $("#width").stepDown(2);
  else if (key === "]") $("#width").stepUp(2);
  else return;
  event.preventDefault();
});

// ------------------------------------------------------------- pictures from outside

async function take(file) {
  if (!file) return;
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    return say(`${file.name || "That"} is no picture that this browser can show`, true);
  }
  items = [{ image }];
  redraw();
  changed();
}
$("#upload").addEventListener("change", async (event) => {
  await take(event.target.files[0]);
  event.target.value = ""; // the same file may be taken again
});
$("#upload-label").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") $("#upload").click();
});
document.addEventListener("paste", (event) => take([...event.clipboardData.files][0]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});

// --------------------------------------------------------------------- questions

const kind = () => $("input[name=kind]:checked").value;
function setKind(value) {
  $(`input[name=kind][value=${value}]`).checked = true;
}
for (const choice of document.querySelectorAll("input[name=kind]")) choice.addEventListener("change", changed);
$("#text").addEventListener("input", changed);

/** Ask soon; while an answer is on its way, once it is there. */
function changed() {
  if (answering) {
    again = true;
    return;
  }
  clearTimeout(timer);
  timer = setTimeout(ask, WAIT);
}

async function ask() {
  const text = $("#text").value.trim();
  const drawn = items.length > 0 || current !== null;
  const number = ++asked;
  again = false;
  photo = null;
  if (!drawn && !text) {
    show([]);
    return say("");
  }
  const query = new URLSearchParams({ kind: kind(), text, k: 60 });
  const body = drawn ? await new Promise((done) => canvas.toBlob(done, "image/png")) : null;
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
      const notes = answer.mended.filter((note) => !note.startsWith("cropped"));
      say([`${answer.hits.length} photos`, answer.seconds && `${Math.round(answer.seconds * 1000)} ms`, ...notes].filter(Boolean).join(" · "));
    }
  } catch (error) {
    if (error.name !== "AbortError") say("The program does not answer: is it still running?", true);
  } finally {
    answering = null;
    if (again) changed();
  }
}

function say(text, wrong = false) {
  $("#status").textContent = text;
  $("#status").classList.toggle("wrong", wrong);
}

// ----------------------------------------------------------------------- answers

const source = (id, side = 256) => `image/${id}?side=${side}`;

function show(hits) {
  const places = [...$("#photos").children];
  hits.forEach((hit, i) => {
    const place = places[i] ?? $("#photos").appendChild(newPlace());
    if (place.hit?.id !== hit.id) place.querySelector("img").src = source(hit.id);
    place.hit = hit;
    place.querySelector(".like").title = `${hit.folder}/${hit.name}: show photos like this one`;
    place.querySelector("img").alt = hit.name;
    place.querySelector("span").textContent = hit.name;
  });
  places.slice(hits.length).forEach((place) => place.remove());
  $("#empty").hidden = hits.length > 0;
  $("#similar").hidden = photo === null;
}

function newPlace() {
  const place = document.createElement("li");
  place.innerHTML = '<button class="like"><img loading="lazy" alt=""><span></span></button><button class="open" title="Look at it" aria-label="Look at it">⤢</button>';
  place.querySelector(".like").addEventListener("click", () => like(place.hit));
  place.querySelector(".open").addEventListener("click", () => look(place.hit));
  return place;
}

function like(hit) {
  answering?.abort();
  again = false;
  photo = hit;
  $("#similar img").src = source(hit.id);
  $("#similar span").textContent = `Like ${hit.name}`;
  window.scrollTo({ top: $("#answer").offsetTop - 10, behavior: "smooth" });
  return request(++asked, `similar/${hit.id}?k=60`);
}
$("#back").addEventListener("click", () => {
  photo = null;
  changed();
});

function look(hit) {
  $("#look img").src = source(hit.id, 1600);
  $("#look img").alt = hit.name;
  $("#name").textContent = `${hit.folder}/${hit.name} · cosine ${hit.score.toFixed(2)}`;
  $("#look").hit = hit;
  $("#look").showModal();
}
$("#close").addEventListener("click", () => $("#look").close());
$("#more-like").addEventListener("click", () => {
  $("#look").close();
  like($("#look").hit);
});

// ------------------------------------------------------------------------- start

$("#theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
});

async function start() {
  redraw();
  say("Opening the index …"); // the program is loading its model; questions wait for it
  const answer = await fetch("about");
  const about = await answer.json();
  if (!answer.ok) return say(about.error, true);
  if (!asked) say("");
  const count = about.images.toLocaleString("en");
  $("#about").textContent = `${count} photos · model ${about.model}`;
  $("#text").hidden = !about.words;
  if (!about.images) $("#empty").textContent = "There are no photos in the index yet: run  splip index FOLDER";
}
start().catch(() => say("The program does not answer: is it still running?", true));
