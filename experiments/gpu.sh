#!/usr/bin/env bash
# What a machine with a GPU is asked first, in this order: tests, benchmarks, then ITERTL against its controls at equal tokens.
#
#   experiments/gpu.sh OUT [profile] [tests] [sampling PAIRS.jsonl] [benchmarks RUN] [compare PAIRS.jsonl MACHINE HUMAN] [day PAIRS.jsonl MACHINE HUMAN V2]
#
# RUN: a run's folder, of which recipe.yaml, problems.jsonl and iter-*/scored.jsonl are read. Each part writes its result under
# OUT; all of a part is tried, whatever of it fails.
set -uo pipefail
out=${1:?folder for the results}
shift
mkdir -p "$out"
timed() {
  local begin=$SECONDS
  "$@"
  echo "($((SECONDS - begin)) s, status $?: $*)"
}
while [ $# -gt 0 ]; do
  case $1 in
    profile)
      timed timeout 120 python experiments/profile_gpu.py 2>&1 | tee "$out/profile.txt"
      shift
      ;;
    tests)
      timed python -m pytest -m gpu tests -p no:cacheprovider --durations=8 2>&1 | tee "$out/tests.txt"
      shift
      ;;
    sampling)
      timed timeout 150 python benchmarks/sampling.py --pairs "${2:?pairs}" --one 2 --json 2>&1 | tee "$out/sampling.json"
      shift 2
      ;;
    benchmarks)
      run=${2:?run folder}
      step="timeout 150 python benchmarks/train_step.py"
      timed $step --shapes fixed --fixed-groups 32 --precisions bf16 --attentions sdpa flex --rounds 3 --no-memory --json 2>&1 | tee "$out/fixed-32.json"
      timed $step --shapes sampled --run "$run" --precisions bf16 --rounds 3 --json 2>&1 | tee "$out/sampled.json"
      timed timeout 90 python benchmarks/methods.py --groups 16 --rounds 2 2>&1 | tee "$out/methods.txt"
      shift 2
      ;;
    compare)
      timed itertl study experiments/real-gpu-study.yaml --out "$out/compare" --at-once 3 \
        data.source="${2:?pairs}" evals.0.data="${3:?verilog-eval machine}" evals.1.data="${4:?verilog-eval human}"
      shift 4
      ;;
    day)  # hours: the same call goes on; the order of the arms is such that a stopped day already compares
      timed itertl study experiments/qwen-1.5b-study.yaml --out "$out/qwen-1.5b" --at-once 2 --keep-last \
        data.source="${2:?pairs}" evals.0.data="${3:?verilog-eval machine}" evals.1.data="${4:?verilog-eval human}" evals.2.data="${5:?verilog-eval v2}"
      shift 5
      ;;
    *) echo "unknown part: $1" >&2; exit 2 ;;
  esac
done
