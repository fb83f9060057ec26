#!/usr/bin/env bash
# Installs the Debian packages listed in FILE that are missing, if this is Debian and we are root; else says what to do.
# Those marked `unpack` are not installed: their files are laid into FOLDER, so that no service of theirs is started.
set -euo pipefail
list=$1 folder=$2
skips="tests of real RTSP streams, of TLS and of Prometheus will skip"
command -v dpkg-query >/dev/null || { echo "note: not a Debian system; $skips" >&2; exit 0; }
export DEBIAN_FRONTEND=noninteractive

missing=()
for package in $(awk '!/^ *#/ && NF == 1' "$list"); do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" -ne 0 ]; then
  echo "note: $skips; for them run: sudo apt-get install ${missing[*]}" >&2
elif [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

for package in $(awk '!/^ *#/ && $2 == "unpack" { print $1 }' "$list"); do
  [ -e "$folder/.$package" ] && continue
  half=$(mktemp -d)
  trap 'rm -rf "$half"' EXIT
  apt-cache show "$package" >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ] || apt-get update -qq
  if (cd "$half" && apt-get download -qq "$package" 2>"$half/why"); then
    mkdir -p "$folder"
    dpkg-deb -x "$half"/*.deb "$folder"
    touch "$folder/.$package"
  else
    echo "note: $package can't be fetched; $skips: $(cat "$half/why")" >&2
  fi
done
