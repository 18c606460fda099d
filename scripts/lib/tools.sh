# Finds or installs what the tests need. Sourced by scripts/test; expects FOREIGN and VENV.
# shellcheck shell=bash

NODE_MAJOR_MIN=18
PYTHON_MINOR_MIN=11

# A shell that was not started as a login shell may not have rustup's directory on its path.
find_cargo() {
  if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
  fi
  if ! command -v cargo >/dev/null; then
    echo "error: cargo is missing: install Rust with rustup (https://rustup.rs) and open a new shell" >&2
    return 1
  fi
}

has_node() {
  command -v npm >/dev/null && command -v node >/dev/null \
    && node -e "process.exit(Number.parseInt(process.versions.node) < $NODE_MAJOR_MIN ? 1 : 0)"
}

has_python() {
  command -v python3 >/dev/null \
    && python3 -c "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, $PYTHON_MINOR_MIN))" 2>/dev/null
}

has_rust_components() {
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1
}

install_rust_components() {
  has_rust_components && return
  if command -v rustup >/dev/null; then
    rustup component add rustfmt clippy
  else
    echo "error: rustfmt or clippy is missing: install them from where this cargo came from"
    return 1
  fi
}

install_packages() {
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "error: missing: $* (names as in Debian). Install that, or run this as root where there is apt-get."
    return 1
  fi
  echo "installing: $*"
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# Unpacks a package of Debian in a directory: nothing is installed, no service is started.
unpack_package() {
  local package=$1 directory=$2
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  mkdir -p "$directory"
  (
    cd "$directory"
    # Where the lists of packages were never fetched, or are of yesterday, they are fetched now if that is allowed.
    timeout 180 apt-get download -q "$package" \
      || { [ "$(id -u)" -eq 0 ] && timeout 180 apt-get update -q && timeout 180 apt-get download -q "$package"; } \
      || exit 1
    dpkg-deb -x "$package"_*.deb . && rm -f "$package"_*.deb
  ) >&2
}

# The oldest NATS server that is supported, 2.9, as Debian 12 has it.
find_older_nats_server() {
  local unpacked=$ROOT/target/nats-older/usr/sbin/nats-server
  [ -x "$unpacked" ] || unpack_package nats-server "$ROOT/target/nats-older" || return 1
  "$unpacked" --version >/dev/null 2>&1 && echo "$unpacked"
}

install_tools() {
  command -v cc >/dev/null || install_packages gcc libc6-dev
  command -v valgrind >/dev/null || install_packages valgrind
  command -v node >/dev/null || install_packages nodejs
  # Some distributions' nodejs brings npm along, and then conflicts with a package of that name.
  command -v npm >/dev/null || install_packages npm
  has_python || install_packages python3 python3-venv
  # The distribution's may be too old.
  has_node || {
    echo "error: Node.js $NODE_MAJOR_MIN or newer with npm is needed; found: $(node --version 2>&1 | head -n 1)"
    return 1
  }
  has_python || {
    echo "error: Python 3.$PYTHON_MINOR_MIN or newer with the venv module is needed; found: $(python3 --version 2>&1 | head -n 1)"
    return 1
  }
  install_rust_components
  cargo --version
  cargo nextest --version 2>/dev/null | head -n 1 || echo "cargo-nextest is not installed: cargo test stands in for it"
  echo "node $(node --version), npm $(npm --version 2>/dev/null), $(python3 --version)"
}

install_node_packages() {
  (cd "$FOREIGN" && npm ci --no-audit --no-fund --loglevel=error)
}

# Anew only when the requirements have changed: the copy within says what it was made from.
install_python_packages() {
  local requirements=$FOREIGN/requirements.txt
  if [ -x "$VENV/bin/python" ] && cmp -s "$requirements" "$VENV/requirements.txt"; then
    return
  fi
  rm -rf "$VENV"
  python3 -m venv "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$VENV/requirements.txt"
}
