# shellcheck shell=bash
# Sourced by quickstart and test: a Python environment from the lock, and the distribution's packages.

# Where distributions put daemons, which is not on every user's PATH.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

if [ -t 1 ]; then BOLD=$'\e[1m' PLAIN=$'\e[0m'; else BOLD='' PLAIN=''; fi

say() { printf '%s==> %s%s\n' "$BOLD" "$*" "$PLAIN"; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

may_be_root() { [ "$(id -u)" = 0 ] || { has sudo && sudo -n true 2>/dev/null; }; }

# What goes before a command that needs root.
ROOT=()
[ "$(id -u)" = 0 ] || ROOT=(sudo -n)

as_root() { "${ROOT[@]}" "$@"; }

# The first Python on the PATH that is new enough and can make virtual environments; empty if there is none.
find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
}

demand_python() {
  PYTHON=$(find_python)
  if [ -z "$PYTHON" ] && may_be_root && has apt-get; then
    install_packages python3-venv
    PYTHON=$(find_python)
  fi
  [ -n "$PYTHON" ] || die "needs Python 3.11 or newer with venv: apt-get install python3-venv"
}

# make_environment LOCK: .venv holds what LOCK says and this project; and more, if the other lock was installed, too.
# A second call takes no time: what is there is known by the hash of what it was made from.
make_environment() {
  local lock=$1 each
  if ! environment_is_sound; then
    demand_python
    rm -rf .venv
    "$PYTHON" -m venv .venv
    pwd >.venv/.made-in
  fi
  if [ "$(cat ".venv/.made-from-$lock" 2>/dev/null)" = "$(made_from "$lock")" ]; then return; fi
  say "Installing Python packages into .venv, as $lock says"
  install_locked "$lock"
  # The lock of the tests holds all that the other one does, in the same versions.
  for each in "$lock" requirements.lock; do made_from "$each" >".venv/.made-from-$each"; done
}

# An environment that was moved names paths that are gone.
environment_is_sound() {
  [ "$(cat .venv/.made-in 2>/dev/null)" = "$PWD" ] &&
    .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

made_from() { sha256sum "$1" pyproject.toml; }

install_locked() {
  # uv does in seconds what takes pip a minute; both check every hash.
  if has uv && uv --version >/dev/null 2>&1; then
    uv pip install --quiet --python .venv/bin/python --require-hashes -r "$1"
    uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
  else
    .venv/bin/python -m pip install --quiet --require-hashes -r "$1"
    .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
  fi
}

# install_packages NAME...: from the distribution, or says in one line what to install and ends.
install_packages() {
  local line="apt-get install $*"
  has apt-get || die "not found on this machine: $* (names of Debian's packages); install them and run this again"
  may_be_root || die "needs root or passwordless sudo for: $line"
  say "Installing from the distribution: $*"
  # The first may fail for want of a package list, and then nobody wants to read why.
  silently apt_get install "$@" 2>/dev/null || {
    silently apt_get update || die "failed: apt-get update"
    silently apt_get install "$@" || die "failed: $line"
  }
}

# Shows what a command wrote only if it fails.
silently() {
  local output
  output=$("$@" 2>&1) || {
    printf '%s\n' "$output" >&2
    return 1
  }
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
    apt-get --quiet --quiet --yes --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
}

# The packages of the programs that are not there, one a line. Newer releases pack the docker command apart.
docker_packages() {
  has dockerd || printf 'docker.io\n'
  if ! has docker && apt-cache show docker-cli >/dev/null 2>&1; then printf 'docker-cli\n'; fi
  has docker || printf 'docker.io\n'
}

etcd_packages() { has etcd || printf 'etcd-server\n'; }

# install_missing NAME...: names of packages, doubles allowed; nothing to do for none.
install_missing() {
  local -a names
  local had_etcd=no had_registry=no
  has etcd && had_etcd=yes
  has docker-registry && had_registry=yes
  mapfile -t names < <(printf '%s\n' "$@" | sort -u | sed '/^$/d')
  if [ "${#names[@]}" = 0 ]; then return; fi
  install_packages "${names[@]}"
  # The package starts an etcd without certificates; ours is another one, so that one need not run.
  if [ "$had_etcd" = no ] && has etcd && [ -d /run/systemd/system ]; then
    as_root systemctl disable --now --quiet etcd.service || true
  fi
  if [ "$had_registry" = no ] && has docker-registry && [ -d /run/systemd/system ]; then
    as_root systemctl disable --now --quiet docker-registry.service || true
  fi
}
