"""Majordomo clients and workers, written from the text of ZeroMQ RFC 7 (MDP/0.1) and 18 (MDP/0.2).

majordomo.py client 1|2 ADDRESS SERVICE   asks for each line of stdin, prints each message that comes
majordomo.py worker 1|2 ADDRESS SERVICE   answers each request with its body and the frame "done"

Both print frames between tabs. A worker of MDP/0.2 sends each frame of the body as a part first.
"""

import sys
import time

import zmq

INTERVAL = 2.5  # seconds between two heartbeats
LIVENESS = 4  # heartbeats that may be missed

# Commands, by version: "REPLY" of the first is "FINAL" of the second.
READY, REQUEST = b"\x01", b"\x02"
FINAL = {1: b"\x03", 2: b"\x04"}
HEARTBEAT = {1: b"\x04", 2: b"\x05"}
DISCONNECT = {1: b"\x05", 2: b"\x06"}
PARTIAL = b"\x03"


def say(*words):
    print("\t".join(word.decode() if isinstance(word, bytes) else word for word in words), flush=True)


def client(version, address, service):
    context = zmq.Context()
    # "Clients SHOULD use a REQ socket" (0.1); "Clients MUST use a DEALER socket" (0.2).
    socket = context.socket(zmq.REQ if version == 1 else zmq.DEALER)
    socket.connect(address)
    for line in sys.stdin:
        body = [part.encode() for part in line.rstrip("\n").split("\t")]
        if version == 1:
            # The REQ socket makes the empty frame 0.
            socket.send_multipart([b"MDPC01", service, *body])
            header, told, *reply = socket.recv_multipart()
            assert header == b"MDPC01" and told == service, (header, told)
            say("reply", *reply)
            continue
        socket.send_multipart([b"MDPC02", b"\x01", service, *body])
        while True:
            header, command, told, *reply = socket.recv_multipart()
            assert header == b"MDPC02" and told == service, (header, told)
            assert command in (b"\x02", b"\x03"), command
            say("partial" if command == b"\x02" else "final", *reply)
            if command == b"\x03":
                break


class Worker:
    def __init__(self, version, address, service):
        self.version, self.address, self.service = version, address, service
        self.context = zmq.Context()
        self.socket = None
        self.connect()

    def connect(self):
        """A new socket for each conversation."""
        if self.socket is not None:
            self.socket.close(0)
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect(self.address)
        self.send(READY, self.service)
        self.heard = time.monotonic()

    def send(self, command, *frames):
        header = [b"", b"MDPW01"] if self.version == 1 else [b"MDPW02"]
        self.socket.send_multipart([*header, command, *frames])
        self.told = time.monotonic()

    def receive(self):
        """Command and frames of the next message, or None after a while."""
        if not self.socket.poll(100):
            return None
        frames = self.socket.recv_multipart()
        if self.version == 1:
            assert frames.pop(0) == b"", "frame 0 is empty"
        assert frames.pop(0) == (b"MDPW01" if self.version == 1 else b"MDPW02")
        self.heard = time.monotonic()
        return frames

    def run(self):
        while True:
            message = self.receive()
            now = time.monotonic()
            if message is None:
                if now - self.heard > INTERVAL * LIVENESS:
                    say("silent")
                    self.connect()
            elif message[0] == REQUEST:
                address, empty, *body = message[1:]
                assert empty == b"", "an empty frame behind the client address"
                say("request", *body)
                if self.version == 2:
                    for part in body:
                        self.send(PARTIAL, address, b"", part)
                self.send(FINAL[self.version], address, b"", *body, b"done")
            elif message[0] == DISCONNECT[self.version]:
                say("disconnect")
                self.connect()
            else:
                assert message == [HEARTBEAT[self.version]], message
                say("heartbeat")
            if now - self.told > INTERVAL:
                self.send(HEARTBEAT[self.version])


if __name__ == "__main__":
    _, role, version, address, service = sys.argv
    if role == "client":
        client(int(version), address, service.encode())
    else:
        Worker(int(version), address, service.encode()).run()
