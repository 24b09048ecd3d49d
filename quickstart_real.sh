#!/usr/bin/env bash
# RealNet from a fresh clone, on the CPU or a GPU: installs into .venv, trains a small RealNet of two streams (x2) on
# scikit-image's photographs, degraded in second order, first with a pixel loss, then with an adversarial one, and
# compares both on low-quality photographs. Interrupted? Run it again: what is complete is kept, training continues.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./install.sh
bin=.venv/bin

data=datasets/sample
[ -d "$data/photos/real" ] || { rm -rf "$data/photos"; "$bin/stea-data" sample "$data/photos"; }
[ -d "$data/tiles" ] || "$bin/stea-data" subimages "$data/photos/train" --out "$data/tiles" --size 240 --step 180
[ -d "$data/train.lmdb" ] || "$bin/stea-data" lmdb "$data/tiles" --out "$data/train.lmdb"

for stage in RealNet-T RealNet-T-GAN; do
    [ -f "experiments/sample_${stage}_x2/models/net_g_latest.pth" ] \
        || "$bin/stea-train" -opt "options/sample/${stage}_x2.yml" --auto_resume
done
"$bin/stea-compare" -opt options/compare/quick_real_x2.yml
echo "Weights: experiments/sample_RealNet-T-GAN_x2/models/net_g_latest.pth"
echo "Losses and crops of the training: $bin/tensorboard --logdir tb_logger"
