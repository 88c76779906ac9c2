#!/usr/bin/env bash
# Times training and generating at the true size of the bases within the minutes of one loan of a GPU.
#
#   bash benchmarks/real_size.sh 9.5 [sd15] [sdxl] [sd3] [flux_dev]
#   bash benchmarks/real_size.sh --dry-run            SD 1.5 and SDXL at toy size, on a processor
#
# Nothing is downloaded: the weights are random. WHEELS=FOLDER holds wheels of packages that the machine lacks,
# OUT=FOLDER gets the log (by default outputs), PYTHON=python3 is the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1:-}" = --dry-run ]; then minutes=10; set -- tiny15 tinyxl; else minutes=${1:?"minutes"}; shift; fi
PYTHON=${PYTHON:-python3}; OUT=${OUT:-outputs}
export HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
if [ -n "${WHEELS:-}" ]; then
  site=$(mktemp -d)
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$WHEELS"/*.whl
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
mkdir -p "$OUT"
# each line is printed when it is known, so that what the clock cuts off is only what comes after
seconds=$("$PYTHON" -c "print(round(60 * $minutes))")
timeout "$seconds" "$PYTHON" -m benchmarks.bench_real_size "$@" 2>&1 | tee "$OUT/real_size.log"
