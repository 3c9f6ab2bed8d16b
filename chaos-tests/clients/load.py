# A client that publishes or subscribes at speed and writes down what it sent or received;
# clients/README.md says how.
import os
import struct
import sys
import time

import zmq

READY = b"$zmesh.ready"
TURN = 64
# As it stands in a file, and at the start of a message: publisher, topic, number, time.
RECORD = struct.Struct("<HHIQ")

written = None


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def note(record):
    if written:
        written.write(record)


class Publisher:
    def __init__(self, socket, number, rate, topics, size):
        self.socket, self.number, self.rate, self.topics = socket, number, rate, topics
        self.padding = size - RECORD.size - 1
        self.numbers = [0] * topics
        self.sent = 0

    def publish(self, last):
        """Whether there was room for the next message."""
        topic = self.sent % self.topics
        number = self.numbers[topic]
        record = RECORD.pack(self.number, topic, number, time.monotonic_ns())
        body = record + bytes([last]) + bytes([number & 255]) * self.padding
        try:
            self.socket.send_multipart([b"load.%d" % topic, body], zmq.DONTWAIT)
        except zmq.Again:
            return False
        note(record)
        self.numbers[topic] += 1
        self.sent += 1
        return True

    def hear(self, ready):
        # The node asks for messages with the byte 1, once for each connection.
        if self.socket in ready and self.socket.recv()[:1] == b"\x01":
            say("asked")

    def run(self, poller):
        start, given_up, full = None, 0, False
        while True:
            ready = dict(poller.poll(1 if start else None))
            self.hear(ready)
            if 0 in ready:
                word = os.read(0, 1)
                if not word:
                    return
                if word == b"g":
                    start = time.monotonic()
            if start is None:
                continue
            due = (time.monotonic() - start) * self.rate - given_up
            # What could not be sent for too long is not made up for.
            given_up += max(0, due - self.sent - self.rate / 2)
            full = False
            while not full and self.sent < due:
                full = not self.publish(False)

    def end(self, poller):
        for _ in range(self.topics):
            while not self.publish(True):
                self.hear(dict(poller.poll(1)))
        say("sent", self.sent)


def hear(socket):
    """Takes in one message; False if there is none."""
    try:
        topic, body = socket.recv_multipart(zmq.DONTWAIT)
    except zmq.Again:
        return False
    if topic == READY:
        if body != READY:
            say("ready")
        return True
    publisher, index, number, _ = RECORD.unpack_from(body)
    padding = bytes([number & 255]) * (len(body) - RECORD.size - 1)
    if topic != b"load.%d" % index or body[RECORD.size + 1 :] != padding:
        say("broken")
    note(RECORD.pack(publisher, index, number, time.monotonic_ns()))
    if body[RECORD.size]:
        say("end", publisher, index)
    return True


def run_subscriber(socket, poller):
    while True:
        ready = dict(poller.poll())
        for _ in range(TURN):
            if not hear(socket):
                break
        if 0 in ready and not os.read(0, 1):
            return


def main():
    global written
    kind, endpoint, file, *rest = sys.argv[1:]
    context = zmq.Context()
    socket = context.socket(zmq.XPUB if kind == "publish" else zmq.SUB)
    socket.setsockopt(zmq.LINGER, 20000)
    # No limit: nothing is lost on this side.
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    if file != "-":
        written = open(file, "wb")
    poller = zmq.Poller()
    poller.register(0, zmq.POLLIN)
    poller.register(socket, zmq.POLLIN)
    if kind == "publish":
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        socket.connect(endpoint)
        publisher = Publisher(socket, *map(int, rest))
        publisher.run(poller)
        publisher.end(poller)
    else:
        socket.subscribe(READY)
        socket.subscribe(rest[0])
        socket.connect(endpoint)
        run_subscriber(socket, poller)
    if written:
        written.close()
    say("written")
    socket.close()
    context.term()


main()
