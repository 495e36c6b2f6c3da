/* SPDX-License-Identifier: MIT */
/*
 * The options: every source, their order, and every kind of bad input.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/options/options.h"

struct complaints {
    int count;
    char last[OPTIONS_LINE_BYTES];
};

static void complain(void *state, const char *line)
{
    struct complaints *complaints = state;

    complaints->count++;
    snprintf(complaints->last, sizeof complaints->last, "%s", line);
    cr_expect(!strchr(line, '\n'), "one line each: %s", line);
}

static void environment_clear(void)
{
    static char *none[] = {NULL};

    clearenv();
    environ = none;
    clearenv();
}

static void file_write(char *ret_path, const char *text)
{
    int fd;

    strcpy(ret_path, "/tmp/cupool-options-XXXXXX");
    fd = mkstemp(ret_path);
    cr_assert(fd >= 0);
    cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

TestSuite(options, .init = environment_clear);

Test(options, built_in_values_are_the_tables)
{
    struct options options;
    char text[OPTIONS_TEXT_BYTES];

    cr_assert(options_load(&options, NULL, NULL) == 0);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        options_format(&options, i, text, sizeof text);
        cr_expect_str_eq(text, options_row(i)->built_in, "%s", options_row(i)->key);
        options_format_source(&options, i, text, sizeof text);
        cr_expect_str_eq(text, "built-in");
    }
    cr_expect(!options_row(OPTION_COUNT));
}

/** The enums in options.h count on the order of names in the table. */
Test(options, choices_have_their_enum_values)
{
    static const struct {
        const char *key, *value;
        enum option_id option;
        int choice;
    } cases[] = {
        {"mode", "off", OPTION_ID_mode, OPTION_MODE_OFF},
        {"mode", "observe", OPTION_ID_mode, OPTION_MODE_OBSERVE},
        {"mode", "pool", OPTION_ID_mode, OPTION_MODE_POOL},
        {"backing", "driver", OPTION_ID_backing, OPTION_BACKING_DRIVER},
        {"backing", "vmm", OPTION_ID_backing, OPTION_BACKING_VMM},
        {"backing", "auto", OPTION_ID_backing, OPTION_BACKING_AUTO},
        {"defrag", "move", OPTION_ID_defrag, OPTION_DEFRAG_MOVE},
        {"defrag", "off", OPTION_ID_defrag, OPTION_DEFRAG_OFF},
        {"reuse", "deferred", OPTION_ID_reuse, OPTION_REUSE_DEFERRED},
        {"reuse", "sync", OPTION_ID_reuse, OPTION_REUSE_SYNC},
        {"reuse", "immediate", OPTION_ID_reuse, OPTION_REUSE_IMMEDIATE},
        {"fill", "none", OPTION_ID_fill, OPTION_FILL_NONE},
        {"fill", "zero", OPTION_ID_fill, OPTION_FILL_ZERO},
        {"scrub", "poison", OPTION_ID_scrub, OPTION_FILL_POISON},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct options options;
        char text[64];
        int choice;

        options_init(&options);
        cr_assert(options_set(&options, cases[i].key, cases[i].value, OPTION_SOURCE_LIST, "test",
                              NULL, NULL) == 0);
        options_format(&options, cases[i].option, text, sizeof text);
        cr_expect_str_eq(text, cases[i].value);
        choice = cases[i].option == OPTION_ID_mode      ? options.mode
                 : cases[i].option == OPTION_ID_backing ? options.backing
                 : cases[i].option == OPTION_ID_defrag  ? options.defrag
                 : cases[i].option == OPTION_ID_reuse   ? options.reuse
                 : cases[i].option == OPTION_ID_fill    ? options.fill
                                                        : options.scrub;
        cr_expect(choice == cases[i].choice);
    }
}

