/* SPDX-License-Identifier: MIT */
/*
 * Style sheets and scripts of the HTML report, embedded at build time
 * (tools/report/html/assets/embed.py). None of them contains text that would end its element.
 *
 * Threading: constants.
 */
#ifndef TOOLS_REPORT_HTML_HTML_ASSETS_H
#define TOOLS_REPORT_HTML_HTML_ASSETS_H

#include <stddef.h>

struct html_asset {
    const char *text;
    size_t bytes;
    const char *hash; /* as a content security policy names it */
};

/** The Debian package missing in this build, which has empty assets; NULL: none. */
extern const char *const html_assets_missing;

extern const struct html_asset html_asset_dygraph_css, html_asset_dygraph_js;
extern const struct html_asset html_asset_report_css, html_asset_report_js;

#endif
