// SPDX-License-Identifier: MIT
// A range of time selected in the chart also applies to the cards, the tables of figures, the icicles
// and the address map. Figures are kept by equal slices of the run, so the range is widened to whole
// slices, and the bar on top shows the result. Other sections are marked "whole run".

const SLICE = {begin: 0, end: 1, peakTime: 2, peak: 3, driver: 5, driverMost: 6, allocations: 7,
               hits: 8, frees: 9, calls: 10, driverCalls: 11, leaked: 12, leakedBlocks: 13,
               failed: 14, invalid: 15};
const FIGURE = {atPeak: 0, peak: 1, allocations: 2, frees: 3, bytes: 4, hits: 5, failures: 6,
                leaked: 7, longest: 8};
const MAP_ROW = 20, MAP_ROWS = 16, MAP_COLOURS = 8;
const RANGE_DELAY_MS = 60;

function sliceRead(row) {
    return Object.fromEntries(Object.entries(SLICE).map(([name, i]) => [name, cellValue(row, i)]));
}

// The slices that a range overlaps; null: all.
function rangeOf(slices, beginNs, endNs) {
    let first = slices.findIndex((slice) => slice.end > beginNs), last = slices.length - 1;
    first = first < 0 ? last : first;
    while (last > first && slices[last].begin >= endNs) {
        last--;
    }
    if (first === 0 && last === slices.length - 1) {
        return null;
    }
    let peak = first;
    for (let i = first; i <= last; i++) {
        peak = slices[i].peak > slices[peak].peak ? i : peak;
    }
    return {
        first, last, peak,
        text: "from " + durationText(slices[first].begin) + " to " + durationText(slices[last].end),
        peakText: "after " + durationText(slices[peak].peakTime),
    };
}

// Cards.

function sliceSum(slices, range, name) {
    let sum = 0;
    for (let i = range.first; i <= range.last; i++) {
        sum += slices[i][name];
    }
    return sum;
}

function cardTexts(slices, range) {
    const sum = (name) => sliceSum(slices, range, name), peak = slices[range.peak];
    let most = 0;
    for (let i = range.first; i <= range.last; i++) {
        most = Math.max(most, slices[i].driverMost);
    }
    const idle = peak.driver > peak.peak ? 100 * (1 - peak.peak / peak.driver) : 0;
    return {
        peak: [bytesText(peak.peak), range.peakText],
        driver: [bytesText(peak.driver), idle.toFixed(1) + " % idle; " + bytesText(most) +
                 " maximum"],
        allocations: [countText(sum("allocations")),
                      percentText(sum("hits"), sum("allocations")) + " served by the pool"],
        calls: [countText(sum("driverCalls")), countText(sum("calls")) + " without the pool"],
        leaked: [bytesText(sum("leaked")), "of this range, in " + blocksText(sum("leakedBlocks"))],
        invalid: [countText(sum("invalid")), ""],
        failed: [countText(sum("failed")), "allocations"],
    };
}

function cardsMake(article) {
    const cards = Array.from(article.querySelectorAll(".card"), (card) => {
        const [value, note] = [card.querySelector("dd").firstChild, card.querySelector("small")];
        return {name: card.dataset.card, value, note, texts: [value.data, note.textContent]};
    });
    return (slices, range) => {
        const texts = range ? cardTexts(slices, range) : {};
        for (const card of cards) {
            const [value, note] = texts[card.name] ||
                [card.texts[0], range ? "of the whole run" : card.texts[1]];
            card.value.data = value;
            card.note.textContent = note;
        }
    };
}

// Tables.

function rowFigures(series, range) {
    const {first, last, peak} = range;
    const most = (values) => values.slice(first, last + 1).reduce((a, b) => Math.max(a, b), 0);
    return series.map((values, i) => i === FIGURE.atPeak ? values[peak]
        : i === FIGURE.peak || i === FIGURE.longest ? most(values) : sumOf(values, first, last));
}

function figureShow(cell, value, text) {
    cell.dataset.v = value;
    cell.textContent = text;
}

