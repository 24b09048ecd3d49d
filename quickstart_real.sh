#!/usr/bin/env bash
# RealNet from a fresh clone, on the CPU or a GPU: installs into .venv, trains a small RealNet of two streams (x2) on
# scikit-image's photographs, degraded in second order, first with a pixel loss, then with an adversarial one, and
# enlarges low-quality photographs with both. Interrupted? Run it again: what is complete is kept, training continues.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./install.sh
bin=.venv/bin

data=datasets/sample
[ -d "$data/photos/real" ] || { rm -rf "$data/photos"; "$bin/stea-data" sample "$data/photos"; }
[ -d "$data/tiles" ] || "$bin/stea-data" subimages "$data/photos/train" --out "$data/tiles" --size 240 --step 180
[ -d "$data/train.lmdb" ] || "$bin/stea-data" lmdb "$data/tiles" --out "$data/train.lmdb"

mkdir -p results
for stage in RealNetT RealNetT-GAN; do
    [ -f "experiments/sample_${stage}_x2/models/net_g_latest.pth" ] \
        || "$bin/python" -m stea_arch.train -opt "options/sample/train_${stage}_x2.yml" --auto_resume
    echo "Testing $stage on low-quality photographs ..."
    log=results/sample_test_$stage.log
    "$bin/python" -m stea_arch.test -opt "options/sample/test_${stage}_x2.yml" >"$log" 2>&1 || { cat "$log"; exit 1; }
done

echo
echo "Results of both stages:  $PWD/results/sample_test_RealNetT_x2 and $PWD/results/sample_test_RealNetT-GAN_x2"
echo "Losses and crops:        tensorboard --logdir tb_logger"
