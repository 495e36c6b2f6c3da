// SPDX-License-Identifier: MIT
// What the script adds to the HTML report: tables that sort and can be searched, and a chart that
// can be zoomed and tells the peak of what it shows. It reads the figures from the tables, and
// never makes markup out of text. "?sort=NAME" in the address sorts all tables that have a column
// of that name; a second one of the same name turns the order round. "?range=BEGIN,END" in seconds
// shows that part of the time, "?search=WORDS" the rows that hold all the words.
"use strict";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

function bytesText(bytes) {
    let unit = 0;
    for (; bytes >= 1023.95 && unit + 1 < UNITS.length; unit++) {
        bytes /= 1024;
    }
    return bytes.toFixed(unit ? 1 : 0) + " " + UNITS[unit];
}

function secondsText(seconds) {
    const size = Math.abs(seconds);
    if (size >= 60) {
        return Math.floor(seconds / 60) + " min " + (seconds % 60).toFixed(0) + " s";
    }
    if (size >= 1 || size === 0) {
        return Number(seconds.toFixed(2)) + " s";
    }
    return size >= 1e-3 ? Number((seconds * 1e3).toFixed(2)) + " ms"
                        : Number((seconds * 1e6).toFixed(1)) + " us";
}

function element(name, className, text) {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
}

// The last value of a name in the address, or null.
function asked(name) {
    return new URLSearchParams(location.search).getAll(name).pop() || null;
}

// Tables.

function cellValue(row, column) {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
}

function compare(a, b) {
    return typeof a === "number" && typeof b === "number" ? a - b
                                                          : String(a).localeCompare(String(b));
}

function tableSort(table, heading) {
    const column = heading.cellIndex, body = table.tBodies[0];
    const figures = heading.classList.contains("n");
    const before = heading.getAttribute("aria-sort");
    const order = before ? (before === "ascending" ? "descending" : "ascending")
                         : (figures ? "descending" : "ascending");
    const sign = order === "ascending" ? 1 : -1;
    const rows = Array.from(body.rows);
    rows.sort((a, b) => sign * compare(cellValue(a, column), cellValue(b, column)));
    body.append(...rows);
    for (const other of table.tHead.rows[0].cells) {
        other.removeAttribute("aria-sort");
    }
    heading.setAttribute("aria-sort", order);
}

function tableMakeSortable(table) {
    for (const heading of table.tHead.rows[0].cells) {
        const button = element("button", "", heading.textContent);
        button.type = "button";
        button.addEventListener("click", () => tableSort(table, heading));
        heading.replaceChildren(button);
        if (button.textContent === "At peak") {
            tableSort(table, heading);
        }
    }
}

function tableMakeSearchable(table) {
    const label = element("label", "search", "Search");
    const input = element("input", "", "");
    const found = element("span", "note", "");
    input.type = "search";
    found.setAttribute("aria-live", "polite");
    const search = () => {
        const words = input.value.toLowerCase().split(/\s+/);
        let shown = 0;
        for (const row of table.tBodies[0].rows) {
            const text = (row.cells[0].textContent + " " + row.cells[0].title).toLowerCase();
            row.hidden = !words.every((word) => text.includes(word));
            shown += !row.hidden;
        }
        found.textContent = input.value ? shown + " of " + table.tBodies[0].rows.length : "";
    };
    input.addEventListener("input", search);
    input.value = asked("search") || "";
    search();
    label.append(input, found);
    table.parentElement.before(label);
}

// Chart. What lies below is drawn first and wider, so that equal levels both stay visible.

const DRIVER = 1, REQUESTED = 4;

// [seconds, driver, reserved, allocated, requested], from nothing at the start to the end of the run.
function points(section, endSeconds) {
    const rows = section.querySelector("table.points").tBodies[0].rows;
    const data = Array.from(rows, (row) => [
        cellValue(row, 0) / 1e9, cellValue(row, 4), cellValue(row, 3), cellValue(row, 2),
        cellValue(row, 1)]);
    const last = data[data.length - 1];
    if (data[0][0] > 0) {
        data.unshift([0, 0, 0, 0, 0]);
    }
    if (last[0] < endSeconds) {
        data.push([endSeconds, ...last.slice(1)]);
    }
    return data;
}

