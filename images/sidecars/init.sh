#!/bin/sh
# PID 1 of the bundle's container: starts the bundle, hands signals on, reaps what is orphaned, and ends with
# the bundle's own status. The bundle keeps our stdin, because that is its control pipe.
exec 3<&0
pass() {
  [ -z "${bundle-}" ] || kill "-$1" "$bundle"
}
trap 'pass TERM' TERM
trap 'pass INT' INT
trap 'pass HUP' HUP
# Node keeps SIGUSR1 to itself, even where its inspector is switched off.
trap 'pass USR2' USR1
node --disable-sigusr1 --max-semi-space-size=4 /app/bundle.js "$@" <&3 3<&- &
bundle=$!
exec 3<&- </dev/null
# A signal interrupts the wait.
while :; do
  wait "$bundle"
  status=$?
  kill -0 "$bundle" 2>/dev/null || exit "$status"
done
