# The serving image: Python packages, then Evergreen's serving code, then one bundle; each a layer of its own,
# so that a new model moves only the last. docs/serving.md says how to build it with and without a network.
#
#   docker build --build-arg MODEL_NAME=... --build-arg MODEL_VERSION=... .     with the bundle in build/bundle
#   docker build --target server .                                              without: mount one at /bundle
ARG BASE_IMAGE=python:3.11-slim

# Packages come from build/packages if that folder is there (prepared on the host for Python 3.11), else from the
# lock by pip. The pattern packag[e]s is how COPY takes a folder that may be missing: it copies what is inside.
FROM ${BASE_IMAGE} AS packages
ARG LOCK=serving-cpu.lock
ARG PIP_ARGS=
COPY locks/${LOCK} build/packag[e]s /packages/
RUN if [ ! -d /packages/torch ]; then \
        python3 -m pip install --no-cache-dir --no-compile --no-deps ${PIP_ARGS} \
            --target /packages --requirement "/packages/${LOCK}"; \
    fi \
    && rm -rf /packages/torch/include /packages/torch/share \
    && chmod -R a+rX /packages \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x torch/testing/_internal /packages

FROM ${BASE_IMAGE} AS server
COPY --from=packages /packages /packages
COPY serving /app/serving
ENV PYTHONPATH=/app:/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERVING_BUNDLE=/bundle \
    SERVING_HOST=0.0.0.0 \
    SERVING_PORT=8080
WORKDIR /app
USER 10001:10001
EXPOSE 8080
# http.client, which unlike urllib asks no proxy.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["python3", "-I", "-S", "-c", "\
import http.client, os, sys; \
probe = http.client.HTTPConnection('127.0.0.1', int(os.environ['SERVING_PORT']), timeout=2); \
probe.request('GET', '/v2/health/ready'); \
sys.exit(probe.getresponse().status != 200)"]
CMD ["python3", "-m", "serving"]

FROM server AS model
ARG MODEL_NAME=model
ARG MODEL_VERSION=0
ENV SERVING_MODEL_NAME=${MODEL_NAME} SERVING_MODEL_VERSION=${MODEL_VERSION}
COPY --chown=10001:10001 build/bundle /bundle
