/* SPDX-License-Identifier: MIT */
/*
 * The profile of the simulated device: a file of key = value, chosen by SIMGPU_PROFILE (a name in
 * the directory "profiles" beside the library, or a path), and changed by SIMGPU_SET,
 * SIMGPU_MEMORY and SIMGPU_DEVICES. Immutable after profile_load().
 */
#ifndef SIMGPU_DRIVER_BASE_PROFILE_H
#define SIMGPU_DRIVER_BASE_PROFILE_H

#include "tests/simgpu/driver/base/driver.h"

#define PROFILE_DEVICES 16

/** [cost] name = base [per_MiB [busy]]; busy is added when the device has work. */
struct cost {
    uint32_t base_ns;
    uint32_t mib_ns;
    uint32_t busy_ns;
};

struct profile {
    unsigned devices;                  /* before CUDA_VISIBLE_DEVICES */
    unsigned visible[PROFILE_DEVICES]; /* physical index of each device the program sees */
    unsigned visible_count;
    uint64_t delay_ns;   /* SIMGPU_DELAY_US: longest real time an operation lingers */
    uint64_t delay_seed; /* 0: always the longest; else at random up to it */
    bool verbose;
    struct cost cost[CALL_COUNT];
#define PROFILE_text(key)            char key[128];
#define PROFILE_bytes(key)           uint64_t key;
#define PROFILE_number(key)          uint64_t key;
#define PROFILE(key, type, default_) PROFILE_##type(key)
#include "tests/simgpu/driver/base/profile.def"
};

extern struct profile profile;

void profile_load(void);

/** "256MiB", "1.5GiB", "4096"; false if it is not a size. */
bool size_parse(const char *text, uint64_t *ret_bytes);

/** Path of a file or directory that lies beside this library. */
void library_beside(const char *name, char *ret_path, size_t bytes);

/** Of a device of the machine; CUDA_VISIBLE_DEVICES may name it by this. */
CUuuid profile_uuid(unsigned physical);

#endif
