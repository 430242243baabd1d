#!/usr/bin/env bash
# The paper's loss on two scores, from the same model, problems and seeds: the paper's own score, and the ladder of function.
#
#   experiments/function.sh OUT [KEY=VALUE …]
#
# Both take all scores, so that the report of each says what the other would have seen. Stop it anywhere; the same command goes on.
set -euo pipefail
out=${1:?folder for the runs}
shift
mkdir -p "$out"
recipe=$(dirname "$0")/function-64.yaml
python -m itertl run "$recipe" "$@" --out "$out/itertl-function"
python -m itertl run "$recipe" score.combine=weights 'score.weights={rtlcoder: 1}' 'score.ladder={}' "$@" --out "$out/itertl"
python -m itertl report "$out/itertl" "$out/itertl-function" --out "$out/report"
