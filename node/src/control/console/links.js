// Who has a link to whom. Of a small mesh every link is asked for; of a large one the missing ones
// are listed, and the rest is in the details of each node.

import { byId, bytes, count, make, micros, nodeLink, rows, setText, table } from "./draw.js";

/// Nodes up to which the table has a column for each.
const MATRIX = 6;

/// Time between two questions for every link.
const EVERY_MS = 3000;

const LISTED = 50;

export class Links {
  constructor() {
    this.drawn = null;
    this.known = new Map();
    this.asked = 0;
  }

  /// How many links are missing, and that in words.
  say({ nodes }) {
    let [up, missing, waiting] = [0, 0, 0];
    for (const { overview } of nodes) {
      if (!overview) continue;
      up += overview.links_up;
      missing += overview.links_down.length;
      waiting += overview.link_pending_bytes;
    }
    const wait = waiting ? `, ${bytes(waiting)} wait` : "";
    const text = missing ? `${missing} of ${up + missing} links down` : `${up} links up`;
    return { missing, text: `${text}${wait}` };
  }

  show(mesh) {
    const names = mesh.nodes.map((node) => node.name);
    const small = names.length > 1 && names.length <= MATRIX;
    const kind = JSON.stringify(small ? names : "list");
    if (kind !== this.drawn) {
      this.drawn = kind;
      const heads = small ? ["from \\ to", ...names] : ["From", "No link to", ">Wait for links"];
      const { scrolls, body } = table("Links", heads);
      byId("links").replaceChildren(scrolls);
      this.body = body;
    }
    const { missing, text } = this.say(mesh);
    const more = missing || small ? "" : ". The links of a node: choose it.";
    setText(byId("links-say"), `${missing ? "! " : "✓ "}${text}${more}`);
    byId("links-say").className = missing ? "bad" : "";
    if (small) this.matrix(mesh, names);
    else this.list(mesh);
  }

  matrix(mesh, names) {
    this.ask(names);
    rows(this.body, mesh.nodes, (it) => it.name, ({ name, overview }) => [
      { text: name, make: () => nodeLink(name) },
      ...names.map((peer) => this.cell(name, overview, peer)),
    ]);
  }

  cell(name, overview, peer) {
    if (name === peer) return { text: "·", class: "off" };
    if (!overview) return { text: "?", title: "no answer" };
    if (overview.links_down.includes(peer)) return { text: "✕ down", class: "bad" };
    const link = this.known.get(name)?.find((it) => it.peer === peer);
    if (!link) return "✓";
    const wait = link.pending_bytes ? `, ${bytes(link.pending_bytes)}` : "";
    const title = `${count(link.messages)} messages, ${bytes(link.bytes)}, up ${link.sessions} times`;
    return { text: `✓ ${link.rtt_us ? micros(link.rtt_us) : ""}${wait}`, title };
  }

  list(mesh) {
    const some = (names) => (names.length > 8 ? `${names.slice(0, 8).join(", ")} and ${names.length - 8} more` : names.join(", "));
    const wrong = mesh.nodes.filter(
      ({ overview }) => overview && (overview.links_down.length || overview.link_pending_bytes),
    );
    byId("links").hidden = !wrong.length;
    rows(this.body, wrong.slice(0, LISTED), (it) => it.name, ({ name, overview }) => [
      { text: name, make: () => nodeLink(name) },
      overview.links_down.length
        ? { text: `✕ ${some(overview.links_down)}`, class: "bad" }
        : "–",
      { text: bytes(overview.link_pending_bytes), class: "number" },
    ]);
  }

  /// Asks each of these nodes for its links, now and then and only while somebody looks.
  async ask(names) {
    const now = Date.now();
    if (document.hidden || now - this.asked < EVERY_MS) return;
    this.asked = now;
    await Promise.all(
      names.map(async (name) => {
        try {
          const answer = await fetch(`/api/v1/links?node=${encodeURIComponent(name)}`);
          if (answer.ok) this.known.set(name, (await answer.json()).links);
          else this.known.delete(name);
        } catch {
          this.known.delete(name);
        }
      }),
    );
  }
}
