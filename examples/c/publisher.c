// A quote a second. Run a mesh (zmesh dev), then:
//   cc publisher.c -o publisher -lzmq && ./publisher [tcp://127.0.0.1:5555]
#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

int main(int argc, char **argv) {
    void *socket = zmq_socket(zmq_ctx_new(), ZMQ_PUB);
    zmq_connect(socket, argc > 1 ? argv[1] : "tcp://127.0.0.1:5555");
    for (int number = 20000;; number++) {
        char price[16];
        sleep(1);
        zmq_send(socket, "STOCK.AAPL", 10, ZMQ_SNDMORE);
        zmq_send(socket, price, snprintf(price, sizeof price, "%d", number), 0);
    }
}
