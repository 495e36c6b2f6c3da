// SPDX-License-Identifier: MIT
// Views shown one at a time, and pictures made of boxes. A picture is one tab stop; arrow keys move
// from box to box, and the line below it shows the text of the box. In an icicle, Enter or a click
// zooms to a frame, Escape shows all.

function tabsMake(views) {
    const list = element("div", "tabs", ""), panels = Array.from(views.children);
    const buttons = panels.map((panel) => element("button", "", panel.firstElementChild.textContent));
    const show = (chosen) => panels.forEach((panel, i) => {
        panel.hidden = i !== chosen;
        buttons[i].setAttribute("aria-selected", String(i === chosen));
        buttons[i].tabIndex = i === chosen ? 0 : -1;
    });
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", views.dataset.label);
    panels.forEach((panel, i) => {
        buttons[i].type = "button";
        buttons[i].setAttribute("role", "tab");
        panel.setAttribute("role", "tabpanel");
        panel.setAttribute("aria-label", buttons[i].textContent);
        panel.firstElementChild.hidden = true;
        buttons[i].addEventListener("click", () => show(i));
    });
    list.append(...buttons);
    list.addEventListener("keydown", (event) => {
        const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
        if (step) {
            const next = (buttons.indexOf(document.activeElement) + step + buttons.length) %
                buttons.length;
            show(next);
            buttons[next].focus();
        }
    });
    views.prepend(list);
    show(Math.max(0, panels.findIndex((panel) => panel.querySelector("svg"))));
}

// Boxes.

// Reads a box; one that was zoomed returns to its original place.
function boxPlace(group) {
    const shape = group.querySelector("rect");
    const {x, width} = group.place || {x: Number(shape.getAttribute("x")),
                                       width: Number(shape.getAttribute("width"))};
    group.place = {x, width};
    shape.setAttribute("x", x);
    shape.setAttribute("width", width);
    return {
        group, shape, label: group.querySelector("text"),
        x, y: Number(shape.getAttribute("y")), width,
        text: group.querySelector("title").textContent,
    };
}

function boxText(box) {
    const [name, ...figures] = box.text.split("\n");
    return name + ": " + figures.join(" ");
}

// The target of an arrow key: the next box in the same row, or the nearest in another row.
function boxBeside(boxes, from, key) {
    const shown = boxes.filter((box) => !box.group.hasAttribute("hidden"));
    const same = shown.filter((box) => box.y === from.y), at = same.indexOf(from);
    if (key === "ArrowLeft" || key === "ArrowRight") {
        const order = shown.slice().sort((a, b) => a.y - b.y || a.x - b.x);
        return same[at + (key === "ArrowRight" ? 1 : -1)] ||
            order[order.indexOf(from) + (key === "ArrowRight" ? 1 : -1)];
    }
    const rows = Array.from(new Set(shown.map((box) => box.y))).sort((a, b) => a - b);
    const row = rows[rows.indexOf(from.y) + (key === "ArrowDown" ? 1 : -1)];
    const x = Number(from.shape.getAttribute("x")) + 0.01;
    return shown.find((box) => {
        const left = Number(box.shape.getAttribute("x"));
        return box.y === row && left <= x && x < left + Number(box.shape.getAttribute("width"));
    }) || (key === "ArrowDown" ? null : shown.find((box) => box.y === row));
}

const WIDTH = 1200, LETTER = 7;

function labelFit(box, x, width) {
    const letters = width < 6 * LETTER ? 0 : Math.floor((width - 8) / LETTER) - 1;
    const name = Array.from(box.text.split("\n")[0]);
    if (!box.label) {
        if (letters <= 0) {
            return;
        }
        box.label = document.createElementNS("http://www.w3.org/2000/svg", "text");
        box.label.setAttribute("y", box.y + 17);
        box.group.append(box.label);
    }
    box.label.setAttribute("x", (x + 5).toFixed(1));
    box.label.textContent = letters <= 0 ? "" : name.length <= letters + 1 ? name.join("")
                                              : name.slice(0, letters).join("") + "\u2026";
}

