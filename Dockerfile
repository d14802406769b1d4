# The gateway alone; Postgres and Redis are beside it (docker-compose.yml). Runs as an ordinary user on a read-only root.
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements/run.txt requirements/run.txt
RUN python -m venv /opt/optyx && /opt/optyx/bin/pip install --no-cache-dir --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md ./
COPY gateway gateway
COPY tui tui
COPY migrations migrations
COPY seeds seeds
RUN /opt/optyx/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin optyx && install -d -o optyx -g optyx -m 0700 /data
COPY --from=build /opt/optyx /opt/optyx
ENV PATH=/opt/optyx/bin:$PATH PYTHONDONTWRITEBYTECODE=1 OPTYX_HOME=/data GATEWAY_HOST=0.0.0.0
USER 10001:10001
VOLUME /data
EXPOSE 4000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4000/health/ready', timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["optyx", "up"]
