#!/usr/bin/env bash
# From a fresh clone to a table and a picture: installs into .venv, prepares LMDBs from scikit-image's photographs,
# trains LabNet-T and a small EDSR for a few minutes on the CPU (or a GPU), tests both and bicubic under eight blur
# kernels. Interrupted? Run it again: what is complete is kept, training continues from its last state.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
./install.sh
bin=.venv/bin

data=datasets/sample
[ -d "$data/photos" ] || "$bin/stea-data" sample "$data/photos"
[ -d "$data/tiles" ] || "$bin/stea-data" subimages "$data/photos/train" --out "$data/tiles" --size 240 --step 180
[ -d "$data/train.lmdb" ] || "$bin/stea-data" lmdb "$data/tiles" --out "$data/train.lmdb"
[ -d "$data/val.lmdb" ] || "$bin/stea-data" lmdb "$data/photos/val" --out "$data/val.lmdb"

# a run that is complete is not trained again; delete its folder under experiments/ to train it anew
for network in LabNetT EDSR; do
    name=sample_${network}_x2
    [ -f "experiments/$name/models/net_g_latest.pth" ] \
        || "$bin/python" -m stea_arch.train -opt "options/sample/train_${network}_x2.yml" --auto_resume
done
mkdir -p results
for network in Bicubic EDSR LabNetT; do
    echo "Testing $network under eight kernels ..."
    log=results/sample_test_$network.log
    "$bin/python" -m stea_arch.test -opt "options/sample/test_${network}_x2.yml" >"$log" 2>&1 || { cat "$log"; exit 1; }
done

echo
"$bin/stea-report" results/sample_test_{Bicubic,EDSR,LabNetT}_x2 --table results/sample_x2.md --picture results/sample_x2.png
echo
echo "Table:   $PWD/results/sample_x2.md"
echo "Picture: $PWD/results/sample_x2.png   (input, bicubic, EDSR, LabNet-T, truth)"
echo "Weights: $PWD/experiments/sample_LabNetT_x2/models/net_g_latest.pth"
