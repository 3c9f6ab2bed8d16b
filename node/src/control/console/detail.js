// What is opened by a click: a node with its links and clients, or a topic with its way.

import { byId, bytes, clock, count, make, micros, nodeLink, rows, seconds, setText, slowness, table } from "./draw.js";

const EVERY_MS = 2000;
const CLIENTS = 200;
const PREFIXES = 100;

async function ask(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()).trim() || `status ${answer.status}`);
  return answer.json();
}

const right = (text) => ({ text, class: "number" });
const heading = (text) => make("h3", {}, text);

/// Facts as pairs of a term and what it is.
function facts(list, pairs) {
  const items = pairs.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, String(text))]);
  const drawn = JSON.stringify(pairs);
  if (list.drawn === drawn) return;
  list.drawn = drawn;
  list.replaceChildren(...items);
}

export class Detail {
  constructor() {
    this.what = null;
    this.name = "";
    this.mesh = null;
    /// Rises with whatever is opened, so that a late answer does not fill what came after it.
    this.turn = 0;
    this.parts = null;
  }

  /// The node whose details are open.
  get node() {
    return this.what === "node" ? this.name : null;
  }

  open(what, name) {
    this.turn += 1;
    if (!this.what) this.from = document.activeElement;
    [this.what, this.name] = [what ?? null, name ?? ""];
    byId("detail").hidden = !what;
    document.body.classList.toggle("open", Boolean(what));
    if (!what) {
      if (this.from?.isConnected) this.from.focus();
      this.from = null;
      return;
    }
    setText(byId("detail-title"), `${what === "node" ? "Node" : "Topic"} ${name}`);
    setText(byId("detail-say"), "Asking…");
    byId("detail-body").replaceChildren();
    this.parts = what === "node" ? this.nodeParts() : this.topicParts();
    if (what === "topic") byId("topic").value = name;
    byId("detail-title").focus();
    this.look(this.turn);
  }

  async look(turn) {
    if (document.hidden) {
      setTimeout(() => this.look(turn), EVERY_MS);
      return;
    }
    let said = "";
    try {
      const answer = await (this.what === "node" ? this.askNode() : this.askTopic());
      if (turn !== this.turn) return;
      byId("detail-body").classList.remove("old");
      if (this.what === "node") this.showNode(answer);
      else this.showTopic(answer);
    } catch (error) {
      if (turn !== this.turn) return;
      byId("detail-body").classList.add("old");
      said = `✕ No answer: ${error.message}. Asking again.`;
    }
    setText(byId("detail-say"), said);
    setTimeout(() => turn === this.turn && this.look(turn), EVERY_MS);
  }

  nodeParts() {
    const parts = {
      facts: make("dl"),
      links: table("Links of the node", ["Link to", "State", ">RTT", ">Messages", ">Bytes", ">Waiting", ">Came up"]),
      clients: table("Clients of the node", [
        "Client", "Type", "State", ">Queue", ">Messages", ">Dropped", ">Taken", ">Delivered", "When full", ">Age",
      ]),
      clientsTitle: heading("Clients"),
      prefixes: table("Subscriptions of the node", ["Prefix", ">Clients", "Known to every member"]),
      prefixesTitle: heading("Subscriptions"),
    };
    byId("detail-body").append(
      parts.facts, heading("Links"), parts.links.scrolls, parts.clientsTitle, parts.clients.scrolls,
      parts.prefixesTitle, parts.prefixes.scrolls,
    );
    return parts;
  }

  askNode() {
    const node = `?node=${encodeURIComponent(this.name)}`;
    const paths = ["node", "links", "connections", "subscriptions"];
    return Promise.all(paths.map((path) => ask(`/api/v1/${path}${node}`)));
  }

  showNode([node, { links }, { connections }, { subscriptions }]) {
    const { parts } = this;
    const dropped = Object.entries(node.dropped_messages).map(([why, many]) => `${many} ${why}`);
    const member = this.mesh?.members.find((it) => it.name === this.name);
    facts(parts.facts, [
      ["State", node.state],
      ["Version", node.version],
      ["Up for", seconds(node.uptime_seconds)],
      ["Clients and HTTP", node.client],
      ["Gossip", node.gossip],
      ["Links", node.link],
      ["View", `${node.view_hash}, ${node.view_size} members`],
      ["Partitions", node.partitions],
      ["Weight, zone", `${member?.weight ?? "–"}, ${member?.zone || "none"}`],
      ["Not done", bytes(node.undone_bytes)],
      ["Dropped since start", dropped.join(", ") || "none"],
    ]);
    rows(parts.links.body, links, (it) => it.peer, (it) => [
      { text: it.peer, make: () => nodeLink(it.peer) },
      it.state === "up" ? "✓ up" : { text: `✕ ${it.state}`, class: "bad" },
      right(micros(it.rtt_us)),
      right(count(it.messages)),
      right(bytes(it.bytes)),
      right(bytes(it.pending_bytes)),
      right(it.sessions),
    ]);
    this.showClients(connections);
    const listed = subscriptions.slice(0, PREFIXES);
    this.heads(parts.prefixesTitle, "Subscriptions", subscriptions.length, listed.length);
    rows(parts.prefixes.body, listed, (it) => it.prefix, (it) => [
      { text: it.prefix || "(everything)", class: "long" },
      right(it.connections),
      it.ready ? "✓ yes" : { text: "not yet", class: "bad" },
    ]);
  }

