#!/bin/sh
# The near-domain tasks of every novel class and number of shots.
#   sh wsi_workdir/scripts/generate_near_domain_tasks.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol generate_near_domain_tasks --only near --stages tasks "$@"
