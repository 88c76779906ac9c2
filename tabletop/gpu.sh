#!/usr/bin/env bash
# Trains embedded models for some minutes of a GPU on a machine that has torch and perhaps nothing else.
#
#   bash tabletop/gpu.sh base 9.4 [overrides]        the latent space, then text to image on it with these overrides;
#                                                    CLIP and the captioner beside them on the processors
#   bash tabletop/gpu.sh vae 9.7 [overrides]         the latent space alone
#   bash tabletop/gpu.sh diffusion 9.7 [overrides]   text to image alone; task.vae=FOLDER names the latent space
#   bash tabletop/gpu.sh --dry-run vae               the same at toy size, in seconds, on a processor
#
# The minutes count from here to the end. All processors but three render pictures while the GPU trains on those that
# are there. Every 90 seconds the weights go to $OUT/NAME/piece-NN.part, 15 MiB each, in half precision; NAME is vae,
# diffusion, clip or captioner. To go on with them, put the pieces into tabletop/carried/NAME before the next run;
# nothing else need be kept. From elsewhere it takes, where they are there:
#   WHEELS=FOLDER    wheels of the packages that the machine lacks; nothing is downloaded
#   BACKBONE=FOLDER  the AlexNet of LPIPS, by default models/tabletop/metric_models/alexnet
#   VAE=FOLDER       the autoencoder that base begins with, by default models/tabletop/sd/vae
#   OUT=FOLDER       where the pieces go, by default tabletop/pieces
#   PYTHON=python3
set -euo pipefail
cd "$(dirname "$0")/.."
began=$(date +%s.%N)
dry=0
if [ "${1:-}" = --dry-run ]; then dry=1; shift; fi
what=${1:?"base, vae or diffusion"}; shift
if [ $dry = 1 ]; then minutes=10; else minutes=${1:?"minutes"}; shift; fi
PYTHON=${PYTHON:-python3}; OUT=${OUT:-tabletop/pieces}; work=tabletop/gpu
BACKBONE=${BACKBONE:-models/tabletop/metric_models/alexnet}; VAE=${VAE:-models/tabletop/sd/vae}
export HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1
if [ -n "${WHEELS:-}" ]; then
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$work/site" "$WHEELS"/*.whl
  export PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}"
fi

