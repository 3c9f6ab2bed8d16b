// Asks "risk" once. Run a worker, then:
//   npm install && node request.js [tcp://127.0.0.1:5555]
import { Request } from "zeromq";

const socket = new Request();
socket.connect(process.argv[2] ?? "tcp://127.0.0.1:5555");
await socket.send(["risk", "AAPL", "100"]);
const answer = (await socket.receive()).map(String);
if (answer[0] === "$zmesh.error") {
  const [, code, text, request] = answer;
  console.error(`${code}: ${text} (request ${request})`);
  process.exit(1);
}
console.log("risk of AAPL x 100:", answer[0]);
process.exit(0);
