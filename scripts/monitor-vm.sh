#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# usage: monitor-vm.sh [flags of slotbus health]: follows the health of the hosts
here=$(dirname -- "$(readlink -f -- "$0")")
if [ -x "$here/slotbus" ]; then
    slotbus=$here/slotbus
else
    slotbus=slotbus
fi
exec "$slotbus" health --follow "$@"
