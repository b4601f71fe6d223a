#!/usr/bin/env bash
# Compares engines in CI: compare.sh MODEL OUT [options of `webnn-pool compare`]
#
# Writes OUT/compare.json, .xml (JUnit) and .html. With a baseline in OUT/baseline.json, which the main branch has kept, what became
# slower, larger or wrong since fails as well. The exit status is that of the comparison: 1 where a check failed.
set -euo pipefail

model=$1 out=$2
shift 2
mkdir -p "$out"
options=(--json "$out/compare.json" --junit "$out/compare.xml" --html "$out/compare.html")

# What this project promises its users: these run, with right numbers, and quickly enough.
options+=(--require "${REQUIRE:-chromium-headless-shell/wasm}" --max-p95-ms "${MAX_P95_MS:-1000}")
if [[ -f $out/baseline.json ]]; then
  options+=(--baseline "$out/baseline.json")
fi

webnn-pool compare "$model" "${options[@]}" "$@"
