// SPDX-License-Identifier: MIT
// Icicles of a range of time, from the allocation site outwards, and by thread, made from data in the
// page: the largest stacks, and the sum of all others, each with its total bytes and its bytes by slice
// of time. Icicles of the whole run, callers on top, are those in the page.

const NAMESPACE = "http://www.w3.org/2000/svg";
const ROW = 26, MOST_BOXES = 900, LEAST_PARTS = 1000, BOX_COLOURS = 7;
const AT_PEAK = 0;
const ORDERS = ["Callers on top", "Allocation sites on top", "By thread"];
const FROM_SITES = 1, BY_THREAD = 2;

// Reads numbers in base 36, separated by commas; "v*n" is n equal ones.
function seriesRead(text) {
    return text.split(",").flatMap((part) => {
        const [value, same] = part.split("*");
        return Array(same ? parseInt(same, 36) : 1).fill(parseInt(value, 36));
    });
}

function sumOf(series, first, last) {
    let sum = 0;
    for (let i = first; i <= last; i++) {
        sum += series[i];
    }
    return sum;
}

// Reads the stacks of a section; called when they are first needed.
function pathsRead(section) {
    const place = section.querySelector(".paths");
    const names = Array.from(place.querySelectorAll("li"), (item) => item.textContent);
    const process = place.dataset.pid;
    return Array.from(place.querySelectorAll("i"), (item) => {
        const {f, t, n, v, s} = item.dataset;
        const frames = f === undefined ? [{name: countText(Number(n)) + " other stacks"}]
            : f.split(".").map((one) => ({name: names[parseInt(one.replace("m", ""), 10)],
                                          isModule: one[0] === "m"}));
        return {
            frames, bytes: seriesRead(v), series: s ? s.split(";").map(seriesRead) : null,
            thread: f === undefined ? "other stacks" : t === "0" ? "unknown thread"
                : t === process ? "main thread " + t : "thread " + t,
        };
    });
}

function pathBytes(path, measure, range) {
    if (!range) {
        return path.bytes[measure];
    }
    return measure === AT_PEAK ? path.series[measure][range.peak]
                               : sumOf(path.series[measure], range.first, range.last);
}

function pathNames(path, order) {
    const names = path.frames.map((frame) => frame.name);
    if (order === BY_THREAD) {
        return [path.thread, ...names];
    }
    return order === FROM_SITES ? path.frames.filter((frame) => !frame.isModule)
        .map((frame) => frame.name).reverse() : names;
}

function treeMake(paths, rootName, measure, order, range) {
    const root = {name: rootName, bytes: 0, children: new Map()};
    for (const path of paths) {
        const bytes = pathBytes(path, measure, range);
        if (!bytes) {
            continue;
        }
        let node = root;
        root.bytes += bytes;
        for (const name of pathNames(path, order)) {
            if (!node.children.has(name)) {
                node.children.set(name, {name, bytes: 0, children: new Map()});
            }
            node = node.children.get(name);
            node.bytes += bytes;
        }
    }
    return root;
}

function childrenOf(node) {
    return Array.from(node.children.values()).sort(
        (a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1));
}

function boxesCount(node, least) {
    let count = 1, joined = 0;
    for (const child of node.children.values()) {
        if (child.bytes >= least) {
            count += boxesCount(child, least);
        } else {
            joined = 1;
        }
    }
    return count + joined;
}

function shape(name, attributes) {
    const made = document.createElementNS(NAMESPACE, name);
    for (const [key, value] of Object.entries(attributes)) {
        made.setAttribute(key, value);
    }
    return made;
}

function boxMake(name, text, colourClass, x, y, width) {
    const group = shape("g", {}), title = shape("title", {});
    title.textContent = name + "\n" + text;
    group.append(title,
        shape("rect", {class: colourClass, x: x.toFixed(3), y, width: width.toFixed(3),
                       height: ROW - 2}));
    return group;
}

