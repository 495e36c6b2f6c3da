// SPDX-License-Identifier: MIT
// Levels over time, as a chart with zoom. Lower layers are drawn first and wider, so that equal levels
// stay visible.

const DRIVER = 1, REQUESTED = 4;

// Rows of [seconds, driver, reserved, allocated, requested], from zero at the start to the end of the run.
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

// The highest requested level between two times, and its upper bound: where an end of the range cuts a
// span of the timeline in two, only the highest level of the whole span is known.
function rangePeak(data, begin, end, span) {
    const first = Math.floor(begin / span), last = Math.floor(end / span);
    let best = null, most = 0;
    for (const point of data) {
        const own = Math.floor(point[0] / span);
        if (point[0] <= begin) {
            best = [begin, ...point.slice(1)];
        } else if (point[0] <= end && (!best || point[REQUESTED] > best[REQUESTED])) {
            best = point;
        }
        if (own === first || own === last) {
            most = Math.max(most, point[REQUESTED]);
        }
    }
    return {best, most: best ? Math.max(most, best[REQUESTED]) : most};
}

function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function bytesShort(bytes) {
    const [value, unit] = bytesText(bytes, 2).split(" ");
    return Number(value) + " " + unit;
}

function chartColours() {
    return {
        colors: [colour("driver"), colour("reserved"), colour("allocated"), colour("requested")],
        axisLineColor: colour("quiet"),
        gridLineColor: colour("rule"),
        rangeSelectorPlotStrokeColor: colour("requested"),
        rangeSelectorPlotFillColor: colour("c1"),
        rangeSelectorPlotFillGradientColor: colour("c1"),
        rangeSelectorBackgroundStrokeColor: colour("quiet"),
        rangeSelectorForegroundStrokeColor: colour("text"),
        rangeSelectorAlpha: matchMedia("(prefers-color-scheme: dark)").matches ? 0.2 : 0.6,
    };
}

// Behind the lines: phases as bands, failures as marks at the top, the peak as a line with its label
// at the bottom, where the lines of the levels rarely are.

function phasesDraw(canvas, area, graph, phases) {
    const named = new Map();
    canvas.font = "12px system-ui, sans-serif";
    canvas.textAlign = "left";
    for (const [name, colourName, begin, end] of phases) {
        const left = Math.max(graph.toDomXCoord(begin), area.x);
        const right = Math.min(graph.toDomXCoord(end), area.x + area.w);
        if (right < area.x || left > area.x + area.w) {
            continue;
        }
        canvas.globalAlpha = 0.4;
        canvas.fillStyle = colour(colourName);
        canvas.fillRect(left, area.y, Math.max(right - left, 0.5), area.h);
        canvas.globalAlpha = 1;
        if (right - left > canvas.measureText(name).width + 10 && left > (named.get(name) || 0)) {
            canvas.fillStyle = colour("text");
            canvas.fillText(name, left + 5, area.y + 12);
            named.set(name, left + 160);
        }
    }
}

function failuresDraw(canvas, area, graph, times) {
    canvas.fillStyle = colour("peak");
    for (const time of times) {
        const x = graph.toDomXCoord(time);
        if (x < area.x || x > area.x + area.w) {
            continue;
        }
        canvas.beginPath();
        canvas.moveTo(x, area.y + 10);
        canvas.lineTo(x - 5, area.y);
        canvas.lineTo(x + 5, area.y);
        canvas.fill();
    }
}

function peakDraw(canvas, area, graph, seconds) {
    const x = graph.toDomXCoord(seconds);
    if (x < area.x || x > area.x + area.w) {
        return;
    }
    canvas.strokeStyle = canvas.fillStyle = colour("peak");
    canvas.setLineDash([4, 3]);
    canvas.beginPath();
    canvas.moveTo(x, area.y);
    canvas.lineTo(x, area.y + area.h);
    canvas.stroke();
    canvas.font = "12px system-ui, sans-serif";
    canvas.textAlign = x > area.x + area.w - 50 ? "right" : "left";
    canvas.fillText("peak", x + (canvas.textAlign === "left" ? 6 : -6), area.y + area.h - 8);
}

