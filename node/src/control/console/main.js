// Where the page begins: the stream of the mesh, and what the address says is opened.

import { Detail } from "./detail.js";
import { byId, seconds, setText } from "./draw.js";
import { Page } from "./page.js";
import { Rates } from "./rates.js";

/// A node sends once a second; one that waits for another that does not answer, every three.
const SILENT_MS = 6000;

/// After an error the stream is lost if it is not back by then. It ends now and then by itself.
const BACK_BY_MS = 2500;

/// Time before another try, and before a try that brought nothing is given up.
const AGAIN_MS = 2000;
const GIVE_UP_MS = 10_000;

const rates = new Rates();
const page = new Page(rates);
const detail = new Detail();

const stream = { source: null, opened: 0, heard: 0, failed: false, ended: false };

function show(mesh) {
  rates.take(mesh);
  detail.mesh = mesh;
  page.show(mesh, detail.node);
}

function open() {
  stream.source?.close();
  stream.opened = Date.now();
  const source = new EventSource("/api/v1/stream");
  stream.source = source;
  source.addEventListener("mesh", (message) => {
    stream.heard = Date.now();
    stream.failed = false;
    show(JSON.parse(message.data));
    tell();
  });
  source.addEventListener("error", () => {
    stream.failed = true;
    source.close();
    tell();
  });
}

/// Says whether what is shown is live.
function tell() {
  const silent = Date.now() - stream.heard;
  const lost = silent > SILENT_MS || (stream.failed && silent > BACK_BY_MS);
  document.body.classList.toggle("lost", stream.heard > 0 && lost);
  const live = byId("live");
  live.classList.toggle("bad", lost && (stream.heard > 0 || stream.failed));
  if (!stream.heard) {
    const failed = "✕ This node does not answer, or too many pages watch it; trying again";
    setText(live, stream.failed ? failed : "Connecting…");
  } else if (lost) {
    const ago = seconds(silent / 1000);
    setText(live, `✕ Stream lost: nothing from this node for ${ago}; trying again`);
  } else {
    setText(live, `● live, seen from ${page.node}`);
  }
}

function watch() {
  if (stream.ended) return;
  const since = Date.now() - Math.max(stream.opened, stream.heard);
  if (since > (stream.failed ? AGAIN_MS : GIVE_UP_MS)) open();
  tell();
}

function openWhatTheAddressSays() {
  const [, what, name] = /^#(node|topic)=(.*)$/.exec(location.hash) ?? [];
  try {
    detail.open(what, decodeURIComponent(name ?? ""));
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    detail.open();
  }
  page.select(detail.node);
}

byId("explain").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = `topic=${encodeURIComponent(byId("topic").value)}`;
});
byId("filter").addEventListener("input", () => page.again());
byId("close").addEventListener("click", () => (location.hash = ""));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && detail.what) location.hash = "";
});
addEventListener("hashchange", openWhatTheAddressSays);

/// Shows a saved answer of /api/v1/mesh in place of the stream, to look at it later.
window.render = (mesh) => {
  stream.ended = true;
  stream.source?.close();
  byId("live").classList.remove("bad");
  setText(byId("live"), "a saved answer, not live");
  show(mesh);
};

openWhatTheAddressSays();
open();
setInterval(watch, 500);
