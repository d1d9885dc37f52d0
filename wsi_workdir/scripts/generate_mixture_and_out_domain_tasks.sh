#!/bin/sh
# The mixture- and out-domain tasks (out: hetero and homo).
#   sh wsi_workdir/scripts/generate_mixture_and_out_domain_tasks.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol generate_mixture_and_out_domain_tasks --only mixture,out,out_homo --stages tasks "$@"