# python and the driver of the GPU starve beside as many renderers as there are processors; three are theirs
read -ra cpus < <("$PYTHON" -c "import os; print(*sorted(os.sched_getaffinity(0)))")
cores=${#cpus[@]} own=() others=()
if [ "$cores" -gt 5 ]; then
  own=(taskset -c "$(IFS=,; echo "${cpus[*]:0:3}")") others=(taskset -c "$(IFS=,; echo "${cpus[*]:3}")")
fi
side=128 val=256 rounds=(--round-seconds 90) small=(device=cuda)
compositions=(500 6000) world=(500 10000 30000)
# all of them by the time that the autoencoder is done: a compiled denoiser would be compiled anew for more
if [ "$what" = base ]; then compositions=(500 4000) world=(500 8000); fi
if [ $dry = 1 ]; then
  side=64 val=2 rounds=(--round-seconds 1 --rounds 2) compositions=(4) world=(4)
  small=(train.batch_size=2 train.log_every=1 device=cpu)
fi

stop() {  # jobs, with all that they started: each is a process group
  for pid in "$@"; do kill -- "-$pid" 2>/dev/null || true; done
}

left() {  # minutes until a share of them all is over
  "$PYTHON" -c "import time; print(max(0.05, $minutes * $1 - (time.time() - $began) / 60))"
}

render() {  # more and more pictures; what was rendered is not rendered again
  trap 'echo "rendering has failed: there is nothing to train on" >&2; kill $$' ERR
  for round in "${!world[@]}"; do
    count=${compositions[$round]:-}
    if [ "$what" != diffusion ] && [ -n "$count" ]; then
      "${others[@]}" nice "$PYTHON" -m src.commands.tabletop_compositions --resolution $side --count "$count" \
        --out $work/compositions
    fi
    "${others[@]}" nice "$PYTHON" -m src.commands.tabletop_world --device cpu --resolution $side --val $val \
      --train "${world[$round]}" --out $work/world
  done
  touch $work/rendered
}

train() {  # name, share of the minutes, overrides and flags
  name=$1 share=$2; shift 2
  "${own[@]}" "$PYTHON" -m src.commands.tabletop_minutes --minutes "$(left "$share")" "${rounds[@]}" \
    --carried "tabletop/carried/$name" --pieces "$OUT/$name" "exp.config_path=configs/scratch/tabletop/$name.yaml" \
    "exp.run_dir=$work/$name" "val_data.folder=$work/world/val" train.deterministic=false train.ema_decay=0.999 train.lr=1e-3 "$@"
}

train_vae() {  # share of the minutes, overrides
  settings=(train.steps=4000 train.batch_size=64 "task.backbone=$BACKBONE" task.watched.subject.count=32
            "train_data.folders=[$work/compositions,$work/world/train]" task.whole_from=0.3
            task.terms.adversary_from=0.55)
  if [ $dry = 1 ]; then
    settings+=(task.watched.subject.count=2 task.watched.subject.side=64 task.model.latent_channels=4
               "task.model.block_out_channels=[8,8,8,8]")
  fi
  train vae "$1" "${settings[@]}" "${small[@]}" "${@:2}"
}

train_diffusion() {  # overrides and flags
  settings=(train.steps=8000 train.batch_size=256 "train_data.folder=$work/world/train" +train_data.mirrored=true)
  if [ $dry = 1 ]; then
    settings+=(task.warm_up.updates=1 "task.unet.block_out_channels=[16,16,16]" task.unet.sample_size=8
               task.text.hidden_size=16 task.text.intermediate_size=16 task.text.num_attention_heads=4
               task.unet.cross_attention_dim=16)
  fi
  train diffusion 1 "${settings[@]}" "${small[@]}" "$@"
}

train_describers() {  # on the processors, once they have rendered everything
  until [ -f $work/rendered ]; do sleep 1; done
  own=("${others[@]}")
  export OMP_NUM_THREADS=$((cores > 5 ? (cores - 3) / 2 : 1))
  seen=(task.model.vision_cfg.image_size=$side task.vision.image_size=$side)
  train clip 0.97 "${small[@]}" device=cpu "train_data.folder=$work/world/train" "${seen[0]}" &
  train captioner 0.97 "${small[@]}" device=cpu "train_data.folder=$work/world/train" "${seen[1]}"
  wait
}

train_base() {  # overrides of text to image
  local latents=$work/latents start=$VAE compiled=true
  if [ $dry = 1 ]; then start=null compiled=false; fi
  train_vae 0.33 task.start=$start & vae=$!
  # compiles what the next one finds compiled, and shows whether it can be; beside the renderers, which are nice
  { own=("${others[@]}"); until [ -f $work/world/val/images.npy ]; do sleep 1; done
    train_diffusion task.vae="$VAE" task.compiled=$compiled exp.run_dir=$work/first --pieces $work/none \
      --rounds 1 --round-seconds 1; } & first=$!
  train_describers & describers=$!
  background+=($vae $first $describers)
  until ! kill -0 $vae 2>/dev/null || [ "$(left 0.28)" = 0.05 ]; do sleep 1; done
  if kill -0 $first 2>/dev/null; then stop $first; compiled=false; elif ! wait $first; then compiled=false; fi
  train_diffusion --after $latents/config.json --after $work/rendered task.vae=$latents task.compiled=$compiled "$@" &
  diffusion=$!
  background+=($diffusion)
  if wait $vae; then better=$work/vae/model; else better=$VAE; fi
  cp -r "$better" $latents.part && mv $latents.part $latents
  wait $diffusion
  wait $describers || echo "CLIP or the captioner did not come to its end"
}

rm -rf $work/{vae,diffusion,first,clip,captioner,latents,latents.part,rendered}
set -m
render & background=($!)
trap 'stop "${background[@]}"' EXIT
trap 'exit 143' TERM INT
case $what in
  base) train_base "$@" ;;
  vae) train_vae 1 "$@" & background+=($!); wait $! ;;
  diffusion) train_diffusion task.vae="$VAE" "$@" & background+=($!); wait $! ;;
  *) echo "$what: expected base, vae or diffusion" >&2; exit 2 ;;
esac
