# What the scripts here share: counting, tools, python environments, and the server of examples/interop_server.rs.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
passed=0 failed=0 backend= server= work=$(mktemp -d)
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

has() { command -v "$1" >/dev/null || { echo "SKIPPED: $1 is not installed"; return 1; }; }

# The shroud command, built when it is not there.
find_shroud() {
  shroud=${SHROUD_BIN:-$top/target/release/shroud}
  [ -x "$shroud" ] || (cd "$top" && cargo build --release --bin shroud)
}

# The example server; `cargo test` builds it too.
find_server() {
  interop_server=${SHROUD_INTEROP_SERVER:-$top/target/debug/examples/interop_server}
  [ -x "$interop_server" ] || (cd "$top" && cargo build --quiet -p shroud --example interop_server)
}

# venv NAME IMPORTS PACKAGE...: a python environment; $python is its interpreter, or empty.
venv() {
  local directory=$top/target/$1 imports=$2
  shift 2
  python=
  if ! python3 -m venv --help >/dev/null 2>&1; then
    echo "SKIPPED: $* need python3 with venv"
  elif { [ -x "$directory/bin/python" ] && "$directory/bin/python" -c "import $imports" 2>/dev/null; } ||
    { python3 -m venv "$directory" && "$directory/bin/pip" install -q --disable-pip-version-check "$@"; }; then
    python=$directory/bin/python
  else
    echo "SKIPPED: $* could not be installed"
  fi
}

# expect NAME WANTED COMMAND...: its output contains WANTED.
expect() {
  local name=$1 wanted=$2 output status=0 began=$SECONDS log
  shift 2
  output=$(timeout 120 "$@" 2>&1) || status=$?
  if [ $status -eq 0 ] && grep -qF -- "$wanted" <<<"$output"; then
    passed=$((passed + 1)); echo "$backend: $name"
  else
    failed=$((failed + 1))
    # 124: it did not end in time.
    echo "$backend: FAILED $name: status $status after $((SECONDS - began)) s, wanted \"$wanted\":"; tail -n 20 <<<"$output"
    for log in "$work/$backend/log" "$work/$backend.log"; do
      [ ! -s "$log" ] || { echo "the server's log:"; tail -n 5 "$log"; }
    done
  fi
}

# start_server [OPTION...]: sets $secure, $clear (URLs), $port (of TLS and QUIC) and $pem (its certificate).
start_server() {
  local directory=$work/$backend; rm -rf "$directory"; mkdir -p "$directory"
  rm -f "$work/input"; mkfifo "$work/input"
  "$interop_server" "$backend" "$directory" "$@" <"$work/input" >"$directory/log" 2>&1 &
  server=$!
  exec 7>"$work/input"
  until [ -s "$directory/ready" ]; do
    kill -0 "$server" 2>/dev/null || { cat "$directory/log"; exit 1; }
    sleep 0.05
  done
  read -r secure clear <"$directory/ready"
  port=${secure##*:} pem=$directory/certificate.pem
}

# The end of its input asks it to stop in order.
stop_server() {
  exec 7>&-
  wait "$server" || { echo "$backend: FAILED: the server did not stop cleanly"; cat "$work/$backend/log"; failed=$((failed + 1)); }
  server=
}

total() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
