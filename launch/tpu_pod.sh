#!/usr/bin/env bash
# Runs one command on all workers of a TPU pod slice: creates the slice, copies this checkout and
# runs the program; after a preemption it creates the slice again and resumes.
#
#   NAME=sf ZONE=us-east5-b TYPE=v5litepod-16 launch/tpu_pod.sh \
#       --config configs/kinetics.py:slowfast_8x8_r50 --workdir /mnt/shared/RUN
#
# --workdir and the data must be in a shared folder (a mounted Filestore or bucket). MOUNT: command
# that each worker runs first, to mount it. VERSION: TPU software version. SPOT=1: use a spot slice.
# The slice is not deleted at the end: `gcloud compute tpus tpu-vm delete NAME --zone ZONE`.
set -euo pipefail
: "${NAME:?name of the slice}" "${ZONE:?its zone}" "${TYPE:?accelerator type, such as v5litepod-16}"
VERSION=${VERSION:-v2-alpha-tpuv5-lite} MOUNT=${MOUNT:-true} RETRY=${RETRY:-60}
[ $# -gt 0 ] || { echo "usage: NAME=... ZONE=... TYPE=... $0 ARGUMENTS OF THE PROGRAM" >&2; exit 2; }
cd "$(dirname "$0")/.."
CODE=(setup.py README.md slowfast_jax data_pipelines convert configs launch)
tpu() { gcloud compute tpus tpu-vm "$1" "$NAME" --zone "$ZONE" "${@:2}"; }
state() { tpu describe --format 'value(state)' 2>/dev/null || echo NONE; }
on_all() { tpu ssh --worker all --command "$1"; }

while :; do
  if [ "$(state)" != READY ]; then
    [ "$(state)" = NONE ] || tpu delete --quiet
    until tpu create --accelerator-type "$TYPE" --version "$VERSION" ${SPOT:+--spot}; do
      echo "no capacity; retrying in $RETRY s" >&2; sleep "$RETRY"
    done
  fi
  archive=$(mktemp --suffix .tar.gz)
  tar czf "$archive" --exclude __pycache__ "${CODE[@]}"
  gcloud compute tpus tpu-vm scp "$archive" "$NAME:slowfast_jax.tar.gz" --zone "$ZONE" --worker all
  rm "$archive"
  on_all "$MOUNT && rm -rf slowfast_jax && mkdir slowfast_jax && tar xzf slowfast_jax.tar.gz -C slowfast_jax && cd slowfast_jax && python3 -m venv ~/venv && ~/venv/bin/pip install -q -e '.[tpu]'"
  status=0
  # JAX connects the workers by the metadata of their machines.
  on_all "cd slowfast_jax && ~/venv/bin/python -m slowfast_jax.main $(printf '%q ' "$@")" || status=$?
  [ "$status" = 0 ] && exit 0
  [ "$(state)" = READY ] && { echo "failed with status $status; the slice was not preempted" >&2; exit "$status"; }
  echo "the slice was preempted; creating it again" >&2
done
