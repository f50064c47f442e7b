"use strict";
const views = ["amplitude", "phase", "light", "uncertainty"];
const names = {
  frames: "frames", positions: "positions", paired: "paired", used: "in the object", waiting: "waiting",
  dropped: "dropped, too fast", late: "late", repeated: "repeated", refused: "refused", unpaired: "without position",
  missing: "never came", positions_left: "positions left over", scans: "scans", connections_lost: "connections lost",
  unreadable: "unreadable", lag_ms: "lag, ms (median)", lag_ms_p99: "lag, ms (99 %)",
};
let shown = 0;
let before = null;

function row(label, value) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  const cell = document.createElement("td");
  head.textContent = label;
  cell.textContent = value;
  line.append(head, cell);
  return line;
}

function tell(state) {
  const now = performance.now();
  const rate = before && now > before.now ? 1000 * (state.used - before.used) / (now - before.now) : 0;
  before = { now, used: state.used };
  const status = document.getElementById("status");
  const size = state.shape.length ? ` ${state.shape[1]} x ${state.shape[0]} pixels.` : "";
  status.className = state.connected ? "" : "away";
  status.textContent = state.connected
    ? `Connected, ${Math.max(0, Math.round(rate))} frames a second in the object.${size}`
    : `A sender is not there.${size}`;
  document.getElementById("counters").replaceChildren(
    ...Object.keys(names).filter((name) => name in state).map((name) => row(names[name], state[name])));
  if (state.version !== shown) {
    shown = state.version;
    for (const view of views) document.getElementById(view).src = `${view}.png?version=${shown}`;
  }
}

async function follow() {
  try {
    const answer = await fetch("state.json", { cache: "no-store" });
    const state = await answer.json();
    if ("frames" in state) tell(state);
  } catch {
    const status = document.getElementById("status");
    status.className = "away";
    status.textContent = "The session has ended, or this page cannot reach it.";
  }
  setTimeout(follow, 500);
}
follow();
