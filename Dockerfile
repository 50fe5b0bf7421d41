# One image for every role; docker-compose.yml says which process a container runs.
# Same Debian and Node in both stages: lmdb and Temporal's core bridge are native code.

FROM node:20.20.2-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
# dist/ and dist/workflow-bundle.js: orchestrators start from the bundle, without webpack and without the TypeScript sources.
RUN npm run build

FROM node:20.20.2-bookworm-slim
# The core bridge is Rust and reads the system's root certificates, not Node's; slim images have none, and TLS to a server
# with a public certificate would fail.
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev && npm cache clean --force
COPY --from=build /app/dist ./dist
# A named volume takes its owner from the directory it is first mounted over.
RUN mkdir -p /var/lib/holdfast /var/lib/holdfast-inventory /var/lib/holdfast-orchestrator \
  && chown node:node /var/lib/holdfast /var/lib/holdfast-inventory /var/lib/holdfast-orchestrator
USER node
# No init process: node is process 1, and handles SIGTERM itself.
CMD ["node", "dist/workers/orchestrator.js", "--workflow-bundle", "dist/workflow-bundle.js", "--log-format", "json"]
