// Prints quotes. Run a mesh (zmesh dev), then:
//   cc subscriber.c -o subscriber -lzmq && ./subscriber [tcp://127.0.0.1:5575]
#include <stdio.h>
#include <zmq.h>

int main(int argc, char **argv) {
    zmq_msg_t part;
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
    zmq_connect(socket, argc > 1 ? argv[1] : "tcp://127.0.0.1:5575");
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "STOCK.", 6);
    zmq_msg_init(&part);
    while (zmq_msg_recv(&part, socket, 0) >= 0) {
        int last = !zmq_msg_more(&part);
        printf("%.*s%s", (int)zmq_msg_size(&part), (char *)zmq_msg_data(&part), last ? "\n" : " ");
        fflush(stdout);
    }
}