// Boxes of a tree, as html_flame.c draws them.
function treeDraw(root) {
    const groups = [];
    let least = Math.floor(root.bytes / LEAST_PARTS) + 1, deepest = 0;
    while (boxesCount(root, least) > MOST_BOXES) {
        least *= 2;
    }
    const draw = (name, bytes, begin, depth, colour) => {
        groups.push(boxMake(name, bytesText(bytes) + ", " + percentText(bytes, root.bytes),
                            "c" + colour, WIDTH * begin / root.bytes, depth * ROW,
                            WIDTH * bytes / root.bytes));
        deepest = Math.max(deepest, depth);
    };
    const walk = (node, begin, depth, colour) => {
        let at = begin, next = colour, joined = 0, others = 0;
        draw(node.name, node.bytes, begin, depth, colour);
        for (const child of childrenOf(node)) {
            if (child.bytes < least) {
                joined += child.bytes;
                others++;
                continue;
            }
            next = 1 + next % BOX_COLOURS;
            walk(child, at, depth + 1, next);
            at += child.bytes;
        }
        if (joined) {
            draw(countText(others) + (others === 1 ? " other" : " others"), joined, at, depth + 1, 0);
        }
    };
    walk(root, 0, 0, 0);
    return {groups, height: (deepest + 1) * ROW, least};
}

function rowsDraw(table, root, least) {
    const rows = [];
    const walk = (node, depth) => {
        const row = document.createElement("tr");
        row.append(element("td", "d" + Math.min(depth, 12), node.name),
                   element("td", "", bytesText(node.bytes)),
                   element("td", "", percentText(node.bytes, root.bytes)));
        row.cells[1].dataset.v = node.bytes;
        row.cells[2].dataset.v = 1e6 * node.bytes / root.bytes;
        rows.push(row);
        childrenOf(node).filter((child) => child.bytes >= least)
            .forEach((child) => walk(child, depth + 1));
    };
    if (root.bytes) {
        walk(root, 0);
    }
    table.tBodies[0].replaceChildren(...rows);
}

// The original contents of a view, for the way back to the whole run.
function icicleKeep(view) {
    const picture = view.querySelector("svg.icicle"), table = view.querySelector("table.frames");
    const said = view.querySelector("p");
    return {view, picture, table, said, text: said.textContent,
            box: picture.getAttribute("viewBox"), groups: Array.from(picture.childNodes),
            rows: Array.from(table.tBodies[0].rows), note: view.querySelector(".note")};
}

function icicleShow(kept, paths, name, order, range, times) {
    const {picture, table, said} = kept, whole = !range && order === 0;
    said.textContent = kept.text;
    if (kept.note) {
        kept.note.hidden = !whole;
    }
    if (whole) {
        picture.setAttribute("viewBox", kept.box);
        picture.replaceChildren(...kept.groups);
        table.tBodies[0].replaceChildren(...kept.rows);
    } else {
        const root = treeMake(paths, name, Number(picture.dataset.measure), order, range);
        const drawn = root.bytes ? treeDraw(root) : {groups: [], height: ROW, least: 1};
        picture.setAttribute("viewBox", "0 0 " + WIDTH + " " + drawn.height);
        picture.replaceChildren(...drawn.groups);
        rowsDraw(table, root, drawn.least);
        if (range) {
            said.textContent = root.bytes ? bytesText(root.bytes) + " " + times
                                          : "Nothing " + times + ".";
        }
    }
    pictureFill(picture);
}

function icicleSection(section) {
    const views = Array.from(section.querySelectorAll(".view")).filter(
        (view) => view.querySelector("svg.icicle")).map(icicleKeep);
    const name = section.closest("article").querySelector("h1").textContent;
    let paths = null, order = 0, range = null;
    const show = () => {
        paths = paths || pathsRead(section);
        for (const kept of views) {
            const atPeak = Number(kept.picture.dataset.measure) === AT_PEAK;
            icicleShow(kept, paths, name, order, range,
                       range ? (atPeak ? "at the range's peak, " + range.peakText
                                       : "allocated " + range.text) : "");
        }
    };
    if (!views.length || !section.querySelector(".paths")) {
        return;
    }
    const label = element("label", "order", "Order "), choice = element("select", "", "");
    ORDERS.forEach((text, i) => {
        const option = element("option", "", text);
        option.value = i;
        choice.append(option);
    });
    const wanted = {sites: FROM_SITES, threads: BY_THREAD}[asked("order")];
    choice.addEventListener("change", () => {
        order = Number(choice.value);
        show();
    });
    label.append(choice);
    section.querySelector(".tabs").after(label);
    section.rangeSet = (chosen) => {
        range = chosen;
        show();
    };
    if (wanted) {
        choice.value = wanted;
        order = wanted;
        show();
    }
}

document.querySelectorAll("section[id^=flame-]").forEach(icicleSection);
