# One image for every program of Holdfast: web, worker, sweeper and manage.py. What it runs is said by docker-compose.yml.
#
#   docker build --tag holdfast:local .
#
# Everything from the package index is checked against the hashes of requirements/runtime.txt. The account in the image owns no file of it.

FROM python:3.13-slim-bookworm AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/holdfast
COPY requirements/runtime.txt /tmp/runtime.txt
RUN /opt/holdfast/bin/pip install --require-hashes --only-binary :all: --requirement /tmp/runtime.txt


FROM python:3.13-slim-bookworm AS code
COPY --from=packages /opt/holdfast /opt/holdfast
ENV PATH=/opt/holdfast/bin:$PATH
WORKDIR /srv/holdfast
COPY . .
# collectstatic reads the settings, which insist on keys and a database. It uses neither, and nothing of this line stays in the image.
RUN mkdir /srv/static \
    && HOLDFAST_STATIC=/srv/static HOLDFAST_SECRET_KEY=unused DATABASE_URL=postgresql:///unused \
       HOLDFAST_SEAL_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= \
       python manage.py collectstatic --noinput \
    && python -m compileall -q .


FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin holdfast
COPY --from=packages /opt/holdfast /opt/holdfast
COPY --from=code /srv /srv
ENV PATH=/opt/holdfast/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOLDFAST_HOME=/tmp/holdfast \
    HOLDFAST_STATIC=/srv/static
WORKDIR /srv/holdfast
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "deploy/healthcheck.py"]
CMD ["granian", "--interface", "asginl", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", "--loop", "uvloop", "--respawn-failed-workers", "--workers-kill-timeout", "5", "--no-access-log", "config.asgi:application"]
