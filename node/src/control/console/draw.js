// Elements, tables, charts and numbers. Whatever comes from the mesh becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/// The element of the page with this id.
export const byId = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/// A new element with these attributes and children.
export const make = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/// Sets the text only if it changed: selections and screen readers are left in peace.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const link = (what, name) => `#${what}=${encodeURIComponent(name)}`;

/// A link that opens the details of a node.
export const nodeLink = (name) => make("a", { href: link("node", name) }, name);

/// A link that explains a topic.
export const topicLink = (topic) => make("a", { href: link("topic", topic) }, topic);

/// A cell whose text may change: { text, class, title, make, bar }. `make` builds the content once
/// for as long as its text stays the same.
function draw(cell, content) {
  const wanted = typeof content === "object" ? content : { text: content };
  const name = wanted.class ?? "";
  if (cell.className !== name) cell.className = name;
  if (wanted.title && cell.title !== wanted.title) cell.title = wanted.title;
  const text = String(wanted.text ?? "");
  if (wanted.make) {
    if (cell.made !== text) cell.replaceChildren(wanted.make());
    cell.made = text;
  } else if (wanted.bar !== undefined) {
    if (!cell.firstChild) {
      cell.append(make("span", { class: "track" }, make("span")), make("span"));
    }
    cell.firstChild.firstChild.style.width = `${Math.min(100, wanted.bar * 100)}%`;
    setText(cell.lastChild, text);
  } else {
    setText(cell, text);
  }
}

/// Makes the rows of a table body those of the items. A row stays the same element for as long as
/// its key is there, so that the focus stays where it is. The first cell is the row's heading.
export function rows(body, items, key, cells) {
  body.kept ??= new Map();
  const wanted = new Set();
  let place = body.firstElementChild;
  for (const item of items) {
    const name = key(item);
    if (wanted.has(name)) continue;
    wanted.add(name);
    const contents = cells(item);
    let row = body.kept.get(name);
    if (!row) {
      row = make("tr");
      const heads = contents.map((_, at) => make(at ? "td" : "th", at ? {} : { scope: "row" }));
      row.append(...heads);
      body.kept.set(name, row);
    }
    for (const [index, content] of contents.entries()) draw(row.children[index], content);
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
  }
  for (const [name, row] of body.kept) {
    if (wanted.has(name)) continue;
    row.remove();
    body.kept.delete(name);
  }
}

/// A table with these headings and an empty body, in a part that scrolls by itself.
export function table(label, headings) {
  const heads = headings.map((text) => {
    const number = text.startsWith(">");
    const attributes = { scope: "col", class: number ? "number" : null };
    return make("th", attributes, number ? text.slice(1) : text);
  });
  const body = make("tbody");
  const whole = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
  const scrolls = make("div", { class: "scroll", tabindex: 0, role: "region" }, whole);
  scrolls.setAttribute("aria-label", label);
  return { scrolls, body };
}

/// The colour of a member on the ring: any two names differ, and a name keeps its own.
export function colour(name) {
  let hash = 0;
  for (const letter of name) hash = (Math.imul(hash, 31) + letter.codePointAt(0)) >>> 0;
  return `hsl(${(hash * 137.508) % 360} 50% 52%)`;
}

function slice(from, to) {
  const at = (part, radius) => {
    const angle = (part - 0.25) * 2 * Math.PI;
    return `${(Math.cos(angle) * radius).toFixed(3)} ${(Math.sin(angle) * radius).toFixed(3)}`;
  };
  const [large, end] = [to - from > 0.5 ? 1 : 0, Math.min(to, from + 0.99999)];
  return (
    `M${at(from, 100)}A100 100 0 ${large} 1 ${at(end, 100)}` +
    `L${at(end, 64)}A64 64 0 ${large} 0 ${at(from, 64)}Z`
  );
}

