# One image for both processes: `node bin/foretell.ts api` is the API, `node bin/foretell.ts worker` the worker.
# Debian, not Alpine: onnxruntime-node has no musl build.
FROM node:24-bookworm-slim AS dependencies
WORKDIR /foretell
COPY package.json package-lock.json .npmrc ./
# Binaries of ONNX Runtime for other platforms, some 200 MB, stay out of the image.
RUN npm ci --omit=dev \
  && cd node_modules/onnxruntime-node/bin/napi-v6 && rm -rf darwin win32

FROM node:24-bookworm-slim
WORKDIR /foretell
ENV NODE_ENV=production
COPY --from=dependencies /foretell/node_modules node_modules
COPY package.json ./
COPY src src
COPY workers workers
COPY bin bin
COPY models models
USER node
# No default command: inside a container the API is reached only with HOST=0.0.0.0, which asks for API_KEYS. See compose.yaml.
