# One model's image: a bundle on the server's image, which is reused as it is. The context is the bundle's folder;
# drift's reference, of no use to a server, stays outside.
#
#   docker build --file deploy/image/model.Dockerfile --build-arg MODEL_NAME=... --build-arg MODEL_VERSION=... BUNDLE
ARG SERVER_IMAGE=evergreen-server
FROM ${SERVER_IMAGE}
ARG MODEL_NAME
ARG MODEL_VERSION
ENV SERVING_MODEL_NAME=${MODEL_NAME} SERVING_MODEL_VERSION=${MODEL_VERSION}
COPY --chown=10001:10001 golden /bundle/golden
COPY --chown=10001:10001 contract.json model.pt /bundle/
