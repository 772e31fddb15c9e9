# The load balancer, and what drives it: two containers of one image with one volume. From the project's root:
#   docker build -f deploy/docker/ingress.Dockerfile -t shoal-ingress .
#   docker run --network host -v ingress:/var/lib/shoal-ingress shoal-ingress shoal.ingress.proxies --state /var/lib/shoal-ingress
#   docker run --network host -v ingress:/var/lib/shoal-ingress -v /etc/shoal:/etc/shoal:ro shoal-ingress \
#     shoal.ingress --state /var/lib/shoal-ingress --scheduler … --authority … --certificate … --key …
# The files it is given must be readable for the user 65532. For ports below 1024 the first needs
# net.ipv4.ip_unprivileged_port_start=0 on the host, or --publish in the place of --network host.
FROM python:3.11-slim
WORKDIR /usr/src/shoal
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY proto proto
COPY scheduler scheduler
COPY agent agent
COPY registry registry
RUN pip install --no-cache-dir --no-deps --no-build-isolation .
RUN install -d -m 700 -o 65532 -g 65532 /var/lib/shoal-ingress
USER 65532:65532
ENTRYPOINT ["python", "-P", "-m"]
