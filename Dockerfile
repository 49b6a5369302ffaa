# ccproxy without the local model, on Debian's slim Python. How it is run: docs/containers.md

# The digest is that of the index, which names an image for each architecture. What is newest tells
#   docker buildx imagetools inspect python:3.13-slim-trixie
# and `docker build --build-arg PYTHON=…` takes it.
ARG PYTHON=python:3.13.16-slim-trixie@sha256:bf44cdfcb76cd3b41e879bc058fc37ec5872002ccfde7fcb765e218cde0cd79c

FROM ${PYTHON} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements requirements
# What builds has an environment of its own, which stays behind; the one that runs has not even pip.
RUN python -m venv /opt/build \
 && python -m venv --without-pip /opt/ccproxy \
 && /opt/build/bin/pip install --require-hashes -r requirements/build.txt \
 && /opt/build/bin/pip --python /opt/ccproxy/bin/python install \
    --only-binary :all: --require-hashes -r requirements/run.txt -r requirements/image.txt
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/build/bin/pip --python /opt/ccproxy/bin/python install --no-deps --no-index dist/*.whl

FROM ${PYTHON}
# Kubernetes only takes the number for somebody who is not root.
RUN useradd --uid 10001 --user-group --no-log-init --create-home --shell /usr/sbin/nologin ccproxy \
 && install --directory --mode 700 --owner ccproxy --group ccproxy /home/ccproxy/.ccproxy
COPY --from=build /opt/ccproxy /opt/ccproxy
COPY deploy/config.yaml /etc/ccproxy/config.yaml
# One folder can be written, whatever for.
ENV HOME=/home/ccproxy TMPDIR=/home/ccproxy/.ccproxy PATH=/opt/ccproxy/bin:$PATH \
    CCPROXY_CONFIG=/etc/ccproxy/config.yaml PYTHONUNBUFFERED=1
WORKDIR /home/ccproxy
USER 10001:10001
EXPOSE 3456
# It knows which port is listened on, whether a file says so or --port.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["ccproxy", "status"]
ENTRYPOINT ["dumb-init", "--", "ccproxy"]
CMD ["start"]
