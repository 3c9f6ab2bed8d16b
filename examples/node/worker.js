// Serves "risk". Run a mesh (zmesh dev), then:
//   npm install && node worker.js [tcp://127.0.0.1:5575]
import { Dealer } from "zeromq";

const socket = new Dealer();
socket.connect(process.argv[2] ?? "tcp://127.0.0.1:5575");
let sending = Promise.resolve();
const send = (frames) => (sending = sending.then(() => socket.send(frames)));
const serve = () => send(["$zmesh.serve", "risk", "10"]);
serve();
setInterval(serve, 1000); // said again: the node may be another process than before
for await (const [request, stock, amount] of socket) {
  console.log(stock.toString(), amount.toString());
  send([request, Number(amount) <= 1000 ? "ok" : "too much"]);
}
