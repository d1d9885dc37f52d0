#!/usr/bin/env bash
# What a GPU brings and whether it is right, in at most nine minutes; all figures in one folder.
#   python benchmarks/gpu_pack.py TILES PACK         # once, on any machine
#   bash benchmarks/gpu.sh PACK OUT [PART …]         # on the GPU machine
# Parts: right, fast, meta, near, learn (these by default); compile and encoders, which take minutes more.
# Each part has a time limit of its own, and one that fails keeps no other from running. EPOCHS: of learn [160].
set -u
cd "$(dirname "$0")/.."
pack=$(realpath "$1") out=$(realpath -m "$2")
shift 2
mkdir -p "$out"
PYTHON=${PYTHON:-python3}
export PYTHON PYTHONUNBUFFERED=1
failed=0

# part SECONDS NAME COMMAND…: its output goes to OUT/NAME.txt too
part() {
    seconds=$1 name=$2
    shift 2
    begin=$(date +%s)
    echo "== $name"
    timeout "$seconds" "$@" 2>&1 | tee "$out/$name.txt"
    code=${PIPESTATUS[0]}
    echo "== $name: exit code $code after $(( $(date +%s) - begin )) s"
    [ "$code" = 0 ] || failed=1
}

learn() {
    work=$(mktemp -d)
    bash tools/dist_train.sh configs/tiles/clp_r18_128.py 1 --work_dir "$work" --cfg-options \
        data.train.data_source.list_file="$pack/meta/train.txt" data.train.data_source.root="$pack/data" \
        custom_hooks.1.list_file="$pack/meta/train_labeled.txt" \
        custom_hooks.1.test_list_file="$pack/meta/test_labeled.txt" custom_hooks.1.root="$pack/data" \
        total_epochs="${EPOCHS:-160}" &&
        "$PYTHON" tools/extract_backbone_weights.py "$work/latest.pth" "$work/clp.pth" &&
        for split in train test; do
            "$PYTHON" wsi_workdir/extract.py --pretrained "$work/clp.pth" --config configs/tiles/extract_128.py \
                --list "$pack/meta/${split}_labeled.txt" --root "$pack/data" --output "$work/feats/$split.npy" --quiet
        done
    code=$?
    cp "$work"/*.log.json "$out/learn.log.json"
    cp "$work"/feats/*.npy "$out"
    return $code
}
export -f learn
export pack out

[ $# -gt 0 ] || set -- right fast meta near learn
for name; do
    case $name in
        right) part 150 right "$PYTHON" benchmarks/gpu_right.py "$pack" --out "$out/right.json" ;;
        fast) part 120 fast "$PYTHON" benchmarks/training.py --batch 256 --steps 8 --workers 16 \
            --tiles "$pack/originals" --out "$out/fast.json" ;;
        compile) part 300 compile "$PYTHON" benchmarks/training.py --batch 256 --steps 8 --compile \
            --out "$out/compile.json" ;;
        meta) part 60 meta "$PYTHON" benchmarks/gpu_meta_test.py --profile "$out/meta.profile.txt" ;;
        near) part 120 near "$PYTHON" benchmarks/protocols.py --only near --models 1 --device cuda ;;
        encoders) part 280 encoders "$PYTHON" benchmarks/gpu_encoders.py --out "$out/encoders.json" ;;
        learn) part 240 learn bash -c learn ;;
        *) echo "error: part '$name'; there are right, fast, meta, near, learn, compile and encoders" >&2; exit 2 ;;
    esac
done
exit $failed