  heads(title, what, all, shown) {
    const most = all > shown ? `, the first ${shown} shown` : "";
    setText(title, `${what} (${all}${most})`);
  }

  showClients(connections) {
    const { clients, clientsTitle } = this.parts;
    const worst = [...connections].sort(
      (one, other) =>
        other.queue_bytes - one.queue_bytes || other.dropped_messages - one.dropped_messages,
    );
    const listed = worst.slice(0, CLIENTS);
    this.heads(clientsTitle, "Clients", connections.length, listed.length);
    rows(clients.body, listed, (it) => String(it.id), (it) => {
      const state = slowness(it) || (it.paused ? "! held back" : "");
      return [
        it.peer,
        it.socket_type,
        { text: state || "✓", class: state ? "bad" : "" },
        right(bytes(it.queue_bytes)),
        right(count(it.queue_messages)),
        right(count(it.dropped_messages)),
        right(count(it.taken_messages)),
        right(count(it.delivered_messages)),
        it.queue_policy,
        right(seconds(it.age_seconds)),
      ];
    });
  }

  topicParts() {
    const parts = {
      why: make("p"),
      way: make("ol", { class: "way" }),
      nodes: table("The topic at every node", [
        "Node", ">Subscribers", "Prefixes", "Clients", "Owner, as it sees it", "When full", ">Not done", "Last drop",
      ]),
      at: make("p", { class: "quiet" }),
    };
    byId("detail-body").append(
      heading("Its way"), parts.why, parts.way, heading("At every node"), parts.nodes.scrolls, parts.at,
    );
    return parts;
  }

  askTopic() {
    return ask(`/api/v1/explain?topic=${encodeURIComponent(this.name)}`);
  }

  showTopic(explain) {
    const { parts } = this;
    const { nodes, owner } = explain;
    const next = explain.successors.slice(0, 3).join(", ");
    const listed = this.mesh?.nodes
      .flatMap((node) => node.overview?.topics ?? [])
      .find((topic) => topic.topic === explain.topic);
    const cut = listed && listed.partition !== explain.partition
      ? " The list shows a longer topic, or one that is not text: this is about the text shown." : "";
    setText(
      parts.why,
      `Partition ${explain.partition}, owner ${owner}: ${explain.why}. ` +
        `${next ? `After it would come ${next}.` : "No other could take its place."}${cut}`,
    );
    const wanting = nodes.filter((it) => it.subscribers);
    const who = wanting.slice(0, 12).map((it) => `${it.name} (${it.subscribers})`);
    if (wanting.length > 12) who.push(`and ${wanting.length - 12} more`);
    const steps = [
      "Any node takes the message", `${owner} serves it`,
      who.length ? `to subscribers at ${who.join(", ")}` : "to nobody: no client wants it",
    ];
    const drawn = JSON.stringify(steps);
    if (parts.drawn !== drawn) parts.way.replaceChildren(...steps.map((step) => make("li", {}, step)));
    parts.drawn = drawn;
    const first = [...nodes].sort((one, other) => other.subscribers - one.subscribers);
    rows(parts.nodes.body, first, (it) => it.name, (it) => this.topicAt(it, owner));
    setText(parts.at, `Asked at ${clock(Date.now())}`);
  }

  topicAt(it, owner) {
    const name = { text: it.name, make: () => nodeLink(it.name) };
    if (it.error) {
      const bad = { text: `✕ no answer: ${it.error}`, class: "bad" };
      return [name, "", bad, "", "", "", "", ""];
    }
    const drop = it.last_drop;
    const more = it.subscribers > it.clients.length ? ", …" : "";
    return [
      name,
      right(it.subscribers),
      { text: it.prefixes.map((prefix) => prefix || "(everything)").join(", ") || "–", class: "long" },
      { text: it.clients.length ? it.clients.join(", ") + more : "–", class: "long" },
      it.owner === owner ? it.owner : { text: `≠ ${it.owner}`, class: "bad" },
      it.queue_policy,
      right(it.moving ? `${it.undone_messages}, moving` : it.undone_messages),
      drop ? { text: `${drop.reason}, ${seconds(drop.seconds_ago)} ago`, class: "bad" } : "none",
    ];
  }
}
