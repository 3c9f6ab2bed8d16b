// A quote a second. Run a mesh (zmesh dev), then:
//   npm install && node publisher.js [tcp://127.0.0.1:5555]
import { Publisher } from "zeromq";
import { setTimeout } from "node:timers/promises";

const socket = new Publisher();
socket.connect(process.argv[2] ?? "tcp://127.0.0.1:5555");
for (let number = 20000; ; number++) {
  await setTimeout(1000);
  await socket.send(["STOCK.AAPL", String(number)]);
}
