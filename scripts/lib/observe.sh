# Prometheus's own tools against the engine and the files for it. Sourced by scripts/test; expects ROOT.
# shellcheck shell=bash

PROMETHEUS_DIR=$ROOT/target/prometheus
OBSERVE_ADMIN_SECONDS=20

# Finds promtool, or unpacks Debian's package of Prometheus below target/: nothing is installed, no service is started.
find_promtool() {
  command -v promtool && return
  local unpacked=$PROMETHEUS_DIR/usr/bin/promtool
  [ -x "$unpacked" ] || unpack_package prometheus "$PROMETHEUS_DIR" || return 1
  "$unpacked" --version >/dev/null 2>&1 && echo "$unpacked"
}

# Starts an engine that is part of a cluster, so that there is nothing that it does not show, prints its metrics in the form that the header asks for, and ends it.
with_engine_metrics() {
  local binary=$1 out=$2 log pid admin end=$((SECONDS + OBSERVE_ADMIN_SECONDS)) status=1
  log=$(mktemp)
  # The tests' own RINGMAIN_* variables are not for the engine, which refuses those that it does not know.
  env -u RINGMAIN_BINARY -u RINGMAIN_BACKENDS \
    "$binary" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --shards 2 --nats nats://127.0.0.1:1 >"$log" 2>&1 &
  pid=$!
  while [ "$SECONDS" -lt "$end" ] && kill -0 "$pid" 2>/dev/null; do
    admin=$(sed -n 's|^admin  *http://||p' "$log")
    if [ -n "$admin" ] && curl -fsS --max-time 5 "http://$admin/metrics" >"$out"; then
      status=0
      break
    fi
    sleep 0.1
  done
  kill "$pid" 2>/dev/null || true
  wait "$pid" || true
  [ "$status" -eq 0 ] || cat "$log"
  rm -f "$log"
  return "$status"
}

check_with_promtool() {
  local promtool=$1 binary=$2 metrics=$PROMETHEUS_DIR/metrics.txt
  mkdir -p "$PROMETHEUS_DIR"
  "$promtool" --version 2>&1 | head -n 1
  (cd engine/observe && "$promtool" check config prometheus.yml && "$promtool" test rules alerts.test.yml)
  with_engine_metrics "$binary" "$metrics"
  "$promtool" check metrics <"$metrics"
  echo "promtool finds nothing wrong with $(grep -vc '^#' "$metrics") samples of a running engine"
}
