/* SPDX-License-Identifier: MPL-2.0 */
#include "unit/bus/scratch.c"
