/* Asks "risk" once. Run worker, then:
   cc request.c -lzmq -o request && ./request [tcp://127.0.0.1:5555] */
#include <stdio.h>
#include <string.h>
#include <zmq.h>

int main(int argc, char **argv)
{
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_REQ);
    zmq_connect(socket, argc > 1 ? argv[1] : "tcp://127.0.0.1:5555");
    zmq_send(socket, "risk", 4, ZMQ_SNDMORE);
    zmq_send(socket, "AAPL", 4, ZMQ_SNDMORE);
    zmq_send(socket, "100", 3, 0);
    /* An error has four frames: $zmesh.error, a code, words, and the id of the request. */
    char frames[4][256];
    int count = 0, more = 1;
    size_t size = sizeof more;
    while (more && count < 4) {
        int length = zmq_recv(socket, frames[count], sizeof frames[count] - 1, 0);
        frames[count][length < 255 ? length : 255] = 0;
        count++;
        zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size);
    }
    if (strcmp(frames[0], "$zmesh.error") == 0) {
        fprintf(stderr, "%s: %s (request %s)\n", frames[1], frames[2], frames[3]);
        return 1;
    }
    printf("risk of AAPL x 100: %s\n", frames[0]);
    return 0;
}
