// The photos: tiles, the large view, and what is done with chosen ones.

const $ = (selector) => document.querySelector(selector);
const GONE = "is not there any more";

let shown = []; // hits of the large view, in their order
let at = 0; // the one that is looked at
const chosen = new Map(); // id -> hit, in the order in which they were ticked
let actions = { like: () => {}, say: () => {} };
let about = { local: false, opens: false };

export const onAction = (calls) => (actions = calls);
export const source = (id, side = 256) => `image/${id}?side=${side}`;
export function setAbout(answer) {
  about = answer;
  $("#open-folder").hidden = !about.opens;
  $("#copy-form").hidden = !about.local;
}

/** What acts on the machine is asked for by this page's own scripts alone. */
async function post(url, body) {
  const response = await fetch(url, { method: "POST", headers: { "x-splip": "1" }, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}
const attempt = (work) => work().catch((error) => actions.say(error.message || "The program does not answer: is it still running?", true));

// -------------------------------------------------------------------------- tiles

export function show(list, hits) {
  const places = [...list.children];
  hits.forEach((hit, i) => {
    const place = places[i] ?? list.appendChild(newPlace(list));
    if (place.hit?.id !== hit.id) {
      place.classList.remove("gone");
      place.querySelector("img").src = source(hit.id);
    }
    place.hit = hit;
    place.querySelector("span").textContent = hit.name;
    place.querySelector(".shot").title = `${hit.folder}/${hit.name}`;
    place.querySelector(".tick").setAttribute("aria-label", `Choose ${hit.name}`);
    place.querySelector(".tick").checked = chosen.has(hit.id);
  });
  places.slice(hits.length).forEach((place) => place.remove());
  if (!list.querySelector(".shot[tabindex='0']")) stop(list.querySelector(".shot"));
}

function newPlace(list) {
  const place = document.createElement("li");
  place.innerHTML = '<button class="shot" tabindex="-1"><img loading="lazy" alt=""><span></span></button><input type="checkbox" class="tick" tabindex="-1">';
  const [shot, tick] = place.children;
  shot.addEventListener("click", () => {
    const around = ["photos", "weak"].includes(list.id) ? document.querySelectorAll("#photos > li, #weak > li") : list.children;
    look([...around].map((other) => other.hit), place.hit);
  });
  shot.querySelector("img").addEventListener("error", () => {
    place.classList.add("gone");
    place.querySelector("span").textContent = `${place.hit.name} ${GONE}`;
  });
  tick.addEventListener("change", () => choose(place.hit, tick.checked));
  return place;
}

/** The tiles are one stop of the Tab key; arrow keys go through them. */
function stop(shot) {
  if (!shot) return;
  for (const other of shot.closest("ol").querySelectorAll(".shot[tabindex='0']")) other.tabIndex = -1;
  shot.tabIndex = 0;
}
for (const list of document.querySelectorAll("ol")) {
  list.addEventListener("focusin", (event) => event.target.matches(".shot") && stop(event.target));
  list.addEventListener("keydown", (event) => {
    const place = event.target.closest("li");
    const places = [...list.children];
    const columns = places.filter((other) => other.offsetTop === places[0].offsetTop).length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -places.length, End: places.length };
    if (!place || !event.target.matches(".shot")) return;
    if (event.key in steps) {
      const to = Math.min(places.length - 1, Math.max(0, places.indexOf(place) + steps[event.key]));
      places[to].querySelector(".shot").focus();
    } else if (event.key === " ") place.querySelector(".tick").click();
    else return;
    event.preventDefault();
  });
}

// ------------------------------------------------------------------- the large view

function look(hits, hit) {
  shown = hits;
  turn(hits.indexOf(hit));
  $("#look").showModal();
}

function turn(to) {
  if (!shown[to]) return;
  at = to;
  const hit = shown[at];
  const image = $("#look img");
  image.hidden = false;
  image.src = source(hit.id, 1600);
  image.alt = hit.name;
  const share = hit.right ? `, right in about ${Math.round(100 * hit.right)} of 100` : "";
  const score = hit.score ? ` · cosine ${hit.score.toFixed(2)}${share}` : "";
  $("#name").textContent = `${hit.path ?? `${hit.folder}/${hit.name}`} · ${at + 1} of ${shown.length}${score}`;
  $("#copy-path").hidden = !hit.path;
  $("#download").href = `file/${hit.id}`;
  $("#look .tick").checked = chosen.has(hit.id);
  $("#previous").disabled = at === 0;
  $("#next").disabled = at === shown.length - 1;
  if (shown[at + 1]) new Image().src = source(shown[at + 1].id, 1600); // the next one is there when it is asked for
}
$("#look img").addEventListener("error", () => {
  $("#look img").hidden = true;
  $("#name").textContent = `${shown[at].path ?? shown[at].name} ${GONE}`;
});
$("#previous").addEventListener("click", () => turn(at - 1));
$("#next").addEventListener("click", () => turn(at + 1));
$("#close").addEventListener("click", () => $("#look").close());
$("#look").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") turn(at - 1);
  else if (event.key === "ArrowRight") turn(at + 1);
});
let touched = null; // where a finger was put down
$("#look").addEventListener("pointerdown", (event) => (touched = event.pointerType === "mouse" ? null : event.clientX));
$("#look").addEventListener("pointerup", (event) => {
  const far = touched === null ? 0 : event.clientX - touched;
  if (Math.abs(far) > 50) turn(at + (far < 0 ? 1 : -1));
});
$("#look .tick").addEventListener("change", (event) => choose(shown[at], event.target.checked));
$("#more-like").addEventListener("click", () => {
  $("#look").close();
  actions.like(shown[at]);
});
$("#copy-path").addEventListener("click", () => attempt(() => copyText(shown[at].path, "The path")));
$("#open-folder").addEventListener("click", () => attempt(() => post(`folder/${shown[at].id}`)));

async function copyText(text, what) {
  await navigator.clipboard.writeText(text);
  actions.say(`${what} can be pasted now`);
}

// ------------------------------------------------------------------- chosen photos

function choose(hit, on) {
  on ? chosen.set(hit.id, hit) : chosen.delete(hit.id);
  for (const place of document.querySelectorAll("ol > li")) place.querySelector(".tick").checked = chosen.has(place.hit.id);
  $("#chosen").hidden = chosen.size === 0;
  $("#count").textContent = `${chosen.size} chosen`;
  $("#copy-paths").hidden = ![...chosen.values()].every((one) => one.path);
}
function chooseNone() {
  for (const hit of [...chosen.values()]) choose(hit, false);
}
$("#none").addEventListener("click", chooseNone);
$("#copy-paths").addEventListener("click", () =>
  attempt(() => copyText([...chosen.values()].map((hit) => hit.path).join("\n"), "The paths")));
$("#copy-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const answer = await post("copy", { ids: [...chosen.keys()], folder: $("#copy-to").value });
    actions.say([`${answer.copied} photos copied to ${answer.folder}`, ...answer.lost].join(" · "), answer.lost.length > 0);
    chooseNone();
  });
});