/// The ring: one slice for each member that owns partitions. The table says the same in words.
export function ring(figure, members, selected) {
  const owners = members.filter((member) => member.partitions > 0);
  const all = owners.reduce((sum, member) => sum + member.partitions, 0);
  const drawn = JSON.stringify([owners.map((it) => [it.name, it.partitions]), selected]);
  if (figure.drawn === drawn) return;
  figure.drawn = drawn;
  const picture = svg("svg", { viewBox: "-104 -104 208 208", role: "img" });
  picture.setAttribute("aria-label", `The ring of ${owners.length} owners`);
  let from = 0;
  for (const { name, partitions } of owners) {
    const share = partitions / all;
    const path = svg("path", { d: slice(from, from + share) });
    path.style.fill = colour(name);
    const title = svg("title", {}, `${name}: ${percent(share)}, ${partitions} partitions`);
    const attributes = { href: link("node", name), tabindex: -1 };
    if (name === selected) attributes.class = "selected";
    picture.append(svg("a", attributes, title, path));
    from += share;
  }
  const chosen = owners.find((member) => member.name === selected);
  const line = (y, kind, text) => svg("text", { y, class: kind }, text);
  const short = (text) => (text.length > 14 ? `${text.slice(0, 13)}…` : text);
  picture.append(
    line(-4, "big", chosen ? percent(chosen.partitions / all) : String(owners.length)),
    line(18, "small", chosen ? short(chosen.name) : owners.length === 1 ? "owner" : "owners"),
  );
  figure.replaceChildren(picture);
}

/// A small chart of [time, value] points; no line where there is no value.
export function spark(picture, points, from, to) {
  const known = points.filter(([, value]) => Number.isFinite(value));
  const top = Math.max(...known.map(([, value]) => value), 1e-9);
  let [path, last] = ["", null];
  for (const [at, value] of points) {
    if (!Number.isFinite(value)) {
      last = null;
      continue;
    }
    const x = ((at - from) / (to - from)) * 120;
    const y = 29 - (value / top) * 26;
    const joined = last !== null && at - last < 6000;
    path += `${joined ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    last = at;
  }
  if (!picture.firstChild) picture.append(svg("path", { class: "line" }));
  picture.firstChild.setAttribute("d", path);
}

/// 12345.6 as `12.3 k`.
export function count(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const units = ["", " k", " M", " G", " T"];
  let unit = 0;
  // Up to 9999 as it is: more digits say more than a unit.
  while (unit < 4 && Math.abs(value) >= (unit ? 999.5 : 9999.5)) {
    value /= 1000;
    unit += 1;
  }
  const digits = Math.abs(value) < 9.95 && (unit || value % 1) ? 1 : 0;
  return `${value.toFixed(digits)}${units[unit]}`;
}

/// Bytes as `12.3 KiB`.
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit && value < 10 ? 1 : 0)} ${units[unit]}`;
}

/// Microseconds as `1.2 ms`.
export function micros(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1000) return `${value} µs`;
  if (value < 1_000_000) return `${(value / 1000).toFixed(value < 10_000 ? 1 : 0)} ms`;
  return `${(value / 1_000_000).toFixed(1)} s`;
}

/// Seconds as `5 min`.
export function seconds(value) {
  if (value < 60) return `${Math.floor(value)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min`;
  if (value < 172_800) return `${Math.floor(value / 3600)} h`;
  return `${Math.floor(value / 86_400)} d`;
}

/// 0.123 as `12.3 %`.
export const percent = (part) => `${(part * 100).toFixed(1)} %`;

/// A time of the day as `14:05:09`, by the browser's clock and zone.
export const clock = (ms) => new Date(ms).toTimeString().slice(0, 8);

/// What makes a subscriber slow, in words.
export function slowness(client) {
  const { full_for_seconds: full, seconds_since_drop: drop } = client;
  if (full !== null && full !== undefined) return `! full for ${seconds(full)}`;
  if (drop !== null && drop !== undefined) return `dropped ${seconds(drop)} ago`;
  return "";
}
