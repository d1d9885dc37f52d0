#!/bin/sh
# The whole method, from images to F1 with confidence intervals, in minutes; installs what it needs first.
#   bash wsi_workdir/scripts/quickstart.sh                    on tiles that the project draws itself
#   bash wsi_workdir/scripts/quickstart.sh --tiles DIR        on real tiles: layout in configs/protocols/tiles.py
#   options: --fresh (start over), and those of run_protocol.py: --workers 2, --only mixture, --dry_run …
# A virtual environment is made in .venv unless one is active. Output goes to wsi_workdir/logs/quickstart[_tiles].txt too.
case " $* " in *" --help "* | *" -h "*) sed -n '2,6s/^# //p' "$0"; exit 0 ;; esac

name=quickstart
PROTOCOL=configs/protocols/quickstart.py
here=$PWD
previous=
count=$#
while [ "$count" -gt 0 ]; do # a relative folder means one from where the user stands
    value=$1
    shift
    case $previous:$value in
        --tiles:/*) ;;
        --tiles:*) value=$here/$value ;;
        *:--tiles=/*) ;;
        *:--tiles=*) value=--tiles=$here/${value#--tiles=} ;;
    esac
    case $value in --tiles | --tiles=*) name=quickstart_tiles PROTOCOL=configs/protocols/tiles.py ;; esac
    previous=$value
    set -- "$@" "$value"
    count=$((count - 1))
done

. "$(dirname "$0")/_common.sh"
. wsi_workdir/scripts/_install.sh
install requirements.txt
GPUS=${GPUS:-1} # these trainings are too small for several
run_protocol --log="wsi_workdir/logs/$name.txt" "$@"
