# Shared by tools/dist_*.sh and tools/srun_*.sh.
ROOT=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=${PYTHON:-python3}
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"

# need_number PROCESSES: ends the script unless it is a whole number from 1
need_number() {
    case $1 in
        '' | 0 | *[!0-9]*)
            echo "error: GPUS is '$1'; give the number of processes, a whole number from 1" >&2
            exit 2 ;;
    esac
}

# need_words COUNT USAGE WORDS…: ends the script with USAGE unless there are COUNT words
need_words() {
    if [ $(( $# - 2 )) -lt "$1" ]; then
        echo "usage: bash $0 $2" >&2
        exit 2
    fi
}

# need_option WORD…: ends the script where a word that is no option comes first, as the published WORK_DIR did
need_option() {
    case ${1:-} in
        '' | -*) ;;
        *)
            echo "error: '$1' is no option: in the place of a work folder, name the weights with --pretrained FILE and" \
                "the features to write with --output FILE.npy" >&2
            exit 2 ;;
    esac
}

# launch PROCESSES SCRIPT ARGUMENTS…: torchrun on this node, in the place of this shell so that signals reach it
launch() {
    processes=$1
    script=$2
    shift 2
    need_number "$processes"
    if [ -z "${OMP_NUM_THREADS:-}" ] && ! command -v nvidia-smi > /dev/null 2>&1; then
        cores=$(getconf _NPROCESSORS_ONLN)
        export OMP_NUM_THREADS=$(( cores > processes ? cores / processes : 1 ))
    fi
    export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}  # threads that wait leave their core to others: see GETTING_STARTED
    exec "$PYTHON" -m openselfsup.launch --nproc_per_node "$processes" \
        --nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}" \
        --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${MASTER_PORT:-${PORT:-29500}}" \
        "$ROOT/tools/$script" "$@"
}

# queue PARTITION PROCESSES SCRIPT ARGUMENTS…: one SLURM task a process, GPUS_PER_NODE to a node
queue() {
    partition=$1
    processes=$2
    script=$3
    shift 3
    need_number "$processes"
    per_node=${GPUS_PER_NODE:-8}
    if [ "$processes" -lt "$per_node" ]; then
        per_node=$processes
    fi
    export MASTER_PORT=${MASTER_PORT:-${PORT:-29500}}
    # SRUN_ARGS is several words on purpose
    exec srun -p "$partition" --job-name "${JOB_NAME:-few-shot-wsi}" --gres "gpu:$per_node" --ntasks "$processes" \
        --ntasks-per-node "$per_node" --cpus-per-task "${CPUS_PER_TASK:-5}" --kill-on-bad-exit 1 ${SRUN_ARGS:-} \
        "$PYTHON" -u "$ROOT/tools/$script" "$@"
}