function icicleZoom(boxes, to) {
    const scale = WIDTH / to.width;
    for (const box of boxes) {
        const left = Math.max((box.x - to.x) * scale, 0);
        const right = Math.min((box.x + box.width - to.x) * scale, WIDTH);
        box.group.toggleAttribute("hidden", right - left < 0.05);
        box.group.classList.toggle("above", box.y < to.y);
        box.shape.setAttribute("x", left.toFixed(3));
        box.shape.setAttribute("width", Math.max(right - left, 0).toFixed(3));
        labelFit(box, left, right - left);
    }
}

// Reads the boxes of a picture again.
function pictureFill(picture) {
    const boxes = Array.from(picture.querySelectorAll("g"), boxPlace);
    const zooms = picture.classList.contains("icicle");
    const high = boxes.length ? boxes[0].shape.height.baseVal.value : 1;
    picture.boxes = boxes;
    picture.current = boxes[0];
    picture.dataset.zoomed = "false";
    for (const box of boxes) {
        box.group.setAttribute("role", zooms ? "treeitem" : "listitem");
        box.group.setAttribute("aria-label", boxText(box));
        box.group.setAttribute("tabindex", "-1");
        if (zooms) {
            box.group.setAttribute("aria-level", String(1 + box.y / high | 0));
            box.group.removeAttribute("hidden");
            box.group.classList.remove("above");
        }
    }
    if (zooms && boxes.length) {
        boxes.forEach((box) => labelFit(box, box.x, box.width));
    }
    if (boxes.length) {
        boxes[0].group.setAttribute("tabindex", "0");
    }
    picture.status.textContent = !boxes.length ? "" : zooms
        ? "To zoom, click a frame, or select it with the arrow keys and press Enter; Escape shows all."
        : "For details, point at a box or select it with the arrow keys.";
}

function pictureChoose(picture, box, focus) {
    picture.current.group.setAttribute("tabindex", "-1");
    picture.current = box;
    box.group.setAttribute("tabindex", "0");
    picture.status.textContent = boxText(box);
    if (focus) {
        box.group.focus();
    }
}

function pictureZoom(picture, box) {
    icicleZoom(picture.boxes, box);
    picture.dataset.zoomed = String(box !== picture.boxes[0]);
}

function pictureKey(picture, event, zooms) {
    const next = event.key.startsWith("Arrow") ? boxBeside(picture.boxes, picture.current, event.key)
               : event.key === "Home" ? picture.boxes[0] : null;
    if (next) {
        pictureChoose(picture, next, true);
    } else if (zooms && (event.key === "Enter" || event.key === " ")) {
        pictureZoom(picture, picture.current);
    } else if (zooms && event.key === "Escape") {
        pictureZoom(picture, picture.boxes[0]);
    } else if (!event.key.startsWith("Arrow")) {
        return;
    }
    event.preventDefault();
}

function pictureMake(picture) {
    const zooms = picture.classList.contains("icicle");
    const boxOf = (event) => picture.boxes.find((box) => box.group === event.target.closest("g"));
    if (!picture.querySelector("g")) {
        return;
    }
    picture.status = element("p", "status", "");
    picture.status.setAttribute("aria-live", "polite");
    picture.setAttribute("role", zooms ? "tree" : "list");
    picture.parentElement.after(picture.status);
    pictureFill(picture);
    picture.addEventListener("mouseover", (event) => {
        const box = boxOf(event);
        if (box) {
            picture.status.textContent = boxText(box);
        }
    });
    picture.addEventListener("focusin", (event) => {
        const box = boxOf(event);
        if (box && box !== picture.current) {
            pictureChoose(picture, box, false);
        }
    });
    picture.addEventListener("click", (event) => {
        const box = boxOf(event);
        if (box) {
            pictureChoose(picture, box, true);
            if (zooms) {
                pictureZoom(picture, box);
            }
        }
    });
    picture.addEventListener("keydown", (event) => {
        if (picture.boxes.length) {
            pictureKey(picture, event, zooms);
        }
    });
}

document.querySelectorAll(".views").forEach(tabsMake);
document.querySelectorAll("svg.icicle, svg.map").forEach(pictureMake);
