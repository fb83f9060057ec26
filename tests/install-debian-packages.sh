#!/usr/bin/env bash
# Installs the Debian packages listed in FILE that are missing, if this is Debian and we are root; else says what to do.
set -euo pipefail
mapfile -t wanted < <(grep -vE '^\s*(#|$)' "$1")
command -v dpkg-query >/dev/null || { echo "note: not a Debian system; tests of real RTSP streams and of TLS will skip" >&2; exit 0; }
missing=()
for package in "${wanted[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "note: tests of real RTSP streams and of TLS will skip; for them run: sudo apt-get install ${missing[*]}" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
