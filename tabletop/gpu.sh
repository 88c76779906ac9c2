#!/usr/bin/env bash
# Trains one embedded model for some minutes of a GPU on a machine that has torch and perhaps nothing else.
#
#   bash tabletop/gpu.sh vae 9.7 [overrides]         the latent space
#   bash tabletop/gpu.sh diffusion 9.7 [overrides]   text to image; task.vae=FOLDER names the latent space
#   bash tabletop/gpu.sh --dry-run vae               the same at toy size, in seconds, on a processor
#
# The minutes count from here to the end. All processors render pictures while the GPU trains on those that are there.
# Every minute the weights go to $OUT/piece-NN.part, 15 MiB each, in half precision. To go on with them, put the pieces
# into tabletop/carried before the next run; nothing else need be kept. From elsewhere it takes, where they are there:
#   WHEELS=FOLDER    wheels of the packages that the machine lacks; nothing is downloaded
#   BACKBONE=FOLDER  the AlexNet of LPIPS, by default models/tabletop/metric_models/alexnet
#   OUT=FOLDER       where the pieces go, by default tabletop/pieces
#   PYTHON=python3
set -euo pipefail
cd "$(dirname "$0")/.."
began=$(date +%s.%N)
dry=0
if [ "${1:-}" = --dry-run ]; then dry=1; shift; fi
what=${1:?"vae or diffusion"}; shift
if [ $dry = 1 ]; then minutes=10; else minutes=${1:?"minutes"}; shift; fi
PYTHON=${PYTHON:-python3}; OUT=${OUT:-tabletop/pieces}; work=tabletop/gpu
export HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
if [ -n "${WHEELS:-}" ]; then
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$work/site" "$WHEELS"/*.whl
  export PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}"
fi

side=128 sizes="500 5000 20000" val=256 rounds=(--round-seconds 60) settings=()
if [ "$what" = vae ]; then
  settings=(task.backbone="${BACKBONE:-models/tabletop/metric_models/alexnet}"
            "train_data.folders=[$work/compositions,$work/world/train]"
            task.watched.subject.count=32 train.batch_size=64 train.lr=1e-3 train.ema_decay=0.999)
else
  settings=("train_data.folder=$work/world/train" train.batch_size=512 train.lr=1e-3 train.ema_decay=0.999)
fi
if [ $dry = 1 ]; then
  side=64 sizes="4" val=2 rounds=(--round-seconds 1 --rounds 2)
  settings+=(train.batch_size=2 train.log_every=1 device=cpu)
  if [ "$what" = vae ]; then
    settings+=(task.watched.subject.count=2 task.watched.subject.side=64 "task.model.block_out_channels=[8,8,8,8]"
               task.model.latent_channels=4)
  else
    settings+=(task.warm_up.updates=1 "task.unet.block_out_channels=[16,16,16]" task.unet.sample_size=8
               task.text.hidden_size=16 task.text.intermediate_size=16 task.text.num_attention_heads=4
               task.unet.cross_attention_dim=16 "task.vae=${VAE:-models/tabletop/sd/vae}")
  fi
fi

rm -rf "$work/run"
render() {  # more and more pictures; what was rendered is not rendered again
  for size in $sizes; do
    nice "$PYTHON" -m src.commands.tabletop_world --device cpu --resolution $side --train "$size" --val $val --out $work/world
    if [ "$what" = vae ]; then
      nice "$PYTHON" -m src.commands.tabletop_compositions --resolution $side --count "$size" --out $work/compositions
    fi
  done
}
render & renderer=$!
trap 'pkill -P $renderer 2>/dev/null || true; kill $renderer 2>/dev/null || true' EXIT
left=$("$PYTHON" -c "import time; print($minutes - (time.time() - $began) / 60)")
"$PYTHON" -m src.commands.tabletop_minutes --minutes "$left" "${rounds[@]}" --carried tabletop/carried \
  --pieces "$OUT" exp.config_path="configs/scratch/tabletop/$what.yaml" exp.run_dir=$work/run \
  "val_data.folder=$work/world/val" train.deterministic=false "${settings[@]}" "$@"
