// Prints quotes. Run a mesh (zmesh dev), then:
//   npm install && node subscriber.js [tcp://127.0.0.1:5575]
import { Subscriber } from "zeromq";

const socket = new Subscriber();
socket.connect(process.argv[2] ?? "tcp://127.0.0.1:5575");
socket.subscribe("STOCK.");
for await (const [topic, price] of socket) {
  console.log(topic.toString(), price.toString());
}
