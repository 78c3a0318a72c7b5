# Signet in a small image that runs as nobody in particular. It has no curl: docker-compose.yml probes
# /health/ready from inside by bash and its /dev/tcp, an orchestrator does so from outside.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin signet && cp target/release/signet /signet

FROM debian:bookworm-slim
# The certificates are for rediss:// addresses and SMTP servers.
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/signet --create-home signet
COPY --from=build /signet /usr/local/bin/signet
USER 10001:10001
WORKDIR /var/lib/signet
# Inside a container, loopback would reach nobody, so the profile is the one that is closed until it is
# configured. `signet config check` says what is missing.
ENV SIGNET__PROFILE=production \
    SIGNET__HTTP__LISTEN=0.0.0.0:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["signet"]
CMD ["serve"]
