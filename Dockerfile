# The server's image: Python packages, then Evergreen's serving code, each a layer of its own. A model comes on top by
# deploy/image/model.Dockerfile. docs/serving.md says how to build with and without a network.
#
#   docker build --tag evergreen-server .
#   docker build --tag evergreen-server:gpu --build-arg VARIANT=gpu .
ARG BASE_IMAGE=python:3.11-slim
ARG VARIANT=cpu

# Packages come from build/packages if that folder is there (prepared on the host for Python 3.11), else from the
# lock by pip. The pattern packag[e]s is how COPY takes a folder that may be missing: it copies what is inside.
FROM ${BASE_IMAGE} AS packages
ARG VARIANT
ARG PIP_ARGS=
COPY locks/serving-${VARIANT}.lock build/packag[e]s /packages/
RUN if [ ! -d /packages/torch ]; then \
        python3 -m pip install --no-cache-dir --no-compile --no-deps ${PIP_ARGS} \
            --target /packages --requirement "/packages/serving-${VARIANT}.lock"; \
    fi
COPY deploy/image/*.py /trim/
RUN python3 /trim/trim_packages.py /packages

FROM ${BASE_IMAGE} AS code
COPY serving /app/serving
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${BASE_IMAGE} AS server-cpu
# /logs is where a volume for the prediction log goes: a new volume takes its owner from here.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip /usr/local/lib/python3*/site-packages/pip* \
    && install -d -o 10001 -g 10001 /logs
COPY --from=packages /packages /packages
COPY --from=code /app /app
ENV PYTHONPATH=/app:/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERVING_BUNDLE=/bundle \
    SERVING_HOST=0.0.0.0 \
    SERVING_PORT=8080
WORKDIR /app
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python3", "-I", "-S", "/app/serving/probe.py"]
CMD ["python3", "-m", "serving"]

FROM server-cpu AS server-gpu
# compute: CUDA; utility: NVML, for the metrics. There is no folder that kernels could be cached in.
ENV SERVING_DEVICE=cuda \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    USE_PYTORCH_KERNEL_CACHE=0

FROM server-${VARIANT} AS server
