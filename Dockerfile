# A node of zmesh:  docker build -t zmesh .  &&  docker run -p 5555:5555 zmesh
FROM rust:1-bookworm AS build
# libzmq comes with the crate that needs it, and is built with the C++ compiler of this image.
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p zmesh

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --shell /usr/sbin/nologin zmesh
COPY --from=build /src/target/release/zmesh /usr/local/bin/zmesh
USER zmesh
# Inside a container the network is the container's own: who may reach it is said outside.
ENV ZMESH_BIND=0.0.0.0
# Clients, HTTP and metrics; gossip; data between nodes.
EXPOSE 5555 5556 5557
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["zmesh", "status"]
ENTRYPOINT ["zmesh"]
CMD ["node"]
