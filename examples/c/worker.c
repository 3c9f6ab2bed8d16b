/* Serves "risk". Run a mesh (zmesh dev), then:
   cc worker.c -lzmq -o worker && ./worker [tcp://127.0.0.1:5575] */
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

int main(int argc, char **argv)
{
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_DEALER);
    zmq_connect(socket, argc > 1 ? argv[1] : "tcp://127.0.0.1:5575");
    for (;;) {
        /* Said again while nothing comes: the node may be another process than before. */
        zmq_send(socket, "$zmesh.serve", 12, ZMQ_SNDMORE);
        zmq_send(socket, "risk", 4, ZMQ_SNDMORE);
        zmq_send(socket, "10", 2, 0);
        zmq_pollitem_t items[] = {{socket, 0, ZMQ_POLLIN, 0}};
        while (zmq_poll(items, 1, 1000) > 0) {
            char id[64], stock[64], amount[64];
            int size = zmq_recv(socket, id, sizeof id, 0);
            stock[zmq_recv(socket, stock, sizeof stock - 1, 0)] = 0;
            amount[zmq_recv(socket, amount, sizeof amount - 1, 0)] = 0;
            printf("%s %s\n", stock, amount);
            fflush(stdout);
            zmq_send(socket, id, size, ZMQ_SNDMORE);
            if (atoi(amount) <= 1000)
                zmq_send(socket, "ok", 2, 0);
            else
                zmq_send(socket, "too much", 8, 0);
        }
    }
}
