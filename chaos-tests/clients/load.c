// A client that publishes or subscribes at speed and writes down what it sent or received;
// clients/README.md says how.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define READY "$zmesh.ready"
#define TURN 256
#define MOST_TOPICS 1024
#define LONGEST 65536

// As it stands in a file, and at the start of a message.
struct record {
    uint16_t publisher, topic;
    uint32_t number;
    uint64_t at;
};

static FILE *history;

static void check(int right, const char *what) {
    if (right) return;
    fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void say(const char *word) {
    printf("%s\n", word);
    fflush(stdout);
}

static void note(const struct record *record) {
    if (history) check(fwrite(record, sizeof *record, 1, history) == 1, "no room for the history");
}

// What stands on stdin: 'g' to go, 'e' at its end, else 0.
static char told(void) {
    char byte;
    return read(0, &byte, 1) == 1 ? byte : 'e';
}

static int is_readable(void *socket, long patience, int *stdin_too) {
    zmq_pollitem_t items[] = {{socket, 0, ZMQ_POLLIN, 0}, {NULL, 0, ZMQ_POLLIN, 0}};
    check(zmq_poll(items, 2, patience) >= 0, "poll");
    *stdin_too = items[1].revents != 0;
    return items[0].revents != 0;
}

struct publisher {
    void *socket;
    int number, topics;
    size_t size;
    uint32_t numbers[MOST_TOPICS];
    uint64_t sent;
};

// Whether there was room for the next message; `last` marks it as the last of its topic.
static int publish(struct publisher *it, int last) {
    static uint8_t body[LONGEST];
    char topic[32];
    int index = it->sent % it->topics;
    struct record record = {it->number, index, it->numbers[index], now()};
    int length = snprintf(topic, sizeof topic, "load.%d", index);
    if (zmq_send(it->socket, topic, length, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        check(zmq_errno() == EAGAIN, "send");
        return 0;
    }
    memcpy(body, &record, sizeof record);
    body[sizeof record] = last;
    memset(body + sizeof record + 1, record.number, it->size - sizeof record - 1);
    check(zmq_send(it->socket, body, it->size, 0) >= 0, "send");
    note(&record);
    it->numbers[index]++;
    it->sent++;
    return 1;
}

// The node asks for messages with the byte 1, once for each connection.
static void hear_node(void *socket) {
    uint8_t byte;
    if (zmq_recv(socket, &byte, 1, ZMQ_DONTWAIT) >= 0 && byte == 1) say("asked");
}

static void run_publisher(struct publisher *it, double rate) {
    uint64_t start = 0;
    double given_up = 0; // messages that were due and could not be sent for too long
    int stdin_too, full = 0;
    for (;;) {
        long patience = start && !full && rate == 0 ? 0 : start ? 1 : -1;
        if (is_readable(it->socket, patience, &stdin_too)) hear_node(it->socket);
        if (stdin_too) {
            char word = told();
            if (word == 'e') return;
            if (word == 'g') start = now();
        }
        if (!start) continue;
        double due = (now() - start) / 1e9 * rate - given_up;
        if (rate > 0 && due - it->sent > rate / 2) given_up += due - it->sent - rate / 2;
        full = 0;
        for (int turn = 0; turn < TURN && !full && (rate == 0 || it->sent < due); turn++)
            full = !publish(it, 0);
    }
}

static void end_publisher(struct publisher *it) {
    int stdin_too;
    for (int topic = 0; topic < it->topics; topic++)
        while (!publish(it, 1))
            if (is_readable(it->socket, 1, &stdin_too)) hear_node(it->socket);
    printf("sent %llu\n", (unsigned long long)it->sent);
    fflush(stdout);
}

// Takes in one message; returns 0 if there is none.
static int hear(void *socket) {
    static uint8_t topic[256], body[LONGEST];
    char expected[32];
    int length = zmq_recv(socket, topic, sizeof topic, ZMQ_DONTWAIT);
    if (length < 0) {
        check(zmq_errno() == EAGAIN, "receive");
        return 0;
    }
    int size = zmq_recv(socket, body, sizeof body, 0);
    if (length == strlen(READY) && !memcmp(topic, READY, length)) {
        if (size > 0 && memcmp(body, READY, strlen(READY))) say("ready");
        return 1;
    }
    struct record record;
    memcpy(&record, body, sizeof record);
    int wanted = snprintf(expected, sizeof expected, "load.%d", record.topic);
    int intact = size > (int)sizeof record && length == wanted && !memcmp(topic, expected, wanted);
    for (int at = sizeof record + 1; intact && at < size; at++)
        intact = body[at] == (uint8_t)record.number;
    if (!intact) say("broken");
    record.at = now();
    note(&record);
    if (body[sizeof record]) {
        printf("end %u %u\n", record.publisher, record.topic);
        fflush(stdout);
    }
    return 1;
}

static void run_subscriber(void *socket) {
    int stdin_too;
    for (;;) {
        int turn = 0;
        if (is_readable(socket, -1, &stdin_too))
            while (turn++ < TURN && hear(socket)) {
            }
        if (stdin_too && told() == 'e') return;
    }
}

int main(int argc, char **argv) {
    check(argc >= 5, "load publish|subscribe ENDPOINT FILE …");
    int publishes = !strcmp(argv[1], "publish");
    int yes = 1, none = 0, most = 10000, linger = 20000, interval = 50;
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, publishes ? ZMQ_XPUB : ZMQ_SUB);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &most, sizeof most);
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &interval, sizeof interval);
    if (strcmp(argv[3], "-")) check((history = fopen(argv[3], "wb")) != NULL, argv[3]);
    if (publishes) {
        struct publisher it = {.socket = socket, .number = atoi(argv[4])};
        check(argc == 8, "publish ENDPOINT FILE NUMBER RATE TOPICS SIZE");
        it.topics = atoi(argv[6]);
        it.size = atoi(argv[7]);
        check(it.topics <= MOST_TOPICS && it.size <= LONGEST, "too many topics or bytes");
        // What finds no room waits: nothing is lost on this side.
        zmq_setsockopt(socket, ZMQ_XPUB_NODROP, &yes, sizeof yes);
        zmq_setsockopt(socket, ZMQ_XPUB_VERBOSE, &yes, sizeof yes);
        check(zmq_connect(socket, argv[2]) == 0, argv[2]);
        run_publisher(&it, atof(argv[5]));
        end_publisher(&it);
    } else {
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, READY, strlen(READY));
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, argv[4], strlen(argv[4]));
        check(zmq_connect(socket, argv[2]) == 0, argv[2]);
        run_subscriber(socket);
    }
    if (history) check(fclose(history) == 0, "no room for the history");
    say("written");
    zmq_close(socket);
    return zmq_ctx_term(context);
}
