# An environment with everything installed (POSIX sh, sourced in the project's root): the active one, else .venv.
# Installs again only where the requirements have changed.
#   install FILE…   files of requirements; leaves the interpreter in $PYTHON
install() {
    environment=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
    [ -n "$environment" ] || make_environment
    PYTHON=$environment/bin/python
    export PYTHON
    new_enough "$PYTHON" "deactivate $environment, or activate one of a newer Python"
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
    new_enough "${PYTHON:-python3}" "name it as PYTHON=/path/to/python3"
    echo "making a virtual environment in .venv"
    "${PYTHON:-python3}" -m venv --clear .venv
}

# new_enough PYTHON CURE: ends the script where this interpreter is too old, or none
new_enough() {
    if ! "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
        echo "error: $1: Python 3.11 or newer is needed; $2" >&2
        exit 2
    fi
}
