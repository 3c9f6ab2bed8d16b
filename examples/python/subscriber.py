# Prints quotes. Run a mesh (zmesh dev), then:  python3 subscriber.py [tcp://127.0.0.1:5575]
import sys
import zmq

socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5575")
socket.subscribe("STOCK.")
while True:
    topic, price = socket.recv_multipart()
    print(topic.decode(), price.decode(), flush=True)
