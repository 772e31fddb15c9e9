# The scheduler. From the project's root:
#   docker build -f deploy/docker/scheduler.Dockerfile -t shoal-scheduler .
#   docker run --network host -v /etc/shoal:/etc/shoal:ro shoal-scheduler --listen 0.0.0.0:7600 --etcd … --authority …
# The files it is given must be readable for the user 65532.
FROM python:3.11-slim
WORKDIR /usr/src/shoal
COPY requirements.lock ./
# Of what is installed for all programs the load balancer is the largest part, and the ingress's.
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock && rm -f /usr/local/bin/traefik
COPY pyproject.toml README.md LICENSE ./
COPY proto proto
COPY scheduler scheduler
COPY agent agent
COPY registry registry
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
USER 65532:65532
EXPOSE 7600 7601
ENTRYPOINT ["python", "-P", "-m", "shoal_scheduler"]
