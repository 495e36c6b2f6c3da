/* SPDX-License-Identifier: MIT */
/*
 * The device of a transfer queue, for the layers above.
 */
#ifndef ENGINE_TRANSFER_DEVICE_H
#define ENGINE_TRANSFER_DEVICE_H

struct cupool_device;
struct cupool_transfers;

struct cupool_device *transfer_device(struct cupool_transfers *transfers);

#endif
