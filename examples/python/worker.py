# Serves "risk". Run a mesh (zmesh dev), then:  python3 worker.py [tcp://127.0.0.1:5575]
import sys
import zmq

socket = zmq.Context().socket(zmq.DEALER)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5575")
while True:
    # Said again while nothing comes: the node may be another process than before.
    socket.send_multipart([b"$zmesh.serve", b"risk", b"10"])
    while socket.poll(1000):
        request, stock, amount = socket.recv_multipart()
        print(stock.decode(), amount.decode(), flush=True)
        socket.send_multipart([request, b"ok" if int(amount) <= 1000 else b"too much"])
