// SPDX-License-Identifier: MIT
// Scripts of the HTML report: sorting and searching in tables, a chart with zoom and the peak of the
// range shown, access to pictures by keyboard. They read figures from the tables, and never make markup
// from text. Parameters of the address: "?sort=NAME" sorts all tables with a column of that name, a
// second one reverses the order; "?range=BEGIN,END" (seconds) shows a part of the run; "?search=WORDS"
// shows the rows that contain all the words.
"use strict";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

function bytesText(bytes, digits = 1) {
    let unit = 0;
    for (; bytes >= 1023.95 && unit + 1 < UNITS.length; unit++) {
        bytes /= 1024;
    }
    return bytes.toFixed(unit ? digits : 0) + " " + UNITS[unit];
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

function durationText(ns) {
    return ns < 1e3 ? ns + " ns" : ns < 1e6 ? (ns / 1e3).toFixed(1) + " us"
        : ns < 1e9 ? (ns / 1e6).toFixed(1) + " ms" : ns < 60e9 ? (ns / 1e9).toFixed(2) + " s"
        : Math.floor(ns / 60e9) + " min " + String(Math.floor(ns / 1e9) % 60).padStart(2, "0") + " s";
}

function countText(count) {
    return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

function blocksText(count) {
    return countText(count) + (count === 1 ? " block" : " blocks");
}

function percentText(part, whole) {
    return whole ? (100 * part / whole).toFixed(1) + " %" : "-";
}

function element(name, className, text) {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
}

// The last value of a parameter of the address, or null.
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

function rowsSort(body, column, order) {
    const sign = order === "ascending" ? 1 : -1, rows = Array.from(body.rows);
    rows.sort((a, b) => sign * compare(cellValue(a, column), cellValue(b, column)));
    body.append(...rows);
}

// Sorts again after figures changed: same column, same order.
function tableSortAgain(table) {
    const heading = table.querySelector("th[aria-sort]");
    if (heading) {
        rowsSort(table.tBodies[0], heading.cellIndex, heading.getAttribute("aria-sort"));
    }
}

function tableSort(table, heading) {
    const column = heading.cellIndex, body = table.tBodies[0];
    const figures = heading.classList.contains("n");
    const before = heading.getAttribute("aria-sort");
    const order = before ? (before === "ascending" ? "descending" : "ascending")
                         : (figures ? "descending" : "ascending");
    rowsSort(body, column, order);
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

// A long table gets its own scroll area, also for the keyboard.
function tableMakeScrolled(table) {
    const frame = table.parentElement;
    if (table.tBodies[0].rows.length > 25) {
        frame.classList.add("long");
        frame.tabIndex = 0;
        frame.setAttribute("role", "region");
        frame.setAttribute("aria-label", table.caption.textContent);
    }
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
document.querySelectorAll(".scroll > table").forEach(tableMakeScrolled);
sortAsAsked();
