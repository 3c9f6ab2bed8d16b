// A ZeroMQ socket driven by lines on stdin; clients/README.md says which.
const fs = require("node:fs");
const readline = require("node:readline");
const zmq = require("zeromq");

const SHORT = 256;
const ZMQ_SNDHWM = 23;
const CRC = new Uint32Array(256).map((_, index) => {
  for (let bit = 0; bit < 8; bit++) index = index & 1 ? 0xedb88320 ^ (index >>> 1) : index >>> 1;
  return index;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
}

function token(frame) {
  if (frame.length === 0) return "-";
  return frame.length <= SHORT ? frame.toString("hex") : `=${frame.length}:${crc32(frame)}`;
}

function frame(token) {
  if (token === "-") return Buffer.alloc(0);
  return token[0] === "@" ? fs.readFileSync(token.slice(1)) : Buffer.from(token, "hex");
}

const say = (...words) => process.stdout.write(words.join(" ") + "\n");

async function obey(socket, kind, line) {
  const [verb, ...rest] = line.split(" ");
  if (verb === "send") await socket.send(rest.map(frame));
  else if (verb === "sync") say("synced");
  else if (kind === "XSUB") {
    const first = Buffer.from([verb === "subscribe" ? 1 : 0]);
    await socket.send(Buffer.concat([first, frame(rest[0])]));
  } else socket[verb](frame(rest[0]));
}

async function hear(socket) {
  for await (const frames of socket) say("message", ...frames.map(token));
}

async function main() {
  const [kind, ...addresses] = process.argv.slice(2);
  const kinds = {
    PUB: zmq.Publisher, XPUB: zmq.XPublisher, SUB: zmq.Subscriber, XSUB: zmq.XSubscriber,
  };
  const socket = new kinds[kind]({ ipv6: true, linger: 20000, reconnectInterval: 50 });
  // Also for a Subscriber, who has no property for it: beyond 1000 subscriptions in one go libzmq
  // would drop some of them on the way out.
  socket.setInt32Option(ZMQ_SNDHWM, 0);
  if (kind !== "PUB") socket.receiveHighWaterMark = 0;
  for (const address of addresses) socket.connect(address);
  say("open");
  if (kind !== "PUB") hear(socket);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await obey(socket, kind, line);
  }
  socket.close();
}

main();
