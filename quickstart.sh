#!/usr/bin/env bash
# From a fresh clone to a page, a picture and a table: installs into .venv, prepares LMDBs from scikit-image's
# photographs, trains LabNet-T and a small EDSR for a few minutes on the CPU (or a GPU), and compares both with bicubic
# under eight blur kernels. Interrupted? Run it again: what is complete is kept, training continues from its last state.
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
for network in LabNet-T EDSR; do
    [ -f "experiments/sample_${network}_x2/models/net_g_latest.pth" ] \
        || "$bin/stea-train" -opt "options/sample/${network}_x2.yml" --auto_resume
done
"$bin/stea-compare" -opt options/compare/quick_x2.yml
echo "Weights: experiments/sample_LabNet-T_x2/models/net_g_latest.pth"
