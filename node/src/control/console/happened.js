// Events of the mesh, folded: what several nodes saw of one thing is one line.

/// Nodes see the same thing within this time.
const TOGETHER_MS = 30_000;

const SEEN = {
  "member.discovered": "is new",
  "member.restarted": "started again",
  "member.suspected": "is suspected",
  "member.alive": "is alive again",
  "member.dead": "is dead",
  "member.left": "has left",
};

const BAD = new Set(["member.dead", "member.suspected", "link.down", "slow.full"]);
BAD.add("slow.disconnected");

function key(event) {
  if (event.event === "owner.moved") {
    const { hash, cause } = event.fields ?? {};
    return JSON.stringify([event.event, hash, cause]);
  }
  return JSON.stringify([event.event, event.subject]);
}

/// Whether several nodes may tell of the same thing in this event.
const shared = (event) => /^(member|link|owner)\./.test(event.event);

function say({ event, subject, text, fields, nodes }) {
  const by = [...nodes].sort();
  const who = by.length > 6 ? `${by.length} nodes` : by.join(", ");
  if (SEEN[event]) return `member ${subject} ${SEEN[event]} – seen by ${who}`;
  if (event === "link.up") return `link to ${subject} is up – from ${who}`;
  if (event === "link.down") return `link to ${subject} is down – from ${who}`;
  if (event === "owner.moved" && by.length > 1) {
    const cause = fields?.cause ? ` (${fields.cause})` : "";
    return `partitions moved, now ${fields?.members} members${cause} – at ${who}`;
  }
  return event.startsWith("slow.") ? `${text} – at ${who}` : text;
}

/// Lines for these events, the newest first: { key, at, event, bad, text }.
export function fold(events) {
  const lines = [];
  const open = new Map();
  for (const event of events) {
    const name = key(event);
    const line = open.get(name);
    const same = line && shared(event) && !line.nodes.has(event.node);
    if (same && event.at_ms - line.at < TOGETHER_MS) {
      line.nodes.add(event.node);
      continue;
    }
    const fresh = { ...event, at: event.at_ms, nodes: new Set([event.node]) };
    open.set(name, fresh);
    lines.push(fresh);
  }
  return lines.reverse().map((line) => ({
    key: `${line.node} ${line.seq} ${line.at}`,
    at: line.at,
    event: line.event,
    bad: BAD.has(line.event),
    text: say(line),
  }));
}
