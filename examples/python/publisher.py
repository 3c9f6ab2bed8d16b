# A quote a second. Run a mesh (zmesh dev), then:  python3 publisher.py [tcp://127.0.0.1:5555]
import sys
import time
import zmq

socket = zmq.Context().socket(zmq.PUB)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555")
for number in range(1000000):
    time.sleep(1)
    socket.send_multipart([b"STOCK.AAPL", b"%d" % (20000 + number)])
