# Build from the root of the repository:  docker build --tag muster .
#
# The image contains only Node, the C libraries it needs and the bundle; build/base.ts lists the files.
# `npm run image` writes the same image without Docker.
FROM node:24.21.0-bookworm-slim AS build
WORKDIR /build
# PostgreSQL, on which the bundle is run below, does not start for a user without a name.
RUN groupadd --gid 65532 muster && useradd --uid 65532 --gid 65532 muster && chown muster:muster .
USER 65532:65532
ENV HOME=/tmp
COPY --chown=65532:65532 package.json package-lock.json ./
RUN npm ci
COPY --chown=65532:65532 build ./build
COPY --chown=65532:65532 src ./src
COPY --chown=65532:65532 functions ./functions
COPY --chown=65532:65532 dev ./dev
# Builds the bundle, then runs it once against a temporary database to fill the compile cache.
RUN npm run image

FROM scratch
COPY --from=build /build/image/base /
COPY --from=build /build/image/app /app
WORKDIR /app
USER 65532:65532
# The compile cache is only read at run time, so the root file system can be read-only.
ENV PATH=/usr/local/bin \
    NODE_ENV=production \
    NODE_COMPILE_CACHE=/app/cache \
    NODE_COMPILE_CACHE_PORTABLE=1
EXPOSE 8080
LABEL org.opencontainers.image.title="muster" \
    org.opencontainers.image.description="Runs your function once the whole set of its parts has arrived" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0"
# Muster handles SIGTERM itself, so it can run as PID 1. Other commands: docker run … muster migrate
ENTRYPOINT ["node", "/app/muster.js"]
CMD ["serve"]
