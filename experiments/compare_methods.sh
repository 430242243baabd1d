#!/usr/bin/env bash
# The loop against its controls at equal reference tokens: the same recipe with another method, side by side.
#
#   experiments/compare_methods.sh OUT KEY=VALUE …
#   experiments/compare_methods.sh runs/compare data.source=PAIRS.jsonl evals.0.data=VERILOG-EVAL data.limit=1000 data.max_chars=null
#
# Every method shows each reference iterations x epochs times: sft without candidates, rtlcoder with candidates of the
# untouched model sampled once, itertl with fresh ones each iteration. Stop it anywhere; the same command goes on.
set -euo pipefail
out=${1:?folder for the runs}
shift
for method in itertl itertl-softmax rtlcoder sft; do
  itertl run experiments/real-64.yaml "method=$method" "$@" --out "$out/$method"
done
itertl report "$out"/itertl "$out"/itertl-softmax "$out"/rtlcoder "$out"/sft --out "$out/report"
