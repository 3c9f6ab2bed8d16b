// What is always there: health, rates, members, ring, links, topics, slow subscribers, events.

import * as draw from "./draw.js";
import { fold } from "./happened.js";
import { Links } from "./links.js";
import { LOOK_BACK_MS } from "./rates.js";

const { byId, bytes, count, make, micros, percent, rows, seconds, setText, table } = draw;

/// With fewer members a filter is in the way.
const FILTER_FROM = 13;

const STATES = { alive: "●", suspect: "◐", dead: "✕", left: "○" };

const CHARTS = [
  ["taken", "Taken", (value) => `${count(value)}/s`],
  ["delivered", "Delivered", (value) => `${count(value)}/s`],
  ["dropped", "Dropped", (value) => `${count(value)}/s`],
  ["p50", "Done, half within", micros],
  ["p99", "Done, 99 % within", micros],
];

const MEMBERS = [
  "Name", "State", "View", "Share of ring", ">RTT", ">Clients", ">Taken/s", ">Delivered/s",
  ">Dropped/s", ">Waiting", ">Links", ">Up for",
];

const number = (text, bad) => ({ text, class: bad ? "number bad" : "number" });

/// A time of a histogram as a text; beyond the last bound nothing is known but that.
const within = (format, value, bounds) =>
  value === Infinity ? `> ${format(bounds.at(-1))}` : format(value);

export class Page {
  constructor(rates) {
    this.rates = rates;
    this.mesh = null;
    this.selected = null;
    this.links = new Links();
    const put = (id, label, headings) => {
      const made = table(label, headings);
      byId(id).append(made.scrolls);
      return made.body;
    };
    this.members = put("members", "Members", MEMBERS);
    this.topics = put("topics", "Topics", ["Topic", "Owner", ">Partition", ">Messages/s", ">Bytes/s"]);
    this.slow = put("slow", "Slow subscribers", [
      "Client", "At", "State", ">Waiting", ">Messages", ">Dropped", "When full",
    ]);
    this.charts = new Map(CHARTS.map(([name, title]) => [name, this.chart(title)]));
  }

  /// The node that is asked.
  get node() {
    return this.mesh?.node ?? "";
  }

