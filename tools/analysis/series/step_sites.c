/* SPDX-License-Identifier: MIT */
#include "tools/analysis/series/step_sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int step_sites_add(struct step_sites *sites, size_t row, uint64_t serial)
{
    struct step_site *site;

    if (row >= sites->room) {
        size_t room = row + 64 > 2 * sites->room ? row + 64 : 2 * sites->room;
        struct step_site *grown = realloc(sites->row, room * sizeof *grown);

        if (!grown)
            return -ENOMEM;
        memset(grown + sites->room, 0, (room - sites->room) * sizeof *grown);
        sites->row = grown;
        sites->room = room;
    }
    if (row >= sites->rows)
        sites->rows = row + 1;
    site = &sites->row[row];
    site->steps += site->serial != serial;
    site->now = site->serial == serial ? site->now + 1 : 1;
    site->sum++;
    site->serial = serial;
    if (site->now > site->most)
        site->most = site->now;
    return 0;
}

void step_sites_done(struct step_sites *sites)
{
    free(sites->row);
    *sites = (struct step_sites){0};
}

size_t step_sites_most(const struct step_sites *sites, size_t *ret_rows, size_t count)
{
    size_t found = 0;

    for (size_t i = 0; i < sites->rows; i++) {
        size_t place;

        if (sites->row[i].steps < 2)
            continue; /* a load that happens to be called a step */
        for (place = found; place && sites->row[ret_rows[place - 1]].most < sites->row[i].most;)
            place--;
        if (place == count)
            continue;
        found += found < count;
        memmove(ret_rows + place + 1, ret_rows + place, (found - 1 - place) * sizeof *ret_rows);
        ret_rows[place] = i;
    }
    return found;
}
