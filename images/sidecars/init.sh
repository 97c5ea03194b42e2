#!/bin/sh
# PID 1 of the bundle's container: starts the bundle, hands signals on, reaps what is orphaned, and ends with
# the bundle's own status. The bundle keeps our stdin, because that is its control pipe.
exec 3<&0
for signal in TERM INT HUP USR1; do
  trap "[ -z \"\${bundle-}\" ] || kill -$signal \"\$bundle\"" "$signal"
done
node --disable-sigusr1 --max-semi-space-size=4 /app/bundle.js "$@" <&3 3<&- &
bundle=$!
exec 3<&- </dev/null
# A signal interrupts the wait.
while :; do
  wait "$bundle"
  status=$?
  kill -0 "$bundle" 2>/dev/null || exit "$status"
done
