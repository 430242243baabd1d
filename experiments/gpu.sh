#!/usr/bin/env bash
# What a machine with a GPU is asked first, in this order: tests, benchmarks, then ITERTL against its controls at equal tokens.
#
#   experiments/gpu.sh OUT [tests] [benchmarks] [compare PAIRS.jsonl VERILOG-EVAL]
#
# Each part writes its result under OUT and can be asked for alone; without a part named all but the comparison are run. The
# comparison (experiments/compare_methods.sh) stops anywhere and goes on with the same command.
set -euo pipefail
out=${1:?folder for the results}
shift
mkdir -p "$out"
[ $# -gt 0 ] || set -- tests benchmarks
while [ $# -gt 0 ]; do
  case $1 in
    tests) python -m pytest -m gpu tests 2>&1 | tee "$out/tests.txt" ;;
    benchmarks)
      for precision in float32 bf16; do
        python benchmarks/train_step.py --shapes fixed --precisions $precision --rounds 5 --json | tee "$out/train_step-$precision.json"
      done
      python benchmarks/train_step.py --shapes sampled --precisions bf16 --no-memory --json | tee "$out/train_step-sampled.json"
      python benchmarks/methods.py --groups 32 --rounds 3 --json | tee "$out/methods.json"
      ;;
    compare)
      experiments/compare_methods.sh "$out/compare" data.source="${2:?pairs}" evals.0.data="${3:?verilog-eval}" \
        data.limit=1000 data.max_chars=null train.max_length=1024 sample.max_new_tokens=384 evals.0.max_new_tokens=384
      shift 2
      ;;
    *) echo "unknown part: $1" >&2; exit 2 ;;
  esac
  shift
done
