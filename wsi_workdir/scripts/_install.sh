# An environment with everything installed (POSIX sh, sourced in the project's root): the active one, else .venv.
# Installs again only where the requirements have changed.
#   install FILE…   files of requirements; leaves the interpreter in $PYTHON
install() {
    environment=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
    [ -n "$environment" ] || make_environment
    PYTHON=$environment/bin/python
    export PYTHON
    for file in "$@"; do
        stamp=$environment/.few-shot-wsi-$(echo "$file" | tr / -)
        wanted=$(cksum < "$file")
        if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
            if ! "$PYTHON" -m pip install --quiet --dry-run --no-index -r "$file" > /dev/null 2>&1; then
                echo "installing what $file names into $environment (several GB where PyTorch is missing)"
                "$PYTHON" -m pip install --disable-pip-version-check -r "$file"
            fi
            echo "$wanted" > "$stamp" || echo "notice: $environment is read-only, it is checked again next time" >&2
        fi
    done
}

make_environment() {
    environment=$PWD/.venv
    "$environment/bin/python" -m pip --version > /dev/null 2>&1 && return
    if ! "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "error: Python 3.11 or newer is needed; name it as PYTHON=/path/to/python3" >&2
        exit 2
    fi
    echo "making a virtual environment in .venv"
    "${PYTHON:-python3}" -m venv --clear .venv
}