function rowShow(row, range) {
    const figures = rowFigures(row.dataset.s.split(";").map(seriesRead), range);
    figures.forEach((value, i) => {
        const cell = row.cells[i + 1], allocations = figures[FIGURE.allocations];
        if (i === FIGURE.hits) {
            figureShow(cell, allocations ? Math.floor(1e6 * value / allocations) : 0,
                       percentText(value, allocations));
        } else {
            const bytes = [FIGURE.atPeak, FIGURE.peak, FIGURE.bytes, FIGURE.leaked].includes(i);
            figureShow(cell, value, bytes ? bytesText(value)
                : i === FIGURE.longest ? durationText(value) : countText(value));
        }
    });
    row.classList.toggle("out", !figures.some((value) => value));
}

function tableMakeSliced(table) {
    const rows = Array.from(table.tBodies[0].rows, (row) => ({
        row, texts: Array.from(row.cells, (cell) => [cell.dataset.v, cell.textContent]).slice(1)}));
    return (range) => {
        for (const {row, texts} of rows) {
            row.classList.remove("out");
            if (range && row.dataset.s) {
                rowShow(row, range);
                continue;
            }
            texts.forEach(([value, text], i) =>
                figureShow(row.cells[i + 1], range ? 0 : value, range ? "\u2013" : text));
        }
        tableSortAgain(table);
    };
}

// The address map at the peak of the range.

function runsRead(maps, number) {
    let at = number;
    while (at > 0 && maps[at].dataset.m === "=") {
        at--;
    }
    const text = maps[at].dataset.m;
    if (text === "?") {
        return null;
    }
    let next = 0;
    return text ? text.split(",").map((run) => {
        const [kind, ...values] = run.split(":");
        const [given, bytes, waste, holes, blocks, holeCount] = values.map(
            (value) => value ? parseInt(value, 36) : 0);
        const address = given || next;
        next = address + bytes;
        return {gap: kind === "g", begins: kind[0] === "b", colour: kind.slice(1), address, bytes,
                waste, holes, blocks, holeCount};
    }) : [];
}

function runText(run, names) {
    if (run.gap) {
        return "unmapped: no memory\nfrom 0x" + run.address.toString(16) + ", not to scale";
    }
    const name = run.blocks + run.holeCount > 1
        ? blocksText(run.blocks) + ", " + countText(run.holeCount) + " hole" +
          (run.holeCount === 1 ? "" : "s")
        : run.blocks ? names["c" + run.colour] || "other sites" : "hole";
    return name + "\n" + bytesText(run.bytes) + " at 0x" + run.address.toString(16) +
        (run.waste ? ", " + bytesText(run.waste) + " rounding" : "") +
        (run.blocks && run.holes ? ", " + bytesText(run.holes) + " holes" : "");
}

function mapDraw(picture, runs, names) {
    const whole = runs.reduce((sum, run) => sum + run.bytes, 0);
    const pieces = runs.reduce((sum, run) => sum + run.blocks + (run.begins ? 5 : 0), 0);
    const rows = Math.max(1, Math.min(MAP_ROWS, Math.floor(pieces / 4)));
    const rowBytes = Math.ceil(whole / rows) || 1, groups = [];
    let at = 0, borders = "";
    const draw = (group, name, bytes) => {
        let begin = at;
        const end = at + bytes;
        for (let row = Math.floor(begin / rowBytes); begin < end && row < rows; row++) {
            const stop = Math.min((row + 1) * rowBytes, end);
            group.append(shape("rect", {
                class: name, x: (WIDTH * (begin - row * rowBytes) / rowBytes).toFixed(1),
                y: row * MAP_ROW, width: (WIDTH * (stop - begin) / rowBytes).toFixed(1),
                height: MAP_ROW - 3}));
            begin = stop;
        }
        at += bytes;
    };
    for (const run of runs) {
        const group = shape("g", {}), title = shape("title", {});
        title.textContent = runText(run, names);
        group.append(title);
        if (run.begins) {
            const row = Math.floor(at / rowBytes);
            borders += "M" + (WIDTH * (at - row * rowBytes) / rowBytes).toFixed(1) + " " +
                row * MAP_ROW + "v" + (MAP_ROW - 3);
        }
        if (run.gap) {
            draw(group, "gap", run.bytes);
        } else {
            draw(group, "c" + run.colour, run.bytes - run.waste - run.holes);
            draw(group, "waste", run.waste);
            draw(group, "hole", run.holes);
        }
        groups.push(group);
    }
    picture.setAttribute("viewBox", "0 0 " + WIDTH + " " + rows * MAP_ROW);
    picture.replaceChildren(...groups, shape("path", {class: "border", d: borders}));
    return {whole: runs.reduce((sum, run) => sum + (run.gap ? 0 : run.bytes), 0), rowBytes};
}

