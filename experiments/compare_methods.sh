#!/usr/bin/env bash
# The loop against its controls at equal reference tokens: the same recipe with another method, side by side.
#
#   experiments/compare_methods.sh OUT RECIPE KEY=VALUE …
#   experiments/compare_methods.sh runs/compare experiments/real-64.yaml data.source=PAIRS.jsonl evals.0.data=VERILOG-EVAL
#
# METHODS: which, instead of all four. AT_ONCE=1: all side by side, on a machine that has room. Every method shows each
# reference iterations x epochs times: sft without candidates, rtlcoder with candidates of the untouched model sampled once,
# itertl with fresh ones each iteration. Stop it anywhere; the same command goes on.
set -euo pipefail
out=${1:?folder for the runs}
recipe=${2:?recipe}
shift 2
read -ra methods <<< "${METHODS:-itertl itertl-softmax rtlcoder sft}"
pids=()
for method in "${methods[@]}"; do
  mkdir -p "$out"
  python -m itertl run "$recipe" "method=$method" "$@" --out "$out/$method" > "$out/$method.log" 2>&1 &
  pids+=($!)
  [ -n "${AT_ONCE:-}" ] || wait $!
done
[ -z "${AT_ONCE:-}" ] || for pid in "${pids[@]}"; do wait "$pid"; done
python -m itertl report "${methods[@]/#/$out/}" --out "$out/report"
