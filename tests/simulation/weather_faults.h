/* SPDX-License-Identifier: MPL-2.0 */
/* weather_faults.h - what can go wrong with programs, network and store */
#ifndef SIMULATION_WEATHER_FAULTS_H
#define SIMULATION_WEATHER_FAULTS_H

#include "simulation/weather.h"

extern const struct fault_table faults_of_programs;

#endif