function mapMake(section) {
    const place = section.querySelector(".slice-maps");
    if (!place) {
        return () => {};
    }
    const view = place.closest(".view"), picture = view.querySelector("svg.map");
    const said = view.querySelector("p"), note = view.querySelector(".note");
    const kept = {said: said.textContent, note: note.textContent, groups: Array.from(picture.childNodes),
                  box: picture.getAttribute("viewBox")};
    const names = {};
    for (const key of view.querySelectorAll(".legend .key")) {
        names[key.classList[1]] = key.textContent;
    }
    return (range) => {
        const runs = range ? runsRead(place.children, range.peak) : null;
        picture.toggleAttribute("hidden", Boolean(range && !runs));
        if (!range) {
            said.textContent = kept.said;
            note.textContent = kept.note;
            picture.setAttribute("viewBox", kept.box);
            picture.replaceChildren(...kept.groups);
        } else if (!runs) {
            said.textContent = "The address map of this range was not kept: too many blocks were live.";
            note.textContent = "";
        } else {
            const {whole, rowBytes} = mapDraw(picture, runs, names);
            said.textContent = whole ? bytesText(whole) + " at the range's peak, " + range.peakText +
                "." : "Nothing was in use at an address of the device in this range.";
            note.textContent = "One row is " + bytesText(rowBytes) + ". Small neighbours are joined and drawn " +
                "as blocks, then rounding, then holes.";
        }
        pictureFill(picture);
    };
}

// Shades the time outside the range in the picture of sites over time.
function shadeMake(article) {
    const picture = article.querySelector("svg.stack");
    return (slices, range) => {
        if (!picture) {
            return;
        }
        picture.querySelectorAll(".outside").forEach((one) => one.remove());
        if (!range) {
            return;
        }
        const {left, width, top, height} = picture.dataset, end = slices[slices.length - 1].end || 1;
        const x = (ns) => Number(left) + Number(width) * ns / end;
        for (const [from, to] of [[0, slices[range.first].begin], [slices[range.last].end, end]]) {
            if (to > from) {
                picture.append(shape("rect", {class: "outside", x: x(from).toFixed(1), y: top,
                                              width: (x(to) - x(from)).toFixed(1), height}));
            }
        }
    };
}

function barMake(article) {
    const bar = element("div", "range-bar", ""), text = element("span", "", "");
    const button = element("button", "", "Show the whole run");
    bar.hidden = true;
    bar.setAttribute("role", "status");
    button.type = "button";
    button.addEventListener("click", () => article.chart && article.chart.resetZoom());
    bar.append(text, " ", button);
    article.querySelector("header").after(bar);
    return (range) => {
        bar.hidden = !range;
        text.textContent = range ? "Figures " + range.text + "." : "";
    };
}

function articleMake(article) {
    const table = article.querySelector("table.slices");
    if (!table) {
        return;
    }
    const slices = Array.from(table.tBodies[0].rows, sliceRead);
    const cards = cardsMake(article), shade = shadeMake(article), bar = barMake(article);
    const tables = Array.from(article.querySelectorAll("table.sliced"), tableMakeSliced);
    const maps = Array.from(article.querySelectorAll("section[id^=map-]"), mapMake);
    let shown = "";
    const show = (range) => {
        const name = range ? range.first + "-" + range.last : "";
        if (name === shown) {
            return;
        }
        shown = name;
        article.classList.toggle("ranged", Boolean(range));
        cards(slices, range);
        shade(slices, range);
        bar(range);
        tables.forEach((one) => one(range));
        maps.forEach((one) => one(range));
        for (const section of article.querySelectorAll("section[id^=flame-]")) {
            if (section.rangeSet) {
                section.rangeSet(range);
            }
        }
        article.dataset.range = name;
    };
    let timer = 0;
    article.rangeChosen = (beginSeconds, endSeconds, now) => {
        const range = rangeOf(slices, beginSeconds * 1e9, endSeconds * 1e9);
        clearTimeout(timer);
        if (now) {
            show(range);
        } else {
            timer = setTimeout(() => show(range), RANGE_DELAY_MS);
        }
    };
}

document.querySelectorAll("article").forEach(articleMake);
