# A SUB socket with short queues that reads nothing until it is told to. Prints `open` when its
# subscription is in force everywhere. A line on stdin makes it read until a message whose second
# frame is `end`: it prints the number in the second frame of each message, and what the node says
# of dropped ones as `dropped COUNT REASON TOTAL PREFIX`.
import sys

import zmq

endpoint, prefix = sys.argv[1], sys.argv[2].encode()
socket = zmq.Context().socket(zmq.SUB)
socket.setsockopt(zmq.RCVHWM, 10)
socket.setsockopt(zmq.RCVBUF, 64 << 10)
socket.setsockopt(zmq.RCVTIMEO, 40000)
socket.setsockopt(zmq.LINGER, 0)
for topic in (b"$zmesh.ready", b"$zmesh.dropped", prefix):
    socket.subscribe(topic)
socket.connect(endpoint)
while socket.recv_multipart() != [b"$zmesh.ready", prefix]:
    pass
print("open", flush=True)
sys.stdin.readline()
while True:
    frames = socket.recv_multipart()
    if frames[0] == b"$zmesh.dropped":
        print("dropped", *[frame.decode() for frame in frames[1:]])
    elif frames[1] == b"end":
        break
    else:
        print(frames[1][:8].decode().strip())
print("end", flush=True)
