#!/bin/sh
# Features of the mixture- and out-domain models: NCT train for the dictionary, LC25000, PAIP19 train and test.
# Homo mode reads the same features, and asks for slides that hold every class: it is not named here.
#   sh wsi_workdir/scripts/extract_mixture_and_out_domain_feats.sh [options of run_protocol.py]        environment: see _common.sh
. "$(dirname "$0")/_common.sh"
protocol extract_mixture_and_out_domain_feats --only mixture,out --stages extract "$@"