Test(options, classes_are_ascending_multiples_of_256)
{
    static const char *const bad[] = {"",         "512,",    "520",     "256",      "33024",
                                      "1024:512", "512:512", "512;768", "512:768:x"};
    struct options options;
    char text[64], full[512] = "512";

    options_init(&options);
    options_format(&options, OPTION_ID_classes, text, sizeof text);
    cr_expect_str_eq(text, "auto");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(options_set(&options, "classes", bad[i], OPTION_SOURCE_FILE, "test", NULL,
                              NULL) == -EINVAL,
                  "%s", bad[i]);
    cr_expect(options.classes.count == 0, "what is refused changes nothing");
    cr_expect(options_set_list(&options, "classes:512,768,1280,ceiling:7", NULL, NULL) == 0);
    options_format(&options, OPTION_ID_classes, text, sizeof text);
    cr_expect_str_eq(text, "512:768:1280");
    cr_expect(options.ceiling == 7, "a comma before a letter ends the value");
    cr_expect(options_set_list(&options, "classes:1024:2048,growth:3", NULL, NULL) == 0);
    cr_expect(options.classes.count == 2 && options.growth == 3);
    for (unsigned i = 1; i < 32; i++)
        snprintf(full + strlen(full), sizeof full - strlen(full), ":%u", 512 + 256 * i);
    cr_expect(options_set(&options, "classes", full, OPTION_SOURCE_FILE, "test", NULL, NULL) ==
                  -EINVAL,
              "32 classes of which none is 32 KiB");
    snprintf(strrchr(full, ':'), 16, ":32768");
    cr_expect(options_set(&options, "classes", full, OPTION_SOURCE_FILE, "test", NULL, NULL) == 0);
}

Test(options, slabs_are_multiples_of_64_kib_or_the_pools_choice)
{
    static const char *const good[] = {"64KiB", "192KiB", "1MiB", "0"};
    static const char *const bad[] = {"",      "auto",    "1",    "32KiB", "65537",
                                      "96KiB", "1088KiB", "2MiB", "5%"};
    struct options options;
    char text[64];

    options_init(&options);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_expect(options_set(&options, "slab", good[i], OPTION_SOURCE_FILE, "test", NULL, NULL) ==
                      0,
                  "%s", good[i]);
        options_format(&options, OPTION_ID_slab, text, sizeof text);
        cr_expect_str_eq(text, good[i]);
    }
    options_set(&options, "slab", "64KiB", OPTION_SOURCE_FILE, "test", NULL, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect(options_set(&options, "slab", bad[i], OPTION_SOURCE_FILE, "test", NULL, NULL) ==
                      -EINVAL,
                  "%s", bad[i]);
    cr_expect(options.slab.bytes == 65536, "what is refused changes nothing");
}

Test(options, later_sources_win)
{
    struct complaints complaints = {0};
    struct options options;
    char path[64], source[64];

    file_write(path, "# comment\nmode = off\n reuse=sync # why\n\nlimit = 10%\nfill = zero\n");
    setenv("CUPOOL_CONF", path, 1);
    setenv("CUPOOL", "reuse:immediate,limit:1.5GiB", 1);
    setenv("CUPOOL_LIMIT", "64KiB", 1);
    cr_expect(options_load(&options, complain, &complaints) == 0);
    cr_expect(complaints.count == 0);
    cr_expect(options.mode == OPTION_MODE_OFF);
    cr_expect(options.fill == OPTION_FILL_ZERO);
    cr_expect(options.reuse == OPTION_REUSE_IMMEDIATE);
    cr_expect(options.limit.bytes == 65536 && options.limit.device_ppm == 0);
    options_format_source(&options, OPTION_ID_mode, source, sizeof source);
    cr_expect_str_eq(source, "CUPOOL_CONF");
    options_format_source(&options, OPTION_ID_reuse, source, sizeof source);
    cr_expect_str_eq(source, "CUPOOL");
    options_format_source(&options, OPTION_ID_limit, source, sizeof source);
    cr_expect_str_eq(source, "CUPOOL_LIMIT");
    unlink(path);
}

Test(options, list_is_cut_at_commas_and_first_colons)
{
    struct options options;

    setenv("CUPOOL", "trace:/tmp/%e:%p.cupool, mode : observe ,,exempt:a*:b*", 1);
    cr_expect(options_load(&options, NULL, NULL) == 0);
    cr_expect_str_eq(options.trace, "/tmp/%e:%p.cupool");
    cr_expect_str_eq(options.exempt, "a*:b*");
    cr_expect(options.mode == OPTION_MODE_OBSERVE);
}

