# A ZeroMQ socket driven by lines on stdin; clients/README.md says which.
import binascii
import os
import sys

import zmq

SHORT = 256


def token(frame):
    if not frame:
        return "-"
    if len(frame) <= SHORT:
        return frame.hex()
    return "=%d:%08x" % (len(frame), binascii.crc32(frame))


def frame(token):
    if token == "-":
        return b""
    if token.startswith("@"):
        with open(token[1:], "rb") as file:
            return file.read()
    return bytes.fromhex(token)


def say(*words):
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def obey(socket, kind, line):
    verb, *rest = line.split(" ")
    if verb == "send":
        socket.send_multipart([frame(it) for it in rest], copy=False)
    elif verb in ("subscribe", "unsubscribe"):
        prefix = frame(rest[0])
        if kind == "XSUB":
            socket.send((b"\x01" if verb == "subscribe" else b"\x00") + prefix)
        else:
            getattr(socket, verb)(prefix)
    elif verb == "sync":
        say("synced")
    else:
        sys.exit("what is " + line)


def main():
    kind, *addresses = sys.argv[1:]
    context = zmq.Context()
    socket = context.socket(getattr(zmq, kind))
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.LINGER, 20000)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    for address in addresses:
        socket.connect(address)
    say("open")
    poller = zmq.Poller()
    poller.register(0, zmq.POLLIN)
    if kind != "PUB":
        poller.register(socket, zmq.POLLIN)
    waiting = b""
    while True:
        ready = dict(poller.poll())
        if socket in ready:
            say("message", *[token(it) for it in socket.recv_multipart()])
        if 0 in ready:
            more = os.read(0, 65536)
            if not more:
                break
            *lines, waiting = (waiting + more).split(b"\n")
            for line in lines:
                obey(socket, kind, line.decode())
    socket.close()
    context.term()


main()
