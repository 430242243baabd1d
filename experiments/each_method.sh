#!/usr/bin/env bash
# Every method for one iteration on the same 32 pairs and the same candidates.
#
#   experiments/each_method.sh OUT data.source=PAIRS.jsonl [KEY=VALUE …]
#
# The first run samples and scores; the others begin from a copy of its folder, in which only training is stale. Methods that
# sample nothing start afresh. Prints one line a method: loss, cross-entropy, term, tokens, seconds of training.
set -euo pipefail
out=${1:?folder for the runs}
shift
mkdir -p "$out"
first=itertl
for method in itertl itertl-softmax rtlcoder rrhf brio slic dpo raft grpo reinforce coderl rltf sft cpt; do
  folder="$out/$method"
  case $method in
    coderl | rltf) extra=("score.combine=$method") ;;
    *) extra=() ;;
  esac
  if [ "$method" != "$first" ] && [ ! -e "$folder" ] && [ "$method" != sft ] && [ "$method" != cpt ]; then
    mkdir -p "$folder"
    cp -r "$out/$first/." "$folder/"
    rm -rf "$folder/iter-00/checkpoint" "$folder/iter-00/train.jsonl" "$folder/timings.jsonl"
  fi
  itertl run experiments/methods-32.yaml "method=$method" "${extra[@]}" "$@" --out "$folder" >"$out/$method.log" 2>&1 ||
    { tail -5 "$out/$method.log"; echo "$method: failed"; continue; }
  python - "$method" "$folder" <<'PYTHON'
import json, pathlib, sys
method, folder = sys.argv[1], pathlib.Path(sys.argv[2])
stage = json.loads((folder / "iter-00/manifest.json").read_text())["stages"]["train"]["summary"]
seconds = [json.loads(line)["seconds"] for line in (folder / "timings.jsonl").read_text().splitlines() if '"train"' in line]
first = [json.loads(line)["loss"] for line in (folder / "iter-00/train.jsonl").read_text().splitlines()]
print(f"{method:15} loss {first[0]:8.4f} -> {first[-1]:8.4f}  mean {stage['loss']:8.4f}  ce {stage['loss_ce']:7.4f}  term {stage['loss_ranking']:9.4f}  "
      f"tokens {stage['tokens']:6} of {stage['plain_tokens']:6}  {seconds[-1]:6.1f} s  KL {stage['kl_old_new'] if stage['kl_old_new'] is not None else float('nan'):8.2f}")
PYTHON
done
