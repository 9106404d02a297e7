// The paper: what is drawn, undo and redo, and how a drawing is kept.

import { SAMPLES } from "./samples.js";

const $ = (selector) => document.querySelector(selector);
const SIDE = 512; // of the canvas, in its own pixels
const WIDTH = 7; // of the pen, at first

const canvas = $("#canvas");
const pen = canvas.getContext("2d", { willReadFrequently: false });
let items = []; // what is on the paper, in order: {stroke: [[x, y], ...], width, erase} or {image, src}
let past = []; // the papers before this one
let future = []; // and those that were undone
let current = null; // the stroke that is being drawn
let erase = false;
let changed = () => {}; // called after every change by the user

export const onChange = (call) => (changed = call);
export const isDrawn = () => items.length > 0 || current !== null;

/** At once: canvas.toBlob waits until the browser is idle, in Chromium for up to a second. */
export function asPNG() {
  const bytes = atob(canvas.toDataURL("image/png").split(",")[1]);
  return new Blob([Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))], { type: "image/png" });
}

function drawStroke(context, { stroke, width, erase }) {
  context.strokeStyle = context.fillStyle = erase ? "#fff" : "#000";
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  if (stroke.length === 1) {
    context.arc(stroke[0][0], stroke[0][1], width / 2, 0, 7);
    context.fill();
    return;
  }
  context.moveTo(...stroke[0]);
  for (let i = 1; i < stroke.length - 1; i++) {
    const [x, y] = stroke[i];
    const [nextX, nextY] = stroke[i + 1];
    // a quick hand leaves few points: between distant ones the line is straight, and corners stay corners
    if (Math.hypot(nextX - x, nextY - y) > 24) context.lineTo(x, y);
    else context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  context.lineTo(...stroke[stroke.length - 1]);
  context.stroke();
}

function drawImage({ image }) {
  const scale = Math.min(SIDE / image.width, SIDE / image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  pen.drawImage(image, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
}

function redraw() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, SIDE, SIDE);
  for (const item of items) item.image ? drawImage(item) : drawStroke(pen, item);
  if (current) drawStroke(pen, current);
  $("#hint").hidden = isDrawn();
  $("#undo").disabled = past.length === 0;
  $("#redo").disabled = future.length === 0;
  $("#clear").disabled = items.length === 0;
}

/** A new paper, which can be undone. */
function put(next) {
  past.push(items);
  future = [];
  items = next;
  redraw();
  changed();
}

function move(from, to) {
  if (!from.length) return;
  to.push(items);
  items = from.pop();
  redraw();
  changed();
}
const undo = () => move(past, future);
const redo = () => move(future, past);

// ------------------------------------------------------------------ what is kept

/** The paper as text; "" for an empty one. */
export function save() {
  const kept = items.map(({ stroke, width, erase, src }) =>
    src ? { src } : { stroke: stroke.map(([x, y]) => [Math.round(x), Math.round(y)]), width, erase });
  return kept.length ? JSON.stringify(kept) : "";
}

/** Show a paper that was kept; nothing else happens. */
export async function load(text) {
  const read = text ? JSON.parse(text) : [];
  for (const item of read.filter((item) => item.src)) {
    item.image = new Image();
    item.image.src = item.src;
    await item.image.decode();
  }
  if (save() === text) return;
  [items, past, future, current] = [read, [], [], null];
  redraw();
}

/** A picture from outside takes the place of the drawing. */
export async function take(file) {
  const image = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(image.width, image.height));
  const small = Object.assign(document.createElement("canvas"), {
    width: Math.max(1, Math.round(image.width * scale)), height: Math.max(1, Math.round(image.height * scale)),
  });
  small.getContext("2d").drawImage(image, 0, 0, small.width, small.height);
  put([{ image: small, src: small.toDataURL("image/webp", 0.92) }]);
}

// ------------------------------------------------------------------- pen and keys

function position(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  canvas.classList.add("by-pen"); // a focus that a script sets is shown as the keyboard's is
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  current = { stroke: [position(event)], width: Number($("#width").value) * (erase ? 3 : 1), erase };
  redraw();
});
canvas.addEventListener("blur", () => canvas.classList.remove("by-pen"));
canvas.addEventListener("pointermove", (event) => {
  if (!current) return;
  for (const part of event.getCoalescedEvents?.() ?? [event]) current.stroke.push(position(part));
  redraw();
  changed();
});
function lift() {
  if (!current) return;
  const stroke = current;
  current = null;
  put([...items, stroke]);
}
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);

function setTool(eraser) {
  erase = eraser;
  $("#pen").setAttribute("aria-pressed", String(!eraser));
  $("#eraser").setAttribute("aria-pressed", String(eraser));
}
const clear = () => items.length && put([]);
$("#undo").addEventListener("click", undo);
$("#redo").addEventListener("click", redo);
$("#clear").addEventListener("click", clear);
$("#pen").addEventListener("click", () => setTool(false));
$("#eraser").addEventListener("click", () => setTool(true));

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.target.matches("input:not([type=range], [type=radio], [type=checkbox])")) return;
  const key = event.key.toLowerCase();
  const command = event.ctrlKey || event.metaKey;
  if (command && (key === "y" || (key === "z" && event.shiftKey))) redo();
  else if (command && key === "z") undo();
  else if (command || event.altKey) return;
  else if (key === "p") setTool(false);
  else if (key === "e") setTool(true);
  else if (key === "delete" || key === "backspace") clear();
  else if (key === "[") $("#width").stepDown(2);
  else if (key === "]") $("#width").stepUp(2);
  else return;
  event.preventDefault();
});

// -------------------------------------------------------------- drawings to try

for (const [name, strokes] of Object.entries(SAMPLES)) {
  const drawing = strokes.map((stroke) => ({ stroke, width: WIDTH, erase: false }));
  const button = $("#samples").appendChild(document.createElement("button"));
  const small = button.appendChild(Object.assign(document.createElement("canvas"), { width: 96, height: 96 }));
  const context = small.getContext("2d");
  context.scale(96 / SIDE, 96 / SIDE);
  for (const item of drawing) drawStroke(context, { ...item, width: 14 });
  button.setAttribute("aria-label", `Try a ${name}`);
  button.addEventListener("click", () => put(drawing));
}
redraw();
