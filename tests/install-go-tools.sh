#!/usr/bin/env bash
# Builds the tools that check compose.yaml and the Helm chart, pinned, once: tests/install-go-tools.sh [FOLDER].
# Helm takes 90 s, Compose's own loader 10 s. Prints the folder that holds them; exits 3 where Go is missing.
set -euo pipefail
helm=helm.sh/helm/v3/cmd/helm@v3.22.0
compose=github.com/compose-spec/compose-go/v2/cmd@v2.16.2

folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/mien/tools}
wanted="$helm $compose"
[ "$(cat "$folder/versions" 2>/dev/null)" != "$wanted" ] || { echo "$folder"; exit 0; }
command -v go >/dev/null || { echo "Go 1.26 or newer is needed: https://go.dev/dl" >&2; exit 3; }
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9                                   # whoever comes second finds them built
[ "$(cat "$folder/versions" 2>/dev/null)" != "$wanted" ] || { echo "$folder"; exit 0; }
GOBIN=$folder GOFLAGS=-mod=mod go install "$helm" >&2
GOBIN=$folder GOFLAGS=-mod=mod go install "$compose" >&2
mv "$folder/cmd" "$folder/compose"
echo "$wanted" > "$folder/versions"
echo "$folder"
