# Build with the context at the top of the repository:  docker build --tag muster .
#
# Both stages have one base and one user: Node reads the compile cache only of its own version and user.
FROM node:24.21.0-bookworm-slim AS build
WORKDIR /app
RUN chown 65532:65532 .
USER 65532:65532
ENV HOME=/tmp
COPY --chown=65532:65532 package.json package-lock.json ./
RUN npm ci
COPY --chown=65532:65532 build ./build
COPY --chown=65532:65532 src ./src
COPY --chown=65532:65532 functions ./functions
# Bundles, then runs the bundle once on a database of its own, which fills dist/cache.
RUN npm run bundle

FROM node:24.21.0-bookworm-slim
WORKDIR /app
COPY --from=build /app/dist ./dist
USER 65532:65532
# The cache is only ever read here, so the root file system may be read-only.
ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=/app/dist/cache \
    NODE_COMPILE_CACHE_PORTABLE=1 \
    PATH=/app/dist/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
EXPOSE 8080
# As PID 1 it handles SIGTERM itself. Other commands: docker run … muster migrate
CMD ["node", "dist/src/muster.js", "serve"]
