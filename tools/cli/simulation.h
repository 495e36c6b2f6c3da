/* SPDX-License-Identifier: MIT */
/*
 * Puts the simulated device in front of the program that a verb runs.
 *
 * Threading: not thread-safe.
 */
#ifndef TOOLS_CLI_SIMULATION_H
#define TOOLS_CLI_SIMULATION_H

/**
 * `profile`: a name, or a path with a slash; NULL or empty: none. Returns 0, or the exit code
 * `code` after one line with the problem.
 */
int simulation_use(const char *verb, int code, const char *profile);

#endif
