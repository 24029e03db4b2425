/* SPDX-License-Identifier: MPL-2.0 */
/* weather_hosts.h - what can go wrong with hosts and the processes on them */
#ifndef SIMULATION_WEATHER_HOSTS_H
#define SIMULATION_WEATHER_HOSTS_H

#include "simulation/weather.h"

extern const struct fault_table faults_of_hosts;

#endif
