// A ZeroMQ socket driven by lines on stdin; clients/README.md says which.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define SHORT 256
#define LONGEST_LINE (1 << 20)

static void check(int right, const char *what) {
    if (!right) {
        fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(1);
    }
}

static uint32_t crc32(const uint8_t *bytes, size_t size) {
    static uint32_t table[256];
    if (!table[1]) {
        for (uint32_t index = 0; index < 256; index++) {
            uint32_t value = index;
            for (int bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ value >> 1 : value >> 1;
            table[index] = value;
        }
    }
    uint32_t crc = 0xffffffff;
    for (size_t at = 0; at < size; at++) crc = table[(crc ^ bytes[at]) & 255] ^ crc >> 8;
    return crc ^ 0xffffffff;
}

static void say_frame(const uint8_t *bytes, size_t size) {
    if (size == 0) printf(" -");
    else if (size > SHORT) printf(" =%zu:%08x", size, crc32(bytes, size));
    else {
        putchar(' ');
        for (size_t at = 0; at < size; at++) printf("%02x", bytes[at]);
    }
}

static void hear(void *socket) {
    int more = 1;
    printf("message");
    while (more) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        check(zmq_msg_recv(&part, socket, 0) >= 0, "receive");
        say_frame(zmq_msg_data(&part), zmq_msg_size(&part));
        more = zmq_msg_more(&part);
        zmq_msg_close(&part);
    }
    printf("\n");
    fflush(stdout);
}

// A frame from its token, with `before` bytes of room in front of it.
static uint8_t *frame(const char *token, size_t before, size_t *size) {
    uint8_t *bytes;
    if (token[0] == '@') {
        FILE *file = fopen(token + 1, "rb");
        check(file != NULL, token);
        fseek(file, 0, SEEK_END);
        *size = ftell(file);
        rewind(file);
        bytes = malloc(before + *size + 1);
        check(fread(bytes + before, 1, *size, file) == *size, token);
        fclose(file);
        return bytes;
    }
    *size = token[0] == '-' ? 0 : strlen(token) / 2;
    bytes = malloc(before + *size + 1);
    for (size_t at = 0; at < *size; at++) {
        unsigned byte;
        sscanf(token + 2 * at, "%2x", &byte);
        bytes[before + at] = byte;
    }
    return bytes;
}

static void send_frames(void *socket, char *tokens) {
    for (char *token = strtok(tokens, " "); token;) {
        size_t size;
        uint8_t *bytes = frame(token, 0, &size);
        token = strtok(NULL, " ");
        check(zmq_send(socket, bytes, size, token ? ZMQ_SNDMORE : 0) >= 0, "send");
        free(bytes);
    }
}

static void subscribe(void *socket, int extended, int on, const char *token) {
    size_t size;
    uint8_t *bytes = frame(token, 1, &size);
    bytes[0] = on;
    if (extended) check(zmq_send(socket, bytes, size + 1, 0) >= 0, "subscribe");
    else {
        int option = on ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE;
        check(zmq_setsockopt(socket, option, bytes + 1, size) == 0, "subscribe");
    }
    free(bytes);
}

static void obey(void *socket, int extended, char *line) {
    if (!strncmp(line, "send ", 5)) send_frames(socket, line + 5);
    else if (!strncmp(line, "subscribe ", 10)) subscribe(socket, extended, 1, line + 10);
    else if (!strncmp(line, "unsubscribe ", 12)) subscribe(socket, extended, 0, line + 12);
    else if (!strcmp(line, "sync")) {
        printf("synced\n");
        fflush(stdout);
    } else check(0, line);
}

static int type_of(const char *name) {
    if (!strcmp(name, "PUB")) return ZMQ_PUB;
    if (!strcmp(name, "XPUB")) return ZMQ_XPUB;
    if (!strcmp(name, "XSUB")) return ZMQ_XSUB;
    return ZMQ_SUB;
}

int main(int argc, char **argv) {
    static char lines[LONGEST_LINE];
    size_t held = 0;
    int type = type_of(argv[1]), yes = 1, none = 0, linger = 20000, interval = 50;
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, type);
    zmq_setsockopt(socket, ZMQ_IPV6, &yes, sizeof yes);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &interval, sizeof interval);
    for (int at = 2; at < argc; at++) check(zmq_connect(socket, argv[at]) == 0, argv[at]);
    printf("open\n");
    fflush(stdout);
    zmq_pollitem_t items[] = {{NULL, 0, ZMQ_POLLIN, 0}, {socket, 0, ZMQ_POLLIN, 0}};
    for (;;) {
        check(zmq_poll(items, type == ZMQ_PUB ? 1 : 2, -1) >= 0, "poll");
        if (items[1].revents) hear(socket);
        if (!items[0].revents) continue;
        ssize_t count = read(0, lines + held, LONGEST_LINE - held);
        if (count <= 0) break;
        held += count;
        char *line = lines, *end;
        while ((end = memchr(line, '\n', lines + held - line))) {
            *end = 0;
            obey(socket, type == ZMQ_XSUB, line);
            line = end + 1;
        }
        held -= line - lines;
        memmove(lines, line, held);
    }
    zmq_close(socket);
    return zmq_ctx_term(context);
}
