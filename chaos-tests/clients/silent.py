# Opens many TCP connections that say nothing, prints how many, and prints `closed` once the other
# side has closed all of them.
import resource
import socket
import sys

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held = [socket.create_connection((host, port), 30) for _ in range(count)]
print(len(held), flush=True)
for connection in held:
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
print("closed", flush=True)
