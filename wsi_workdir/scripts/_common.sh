# Shared by the scripts beside it (POSIX sh): where the project is, which Python, and how a protocol is run.
#
#   PROTOCOL   protocol file                       (configs/protocols/paper.py)
#   WORKERS    processes of meta-testing           (one a core)
#   GPUS       processes of pre-training           (one a GPU)
#   PYTHON     interpreter                         (that of the active environment, else .venv's, else python3)
#
# Options given to a script go on to run_protocol.py: --dry_run, --fresh, --shard 2/8, --backend dask …
set -eu
cd "$(dirname "$0")/../.."

if [ -z "${PYTHON:-}" ]; then
    for environment in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}" "$PWD/.venv" ""; do
        PYTHON=$environment/bin/python
        if [ -n "$environment" ] && [ -x "$PYTHON" ]; then break; fi
        PYTHON=python3
    done
fi
export PYTHON

# protocol NAME [options]: run_protocol.py takes the place of this shell, so that its exit code and signals are the
# script's. Output also goes to wsi_workdir/logs/NAME.txt, unless it is piped: then the user keeps the log, as in the
# published `sh near_domain.sh 2>&1 | tee wsi_workdir/logs/near_domain.txt`.
protocol() {
    name=$1
    shift
    [ -p /dev/stdout ] || set -- "--log=wsi_workdir/logs/$name.txt" "$@"
    run_protocol "$@"
}

run_protocol() {
    [ -z "${WORKERS:-}" ] || set -- --workers "$WORKERS" "$@"
    [ -z "${GPUS:-}" ] || set -- --gpus "$GPUS" "$@"
    exec "$PYTHON" wsi_workdir/run_protocol.py --protocol "${PROTOCOL:-configs/protocols/paper.py}" "$@"
}
