// Prints quotes. Run a mesh (zmesh dev), then:
//   cc subscriber.c -o subscriber -lzmq && ./subscriber [tcp://127.0.0.1:5575]
#include <stdio.h>
#include <zmq.h>

int main(int argc, char **argv) {
    char topic[64], price[64];
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_SUB);
    zmq_connect(socket, argc > 1 ? argv[1] : "tcp://127.0.0.1:5575");
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "STOCK.", 6);
    for (;;) {
        int topic_size = zmq_recv(socket, topic, sizeof topic, 0);
        int price_size = zmq_recv(socket, price, sizeof price, 0);
        printf("%.*s %.*s\n", topic_size, topic, price_size, price);
        fflush(stdout);
    }
}
