# syntax=docker/dockerfile:1
#
#   docker build -t mien .                                      # CPU, with the built-in scene
#   docker build -t mien:gpu --build-arg EXTRAS=gpu,distributed --build-arg PACKAGES='onnxruntime-gpu[cuda,cudnn]' .
#   docker build -t mien:tests --target tests . && docker run --rm mien:tests
#
# Every package is pinned by constraints.txt. Pin the base by digest too where builds must be repeatable for ever.
ARG PYTHON=docker.io/library/python:3.11-slim-bookworm
ARG EXTRAS=cpu,scene,distributed


# The packages, in a folder that is copied as a whole: what builds them stays behind.
FROM ${PYTHON} AS packages
ARG EXTRAS
ARG PACKAGES=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_PYTHON=/opt/mien/bin/python
RUN python -m venv --without-pip /opt/mien
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY operators operators
COPY models models
COPY connectors connectors
COPY pipeline pipeline
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt ".[${EXTRAS}]" ${PACKAGES}


# docker run mien:tests [what pytest takes]; tests that need servers, cameras or Helm skip and say why.
FROM packages AS tests
ARG EXTRAS
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --editable ".[${EXTRAS},dev]"
COPY . .
RUN useradd --uid 10001 --create-home mien && chown -R mien /src
USER 10001:10001
ENV PATH=/opt/mien/bin:$PATH
CMD ["pytest", "-n", "2", "--dist", "loadfile"]


# Without compilers, sources, a shell for its user or anything that it may write but /var/lib/mien and /tmp.
FROM ${PYTHON} AS runtime
LABEL org.opencontainers.image.title="mien" \
      org.opencontainers.image.description="Event-time alert rules over facial expressions seen by many cameras" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 mien \
    && useradd --uid 10001 --gid mien --no-create-home --home-dir /var/lib/mien --shell /usr/sbin/nologin mien \
    && install --directory --owner=mien --group=mien /var/lib/mien
COPY --from=packages /opt/mien /opt/mien
ENV PATH=/opt/mien/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    MIEN_HEALTH_URL=http://127.0.0.1:9110/healthz
WORKDIR /var/lib/mien
USER 10001:10001
EXPOSE 9108 9110
STOPSIGNAL SIGTERM
# For `mien capture` and `mien worker`. `mien run` has no such address: give it the one of its metrics.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(os.environ['MIEN_HEALTH_URL'], timeout=4)"]
ENTRYPOINT ["mien"]
CMD ["--help"]