function rangeDescribe(section, data, graph, span) {
    const [begin, end] = graph.xAxisRange();
    const {best, most} = rangePeak(data, begin, end, span);
    const line = section.querySelector(".range");
    let text = ": no memory in use";
    if (best) {
        text = ": peak " + bytesText(best[REQUESTED]) + " after " + secondsText(best[0]) + ", " +
            bytesText(best[DRIVER]) + " held from the driver";
        text += most === best[REQUESTED]
            ? " (exact)"
            : " (at most " + bytesText(most) + ": the ends of the range are known to " + secondsText(span) + ")";
    }
    line.textContent = "From " + secondsText(Math.max(begin, 0)) + " to " + secondsText(end) + text;
    line.dataset.peak = best ? best[REQUESTED] : 0;
    line.dataset.most = most;
    if (graph.isZoomed("x")) {
        const button = element("button", "", "Show the whole run");
        button.type = "button";
        button.addEventListener("click", () => graph.resetZoom());
        line.append(" ", button);
    }
}

function rangeAsked() {
    const range = (asked("range") || "").split(",").map(Number);
    return range.length === 2 && range[0] < range[1] ? range : null;
}

function tableRows(section, name) {
    const table = section.querySelector("table." + name);
    return table ? Array.from(table.tBodies[0].rows) : [];
}

// Arrow keys move the range, plus and minus change its length, 0 shows the whole run.
function chartKeys(place, graph, end) {
    const steps = {ArrowLeft: [-0.25, -0.25], ArrowRight: [0.25, 0.25], "+": [0.25, -0.25],
        "-": [-0.5, 0.5]};
    place.tabIndex = 0;
    place.addEventListener("keydown", (event) => {
        const [left, right] = graph.xAxisRange(), step = steps[event.key];
        if (event.key === "0") {
            graph.resetZoom();
        } else if (step) {
            const length = right - left;
            const begin = Math.max(0, left + step[0] * length);
            const stop = Math.min(end, right + step[1] * length);
            if (step[0] === step[1]) {
                const kept = Math.min(Math.max(0, left + step[0] * length), end - length);
                graph.updateOptions({dateWindow: [kept, kept + length]});
            } else {
                graph.updateOptions({dateWindow: [begin, stop]});
            }
            event.preventDefault();
        }
    });
}

function chartMake(chart) {
    const section = chart.closest("section"), end = Number(chart.dataset.end) / 1e9;
    const data = points(section, end);
    const peak = Number(chart.dataset.peak) / 1e9, span = Number(chart.dataset.span) / 1e9;
    const phases = tableRows(section, "spans").map((row) => [
        row.cells[0].textContent, row.cells[0].className, cellValue(row, 1) / 1e9,
        cellValue(row, 2) / 1e9]);
    const failures = tableRows(section, "failures").map((row) => cellValue(row, 0) / 1e9);
    const place = element("div", "dygraph", "");
    const picture = chart.firstElementChild;
    picture.classList.add("printed");
    picture.before(place);
    place.setAttribute("role", "application");
    place.setAttribute("aria-label", picture.getAttribute("aria-label") +
        ". Arrow keys move the range, plus and minus change its length, 0 shows the whole run.");
    const article = chart.closest("article");
    const graph = new Dygraph(place, data, {
        labels: ["time", "driver", "reserved", "allocated", "requested"],
        stepPlot: true,
        series: {
            driver: {strokeWidth: 6},
            reserved: {strokeWidth: 2, strokePattern: [9, 4]},
            allocated: {strokeWidth: 3.5, strokePattern: [2, 3]},
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
            y: {labelsKMG2: true, valueFormatter: (value) => bytesText(value),
                axisLabelFormatter: bytesShort, axisLabelWidth: 80},
        },
        underlayCallback: (canvas, area, drawn) => {
            canvas.save();
            phasesDraw(canvas, area, drawn, phases);
            failuresDraw(canvas, area, drawn, failures);
            peakDraw(canvas, area, drawn, peak);
            canvas.restore();
        },
        drawCallback: (drawn, first) => {
            rangeDescribe(section, data, drawn, span);
            if (article.rangeChosen) {
                article.rangeChosen(...drawn.xAxisRange(), first);
            }
        },
        ...chartColours(),
    });
    article.chart = graph;
    chartKeys(place, graph, end);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
        graph.updateOptions(chartColours());
    });
}

document.querySelectorAll(".chart").forEach(chartMake);
