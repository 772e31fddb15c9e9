# The image registry. From the project's root:
#   docker build -f deploy/docker/registry.Dockerfile -t shoal-registry .
#   docker run -p 7680:7680 -v /etc/shoal:/etc/shoal:ro -v images:/var/lib/shoal-registry \
#     -v registry-keys:/var/lib/shoal-registry-keys shoal-registry --authority … --certificate … --key …
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
RUN install -d -m 700 -o 65532 -g 65532 /var/lib/shoal-registry /var/lib/shoal-registry-keys
USER 65532:65532
EXPOSE 7680
ENTRYPOINT ["python", "-P", "-m", "shoal_registry", "--listen", "0.0.0.0:7680", "--store", "/var/lib/shoal-registry", "--token-key", "/var/lib/shoal-registry-keys/token.key", "--master-key", "/var/lib/shoal-registry-keys/master.key"]