Test(options, a_bad_value_is_told_and_the_earlier_one_kept)
{
    static const char *const bad[][2] = {
        {"mode", "fast"},
        {"mode", "Pool"},
        {"mode", "pool|off"},
        {"mode", "p"},
        {"reuse", "deferred "},
        {"limit", "-1"},
        {"limit", "1.5"
                  "XiB"},
        {"limit", "101%"},
        {"limit", "lots"},
        {"limit", "1KB"},
        {"limit", "1."},
        {"limit", ".5GiB"},
        {"limit", "1e9"},
        {"limit", "0x10"},
        {"limit", "99999999999999999999"},
        {"limit", "16777217TiB"},
        {"cache_max", "10%"},
        {"large_waste", "101"},
        {"large_waste", "-1"},
        {"large_waste", "1 "},
        {"large_waste", "12%"},
        {"strict", "yes"},
        {"strict", "10"},
        {"limit", "5 GiB extra"},
        {"page", "1"},
        {"page", "1MiB"},
        {"page", "2GiB"},
        {"page", "1073741825"},
        {"page", "6MiB"},
        {"page", "8MB"},
        {"page", "10%"},
        {"reserve", "10%"},
        {"reserve", "-1"},
        {"idle_trim", "5"},
        {"idle_trim", "5 minutes"},
        {"idle_trim", "-5s"},
        {"idle_trim", "1e3s"},
        {"idle_trim", "99999999999999999999ns"},
        {"idle_trim", "5124096h"},
        {"backing", "vmm,auto"},
        {"defrag", "on"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct complaints complaints = {0};
        struct options options, before;

        options_init(&options);
        options_set(&options, "limit", "7MiB", OPTION_SOURCE_LIST, "test", NULL, NULL);
        before = options;
        cr_expect(options_set(&options, bad[i][0], bad[i][1], OPTION_SOURCE_ENVIRONMENT, "CUPOOL_X",
                              complain, &complaints) == -EINVAL,
                  "%s:%s", bad[i][0], bad[i][1]);
        cr_expect(complaints.count == 1);
        cr_expect(strstr(complaints.last, bad[i][0]), "names the option");
        cr_expect(strstr(complaints.last, bad[i][1]), "names the value");
        cr_expect(strstr(complaints.last, "accepted: ") != NULL, "says what is accepted");
        cr_expect(memcmp(&options, &before, sizeof options) == 0, "nothing changes");
    }
}

Test(options, unknown_names_are_told_with_the_known_ones)
{
    struct complaints complaints = {0};
    struct options options;

    setenv("CUPOOL_SPEED", "11", 1);
    cr_expect(options_load(&options, complain, &complaints) == 1);
    cr_expect(strstr(complaints.last, "CUPOOL_SPEED") != NULL);
    cr_expect(strstr(complaints.last, "large_waste") != NULL);
    setenv("CUPOOL", "nonsense,foo:1", 1);
    complaints.count = 0;
    cr_expect(options_load(&options, complain, &complaints) == 3);
    cr_expect(complaints.count == 3);
}

Test(options, variables_that_are_no_options_are_left_alone)
{
    struct options options;

    setenv("CUPOOL_LIBRARY", "/x/libcupool.so", 1);
    setenv("CUPOOL_DEBUGINFOD", "1", 1);
    setenv("CUPOOL_TEST_ANYTHING", "1", 1);
    setenv("CUPOOL_MODE", "", 1);
    setenv("CUPOOLISH", "1", 1);
    cr_expect(options_load(&options, NULL, NULL) == 0);
    cr_expect(options.mode == OPTION_MODE_POOL);
}

Test(options, files_that_cannot_be_read_or_are_odd)
{
    struct complaints complaints = {0};
    struct options options;
    char path[64], *text = malloc(10000);

    setenv("CUPOOL_CONF", "/nonexistent/cupool.conf", 1);
    cr_expect(options_load(&options, complain, &complaints) == 1);
    cr_expect(strstr(complaints.last, "/nonexistent/cupool.conf") != NULL);
    setenv("CUPOOL_CONF", "/", 1);
    cr_expect(options_load(&options, complain, &complaints) == 1);

    memset(text, 'x', 9999);
    strcpy(text + 5000, "\nmode = observe\njust words\nmode = x");
    file_write(path, text);
    setenv("CUPOOL_CONF", path, 1);
    complaints.count = 0;
    cr_expect(options_load(&options, complain, &complaints) == 3);
    cr_expect(complaints.count == 3);
    cr_expect(options.mode == OPTION_MODE_OBSERVE, "the good line counts");
    unlink(path);
    free(text);
}

Test(options, overlong_text_is_refused)
{
    struct complaints complaints = {0};
    struct options options;
    char *text = calloc(1, 4001);

    memset(text, 'a', 4000);
    setenv("CUPOOL_TRACE", text, 1);
    cr_expect(options_load(&options, complain, &complaints) == 1);
    cr_expect_str_eq(options.trace, "off");
    text[OPTIONS_TEXT_BYTES - 1] = '\0';
    setenv("CUPOOL_TRACE", text, 1);
    cr_expect(options_load(&options, complain, &complaints) == 0);
    cr_expect_str_eq(options.trace, text);
    free(text);
}

Test(options, sizes)
{
    static const struct {
        const char *text;
        uint64_t bytes;
        uint32_t ppm;
    } good[] = {
        {"0", 0, 0},
        {"512", 512, 0},
        {"512B", 512, 0},
        {"64KiB", 65536, 0},
        {"64k", 65536, 0},
        {"1.5GiB", UINT64_C(1610612736), 0},
        {"14 GiB", UINT64_C(15032385536), 0},
        {"0.5M", 524288, 0},
        {"2TiB", UINT64_C(2) << 40, 0},
        {"10%", 0, 100000},
        {"12.5 %", 0, 125000},
        {"100%", 0, 1000000},
        {"1.9999999", 1, 0},
        {"18446744073709551615", UINT64_MAX, 0},
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct option_size size = {77, 77};

        cr_expect(option_size_parse(good[i].text, true, &size) == 0, "%s", good[i].text);
        cr_expect(size.bytes == good[i].bytes, "%s", good[i].text);
        cr_expect(size.device_ppm == good[i].ppm, "%s", good[i].text);
    }
}

Test(options, times)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"0", 0},
        {"0s", 0},
        {"1ns", 1},
        {"1.5us", 1500},
        {"250ms", 250000000},
        {"30s", UINT64_C(30000000000)},
        {"2 m", UINT64_C(120000000000)},
        {"0.5h", UINT64_C(1800000000000)},
        {"5124095h", UINT64_C(18446742000000000000)},
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t ns = 77;

        cr_expect(option_duration_parse(good[i].text, &ns) == 0, "%s", good[i].text);
        cr_expect(ns == good[i].ns, "%s", good[i].text);
    }
}

