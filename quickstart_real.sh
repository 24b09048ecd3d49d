#!/usr/bin/env bash
# RealNet from a fresh clone, on the CPU or a GPU: installs into .venv, trains a small two-stream RealNet x2 on
# photographs that scikit-image ships, degraded in second order - pixel stage, then GAN stage - and applies both to low-quality
# photographs. Interrupted? Run it again: what is complete is kept, training continues from its last state.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./install.sh
bin=.venv/bin

data=datasets/sample
[ -d "$data/photos/real" ] || { rm -rf "$data/photos"; "$bin/stea-data" sample "$data/photos"; }
[ -d "$data/tiles" ] || "$bin/stea-data" subimages "$data/photos/train" --out "$data/tiles" --size 240 --step 180
[ -d "$data/train.lmdb" ] || "$bin/stea-data" lmdb "$data/tiles" --out "$data/train.lmdb"

for stage in RealNetT RealNetT-GAN; do
    [ -f "experiments/sample_${stage}_x2/models/net_g_latest.pth" ] \
        || "$bin/python" -m stea_arch.train -opt "options/sample/train_${stage}_x2.yml" --auto_resume
    "$bin/python" -m stea_arch.test -opt "options/sample/test_${stage}_x2.yml"
done
"$bin/python" -m stea_arch.strengths -opt options/sample/test_RealNetT-GAN_x2.yml "$data/photos/real/page.png" \
    --out results/sample_strengths.png

echo
echo "Results of both stages:  $PWD/results/sample_test_RealNetT_x2 and $PWD/results/sample_test_RealNetT-GAN_x2"
echo "What the strengths do:   $PWD/results/sample_strengths.png"
echo "Losses and crops:        tensorboard --logdir tb_logger"
