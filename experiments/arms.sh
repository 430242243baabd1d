#!/usr/bin/env bash
# Arms of one recipe, side by side on one machine: each line of ARMS is a name and the KEY=VALUE settings that make the arm.
#
#   experiments/arms.sh OUT RECIPE ARMS.txt SEEDS [KEY=VALUE …]
#   experiments/arms.sh runs/qwen experiments/qwen-gpu.yaml experiments/qwen-gpu-arms.txt "0 1" model.path=MODEL data.source=PAIRS.jsonl
#
# All arms of a seed run at once, the next seed after them. Stop it anywhere; the same command goes on.
set -uo pipefail
out=${1:?folder for the runs}
recipe=${2:?recipe}
arms=${3:?file of arms}
seeds=${4:?seeds}
shift 4
for seed in $seeds; do
  while read -r name settings; do
    case $name in ''|'#'*) continue ;; esac
    mkdir -p "$out/seed-$seed"
    # shellcheck disable=SC2086
    python -m itertl run "$recipe" "seed=$seed" "$@" $settings --out "$out/seed-$seed/$name" > "$out/seed-$seed/$name.log" 2>&1 < /dev/null &
  done < "$arms"
  wait
done