Test(options, pieces_are_powers_of_two)
{
    for (uint64_t bytes = UINT64_C(2) << 20; bytes <= UINT64_C(1) << 30; bytes *= 2) {
        struct options options;
        char text[32];

        options_init(&options);
        snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
        cr_expect(options_set(&options, "page", text, OPTION_SOURCE_LIST, "t", NULL, NULL) == 0,
                  "%s", text);
        cr_expect(options.page.bytes == bytes);
        cr_expect(options_set(&options, "page", "0", OPTION_SOURCE_LIST, "t", NULL, NULL) == 0);
        cr_expect(options.page.bytes == 0, "as without the option");
    }
}

/** Printed values can be read back. */
Test(options, formatted_values_parse_back)
{
    static const char *const sizes[] = {"0",    "1",     "1000",    "64KiB", "1536MiB",
                                        "3TiB", "12.5%", "0.0001%", "100%"};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct options options;
        char text[64];

        options_init(&options);
        cr_assert(options_set(&options, "limit", sizes[i], OPTION_SOURCE_LIST, "t", NULL, NULL) ==
                  0);
        options_format(&options, OPTION_ID_limit, text, sizeof text);
        cr_expect_str_eq(text, sizes[i]);
    }
    static const char *const times[] = {"0", "1ns", "1500us", "250ms", "30s", "2m", "36h"};

    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        struct options options;
        char text[64];

        options_init(&options);
        cr_assert(
            options_set(&options, "idle_trim", times[i], OPTION_SOURCE_LIST, "t", NULL, NULL) == 0);
        options_format(&options, OPTION_ID_idle_trim, text, sizeof text);
        cr_expect_str_eq(text, times[i]);
    }
}