// The highest requested between two times; what was in use before the first still is.
function rangePeak(data, begin, end) {
    let best = null;
    for (const point of data) {
        if (point[0] > end) {
            break;
        }
        if (point[0] <= begin) {
            best = [begin, ...point.slice(1)];
        } else if (!best || point[REQUESTED] > best[REQUESTED]) {
            best = point;
        }
    }
    return best;
}

function colours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue("--" + name).trim();
    return {
        colors: [read("driver"), read("reserved"), read("allocated"), read("requested")],
        axisLineColor: read("quiet"),
        gridLineColor: read("rule"),
        rangeSelectorPlotStrokeColor: read("requested"),
        rangeSelectorPlotFillColor: read("c1"),
        rangeSelectorPlotFillGradientColor: read("c1"),
        rangeSelectorBackgroundStrokeColor: read("quiet"),
        rangeSelectorForegroundStrokeColor: read("text"),
    };
}

function peakDraw(canvas, area, graph, seconds) {
    const x = graph.toDomXCoord(seconds);
    if (x < area.x || x > area.x + area.w) {
        return;
    }
    canvas.save();
    canvas.strokeStyle = canvas.fillStyle =
        getComputedStyle(document.documentElement).getPropertyValue("--peak").trim();
    canvas.setLineDash([4, 3]);
    canvas.beginPath();
    canvas.moveTo(x, area.y);
    canvas.lineTo(x, area.y + area.h);
    canvas.stroke();
    canvas.font = "12px system-ui, sans-serif";
    canvas.textAlign = x > area.x + area.w - 50 ? "right" : "left";
    canvas.fillText("peak", x + (canvas.textAlign === "left" ? 5 : -5), area.y + 12);
    canvas.restore();
}

function rangeTell(section, data, graph) {
    const [begin, end] = graph.xAxisRange();
    const best = rangePeak(data, begin, end);
    const line = section.querySelector(".range");
    line.textContent = "From " + secondsText(Math.max(begin, 0)) + " to " + secondsText(end) +
        (best ? ": peak " + bytesText(best[REQUESTED]) + " after " + secondsText(best[0]) + ", " +
                bytesText(best[DRIVER]) + " held from the driver"
              : ": nothing in use");
    if (graph.isZoomed("x")) {
        const button = element("button", "", "Show all");
        button.type = "button";
        button.addEventListener("click", () => graph.resetZoom());
        line.append(button);
    }
}

function rangeAsked() {
    const range = (asked("range") || "").split(",").map(Number);
    return range.length === 2 && range[0] < range[1] ? range : null;
}

function chartMake(chart) {
    const section = chart.closest("section"), data = points(section, Number(chart.dataset.end) / 1e9);
    const peak = Number(chart.dataset.peak) / 1e9;
    const place = element("div", "dygraph", "");
    const picture = chart.firstElementChild;
    picture.replaceWith(place);
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", picture.getAttribute("aria-label"));
    const graph = new Dygraph(place, data, {
        labels: ["time", "driver", "reserved", "allocated", "requested"],
        stepPlot: true,
        series: {
            driver: {strokeWidth: 4},
            reserved: {strokeWidth: 1.5},
            allocated: {strokeWidth: 4},
            requested: {strokeWidth: 1.5, fillGraph: true, showInRangeSelector: true},
        },
        fillAlpha: 0.18,
        includeZero: true,
        dateWindow: rangeAsked(),
        showRangeSelector: true,
        rangeSelectorHeight: 36,
        legend: "follow",
        axes: {
            x: {valueFormatter: secondsText, axisLabelFormatter: (value) => secondsText(value),
                axisLabelWidth: 90},
            y: {labelsKMG2: true, valueFormatter: bytesText, axisLabelFormatter: (value) => bytesText(value),
                axisLabelWidth: 80},
        },
        underlayCallback: (canvas, area, drawn) => peakDraw(canvas, area, drawn, peak),
        drawCallback: (drawn) => rangeTell(section, data, drawn),
        ...colours(),
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
        graph.updateOptions(colours());
    });
}

function sortAsAsked() {
    for (const name of new URLSearchParams(location.search).getAll("sort")) {
        for (const button of document.querySelectorAll("table.sortable th button")) {
            if (button.textContent === name) {
                button.click();
            }
        }
    }
}

document.querySelectorAll("table.sortable").forEach(tableMakeSortable);
document.querySelectorAll("table.searchable").forEach(tableMakeSearchable);
sortAsAsked();
document.querySelectorAll(".chart").forEach(chartMake);
