// Rates and latency, from the counters of two messages. Counters that fall are those of a node that
// started again: all it has counted since then is new.

/// How long the small charts look back.
export const LOOK_BACK_MS = 120_000;

/// Messages whose latency is taken together: at a low rate one alone says little.
const LATENCY_OVER = 10;

const sum = (numbers) => numbers.reduce((all, one) => all + one, 0);

/// The upper bound of the bucket with this part of all that was counted, in microseconds;
/// null if there was nothing, Infinity beyond the last bound.
export function quantile(bounds, counts, part) {
  const all = sum(counts);
  if (!all) return null;
  let left = Math.max(1, Math.ceil(all * part));
  for (const [index, count] of counts.entries()) {
    if (left <= count) return bounds[index] ?? Infinity;
    left -= count;
  }
  return null;
}

function counters(overview) {
  const { node, done } = overview;
  return {
    uptime: node.uptime_seconds,
    taken: node.taken_messages,
    delivered: node.delivered_messages,
    dropped: sum(Object.values(node.dropped_messages)),
    done: done.counts,
  };
}

/// What was counted between two looks at one node.
function since(before, now) {
  const fell = ["uptime", "taken", "delivered", "dropped"].some((name) => now[name] < before[name]);
  const start = fell ? { taken: 0, delivered: 0, dropped: 0, done: [] } : before;
  return {
    taken: now.taken - start.taken,
    delivered: now.delivered - start.delivered,
    dropped: now.dropped - start.dropped,
    done: now.done.map((count, index) => Math.max(0, count - (start.done[index] ?? 0))),
  };
}

export class Rates {
  constructor() {
    /// By the node's name: its rates a second, as far as known.
    this.nodes = new Map();
    /// The whole mesh, oldest first: { at, taken, delivered, dropped, p50, p99, done }.
    this.history = [];
    this.seen = new Map();
    this.bounds = [];
  }

  /// The latest of the whole mesh; undefined before the second message.
  get latest() {
    return this.history.at(-1);
  }

  take(mesh) {
    const total = { at: mesh.at_ms, taken: 0, delivered: 0, dropped: 0, done: [] };
    let known = false;
    for (const { name, overview } of mesh.nodes) {
      if (!overview) continue;
      const now = { at: mesh.at_ms, ...counters(overview) };
      const before = this.seen.get(name);
      if (before && now.at <= before.at) continue;
      this.seen.set(name, now);
      if (!before) continue;
      known = true;
      this.bounds = overview.done.bounds_us;
      this.nodes.set(name, this.add(total, before, now));
    }
    const living = new Set(mesh.nodes.map((node) => node.name));
    for (const name of this.seen.keys()) {
      if (!living.has(name)) this.seen.delete(name);
    }
    for (const { name, overview } of mesh.nodes) if (!overview) this.nodes.delete(name);
    for (const name of this.nodes.keys()) if (!living.has(name)) this.nodes.delete(name);
    if (known) this.remember(total);
  }

  /// Adds what one node did to the total; gives the node's own rates.
  add(total, before, now) {
    const seconds = (now.at - before.at) / 1000;
    const counted = since(before, now);
    const rates = {};
    for (const name of ["taken", "delivered", "dropped"]) {
      rates[name] = counted[name] / seconds;
      total[name] += rates[name];
    }
    for (const [index, count] of counted.done.entries()) {
      total.done[index] = (total.done[index] ?? 0) + count;
    }
    return rates;
  }

  remember(total) {
    this.history.push(total);
    while (this.history[0].at < total.at - LOOK_BACK_MS) this.history.shift();
    const counts = this.bounds.map(() => 0).concat(0);
    for (const { done } of this.history.slice(-LATENCY_OVER)) {
      for (const [index, count] of done.entries()) counts[index] += count;
    }
    total.p50 = quantile(this.bounds, counts, 0.5);
    total.p99 = quantile(this.bounds, counts, 0.99);
  }
}