  chart(title) {
    const value = make("strong", {}, "–");
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [name, text] of [
      ["viewBox", "0 0 120 30"], ["preserveAspectRatio", "none"], ["aria-hidden", "true"],
    ]) picture.setAttribute(name, text);
    const top = make("small", {}, "last 2 minutes");
    const heading = make("h3", {}, title);
    byId("rates").append(make("div", { class: "chart" }, heading, value, picture, top));
    return { value, picture, top };
  }

  show(mesh, selected) {
    this.mesh = mesh;
    this.selected = selected;
    this.again();
  }

  select(node) {
    this.selected = node;
    if (this.mesh) this.again();
  }

  /// Draws what is known once more.
  again() {
    const { mesh } = this;
    if (!mesh) return;
    setText(byId("cluster"), mesh.cluster);
    document.title = `zmesh ${mesh.cluster}`;
    this.overviews = new Map(mesh.nodes.map((node) => [node.name, node]));
    this.views = this.groupViews();
    this.showHealth();
    this.showCharts();
    this.showMembers();
    draw.ring(byId("ring"), mesh.members, this.selected);
    this.links.show(mesh);
    this.showTopics();
    this.showSlow();
    this.showEvents();
  }

  /// Names of nodes by the view hash that they hold, the most nodes first.
  groupViews() {
    const views = new Map();
    for (const { name, overview } of this.mesh.nodes) {
      if (!overview) continue;
      const hash = overview.node.view_hash;
      views.set(hash, [...(views.get(hash) ?? []), name]);
    }
    return [...views].sort(([, one], [, other]) => other.length - one.length);
  }

  showHealth() {
    const { members, nodes } = this.mesh;
    const some = (list) => (list.length > 5 ? `${list.slice(0, 5).join(", ")}, …` : list.join(", "));
    const named = (state) => members.filter((it) => it.state === state).map((it) => it.name);
    const alive = named("alive").length;
    const [suspect, dead] = [named("suspect"), named("dead")];
    const silent = nodes.filter((node) => node.error).map((node) => node.name);
    const slow = nodes.reduce((sum, node) => sum + (node.overview?.slow.length ?? 0), 0);
    const paused = nodes.reduce((sum, it) => sum + (it.overview?.publishers_throttled ?? 0), 0);
    const facts = [[true, "members", `${alive} ${alive === 1 ? "member" : "members"} alive`]];
    if (suspect.length) facts.push([false, "suspect", `suspected: ${some(suspect)}`]);
    if (dead.length) facts.push([false, "dead", `dead: ${some(dead)}`]);
    if (silent.length) facts.push([false, "silent", `no answer from: ${some(silent)}`]);
    const [first, ...others] = this.views;
    if (!others.length) {
      const who = nodes.length - silent.length;
      const text = who > 1 ? `all ${who} hold one view` : "one view";
      if (first) facts.push([true, "views", `${text} (${first[0].slice(0, 6)})`]);
    } else {
      const apart = this.views.map(([hash, names]) => `${hash.slice(0, 6)} at ${some(names)}`);
      facts.push([false, "views", `nodes hold ${apart.length} different views: ${apart.join("; ")}`]);
    }
    const { missing, text } = this.links.say(this.mesh);
    facts.push([!missing, "links", text]);
    facts.push([!slow, "slow", slow ? `${slow} slow subscribers` : "no slow subscribers"]);
    if (paused) facts.push([false, "paused", `${paused} publishers held back`]);
    for (const [good, name, said] of facts) this.fact(name, good, said);
    const told = new Set(facts.map(([, name]) => `fact-${name}`));
    for (const item of [...byId("health").children]) if (!told.has(item.id)) item.remove();
  }

  fact(name, good, text) {
    const id = `fact-${name}`;
    const item = byId(id) ?? byId("health").appendChild(make("li", { id }));
    item.className = good ? "good" : "bad";
    setText(item, `${good ? "✓" : "!"} ${text}`);
  }

  showCharts() {
    const { history, latest, bounds } = this.rates;
    const now = this.mesh.at_ms;
    for (const [name, , format] of CHARTS) {
      const { value, picture, top } = this.charts.get(name);
      const points = history.map((one) => [one.at, one[name]]);
      const shown = latest ? latest[name] : null;
      setText(value, within(format, shown, bounds));
      value.classList.toggle("bad", name === "dropped" && shown > 0);
      draw.spark(picture, points, now - LOOK_BACK_MS, now);
      const known = points.map(([, one]) => one).filter((one) => one !== null);
      const most = known.length ? within(format, Math.max(...known), bounds) : "–";
      setText(top, `most in 2 min: ${most}`);
    }
  }

  showMembers() {
    const { members } = this.mesh;
    const many = members.length >= FILTER_FROM;
    byId("filter-label").hidden = !many;
    const filter = many ? byId("filter").value.trim().toLowerCase() : "";
    const trouble = (it) => (this.state(it).bad ? 0 : 1);
    const shown = members
      .filter((it) => `${it.name} ${this.state(it).text} ${it.zone}`.toLowerCase().includes(filter))
      .sort((one, other) => trouble(one) - trouble(other));
    setText(byId("members-title"), many ? `Members (${members.length})` : "Members");
    const all = members.reduce((sum, member) => sum + member.partitions, 0) || 1;
    rows(this.members, shown, (it) => it.id, (it) => this.member(it, it.partitions / all));
  }

  /// The state of a member in words, and whether that is bad.
  state(member) {
    const { error, overview } = this.overviews.get(member.name) ?? {};
    const mark = STATES[member.state] ?? "?";
    if (error) return { text: `${mark} ${member.state}, no answer`, bad: true, title: error };
    const phase = overview?.node.state ?? "ready";
    const more = member.state === "alive" && phase !== "ready" ? `, ${phase}` : "";
    const bad = member.state === "dead" || member.state === "suspect";
    return { text: `${mark} ${member.state}${more}`, bad };
  }

  member(member, share) {
    const overview = this.overviews.get(member.name)?.overview;
    const rates = this.rates.nodes.get(member.name);
    const state = this.state(member);
    const odd = overview && this.views.length > 1 && overview.node.view_hash !== this.views[0][0];
    const view = overview?.node.view_hash.slice(0, 6) ?? "–";
    const waiting = overview ? overview.queued_bytes + overview.link_pending_bytes : null;
    const down = overview?.links_down.length ?? 0;
    const links = overview && (down ? `! ${overview.links_up} of ${overview.links_up + down}` : overview.links_up);
    const chosen = member.name === this.selected ? "chosen" : "";
    return [
      { text: member.name, class: chosen, make: () => draw.nodeLink(member.name) },
      { text: state.text, class: state.bad ? "bad" : `state-${member.state}`, title: state.title },
      { text: odd ? `≠ ${view}` : view, class: odd ? "bad code" : "code" },
      { text: percent(share), bar: share },
      number(member.me ? "here" : micros(member.rtt_us)),
      number(overview ? count(overview.node.connections) : "–"),
      number(count(rates?.taken)),
      number(count(rates?.delivered)),
      number(rates?.dropped > 0 ? `! ${count(rates.dropped)}` : count(rates?.dropped), rates?.dropped > 0),
      number(waiting === null ? "–" : bytes(waiting)),
      number(links ?? "–", down),
      number(overview ? seconds(overview.node.uptime_seconds) : "–"),
    ];
  }

  showTopics() {
    const all = this.mesh.nodes.flatMap(({ name, overview }) =>
      (overview?.topics ?? []).map((topic) => ({ ...topic, owner: name })),
    );
    all.sort((one, other) => other.messages_per_second - one.messages_per_second);
    const top = all.slice(0, 20);
    byId("topics").classList.toggle("empty", !top.length);
    rows(this.topics, top, (it) => `${it.partition} ${it.topic}`, (it) => [
      { text: it.topic, make: () => draw.topicLink(it.topic), class: "long" },
      { text: it.owner, make: () => draw.nodeLink(it.owner) },
      number(it.partition),
      number(count(it.messages_per_second)),
      number(bytes(it.bytes_per_second)),
    ]);
  }

  showSlow() {
    const all = this.mesh.nodes.flatMap(({ name, overview }) =>
      (overview?.slow ?? []).map((client) => ({ ...client, node: name })),
    );
    all.sort((one, other) => other.queue_bytes - one.queue_bytes);
    byId("slow").classList.toggle("empty", !all.length);
    rows(this.slow, all.slice(0, 50), (it) => `${it.node} ${it.id}`, (it) => [
      it.peer,
      { text: it.node, make: () => draw.nodeLink(it.node) },
      { text: draw.slowness(it), class: "bad" },
      number(bytes(it.queue_bytes)),
      number(count(it.queue_messages)),
      number(count(it.dropped_messages)),
      it.queue_policy,
    ]);
  }

  showEvents() {
    const list = byId("events");
    const lines = fold(this.mesh.events).slice(0, 60);
    const drawn = JSON.stringify(lines);
    if (list.drawn === drawn) return;
    list.drawn = drawn;
    const items = lines.map(({ at, bad, text }) => {
      const time = make("time", { datetime: new Date(at).toISOString() }, draw.clock(at));
      return make("li", { class: bad ? "bad" : null }, time, ` ${bad ? "! " : ""}${text}`);
    });
    list.replaceChildren(...items);
  }
}
