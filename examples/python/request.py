# Asks "risk" once. Run worker.py, then:  python3 request.py [tcp://127.0.0.1:5555]
import sys
import zmq

socket = zmq.Context().socket(zmq.REQ)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555")
socket.send_multipart([b"risk", b"AAPL", b"100"])
answer = socket.recv_multipart()
if answer[0] == b"$zmesh.error":
    _, code, text, request = (frame.decode() for frame in answer)
    sys.exit(f"{code}: {text} (request {request})")
print("risk of AAPL x 100:", answer[0].decode())
