# The agent. Under systemd it is better off (deploy/systemd); in a container it needs the host's engine, cgroups and
# network, and is root there:
#   docker build -f deploy/docker/agent.Dockerfile -t shoal-agent .
#   docker run --rm -v /var/lib/shoal-agent:/var/lib/shoal-agent shoal-agent join SCHEDULER:7601 --token …
#   docker run -d --restart always --name shoal-agent --network host --pid host --cgroupns host --privileged \
#     -v /var/run/docker.sock:/var/run/docker.sock -v /sys/fs/cgroup:/sys/fs/cgroup \
#     -v /etc/docker/certs.d:/etc/docker/certs.d \
#     -v /var/lib/shoal-agent:/var/lib/shoal-agent shoal-agent
# Tasks mount folders of the host only by agent.toml, and those must be mounted here at the same place, too.
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
ENV SHOAL_AGENT_STATE=/var/lib/shoal-agent
VOLUME /var/lib/shoal-agent
ENTRYPOINT ["shoal", "agent"]
CMD ["run"]
