"use strict";
{
  const at = (id) => document.getElementById(id);
  const paper = at("paper"), pen = paper.getContext("2d");
  const answer = document.querySelector(".answer"), list = at("list");
  const { top, largest } = document.body.dataset;
  const first = { title: at("title").textContent, rows: [...list.children] };
  const WIDTH = 12, PAUSE_MS = 250;
  let strokes = [], drawing = null, timer = 0, asked = null;

  at("address").textContent = location.origin;

  function blank() {
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, paper.width, paper.height);
    paper.classList.add("drawn");
  }

  function paint(stroke) {
    pen.strokeStyle = pen.fillStyle = "#000";
    pen.lineWidth = WIDTH;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(...stroke[0]);
    for (const point of stroke) pen.lineTo(...point);
    pen.stroke();
  }

  function repaint() {
    blank();
    strokes.forEach(paint);
    at("undo").disabled = at("clear").disabled = !strokes.length;
    at("invitation").hidden = strokes.length > 0;
  }

  function place(event) {
    const box = paper.getBoundingClientRect();
    const scale = paper.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  paper.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    paper.setPointerCapture(event.pointerId);
    clearTimeout(timer);
    drawing = [place(event)];
    strokes.push(drawing);
    repaint();
  });
  paper.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    const seen = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    const points = (seen.length ? seen : [event]).map(place);
    paint([drawing.at(-1), ...points]);
    drawing.push(...points);
  });
  for (const end of ["pointerup", "pointercancel"]) paper.addEventListener(end, () => {
    if (!drawing) return;
    drawing = null;
    repaint();
    later();
  });

  function later() {
    clearTimeout(timer);
    timer = setTimeout(() => paper.toBlob(recognise, "image/png"), PAUSE_MS);
  }

  function undo() {
    strokes.pop();
    repaint();
    strokes.length ? later() : clear();
  }

  function clear() {
    clearTimeout(timer);
    if (asked) asked.abort();
    strokes = [];
    repaint();
    at("error").textContent = "";
    at("verdict").hidden = true;
    at("title").textContent = first.title;
    list.className = "";
    list.replaceChildren(...first.rows);
    answer.setAttribute("aria-busy", "false");
  }

  at("undo").addEventListener("click", undo);
  at("clear").addEventListener("click", clear);
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && strokes.length) {
      event.preventDefault();
      undo();
    }
  });

  async function take(file) {
    if (!file) return;
    clear();
    at("invitation").hidden = true;
    at("clear").disabled = false;
    recognise(file);
    try {
      const shown = await createImageBitmap(file);
      const scale = Math.min(paper.width / shown.width, paper.height / shown.height);
      const [width, height] = [shown.width * scale, shown.height * scale];
      paper.classList.remove("drawn");
      pen.drawImage(shown, (paper.width - width) / 2, (paper.height - height) / 2, width, height);
    } catch { /* a format that browsers do not show: the network's view is shown beside it */ }
  }

  at("file").addEventListener("change", () => {
    take(at("file").files[0]);
    at("file").value = "";
  });
  addEventListener("paste", (event) => take(event.clipboardData.files[0]));
  for (const name of ["dragenter", "dragover"]) addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
  for (const name of ["dragleave", "drop"]) addEventListener(name, (event) => {
    event.preventDefault();
    if (name === "drop" || !event.relatedTarget) at("drop").classList.remove("over");
    if (name === "drop") take(event.dataTransfer.files[0]);
  });

  async function recognise(picture) {
    if (asked) asked.abort();
    const own = asked = new AbortController();
    answer.setAttribute("aria-busy", "true");
    at("error").textContent = "";
    try {
      if (picture.size > largest) throw new Error(`the file is above ${largest / 1e6} MB`);
      const headers = { "Content-Type": "application/octet-stream" };
      const options = { method: "POST", body: picture, headers, signal: own.signal };
      const response = await fetch("/recognise", options);
      const found = await response.json();
      if (!response.ok) throw new Error(found.error);
      show(found);
    } catch (error) {
      if (own.signal.aborted) return;
      const gone = error instanceof TypeError;
      at("error").textContent = gone ? "The server does not answer; is it still running?"
        : `Not recognised: ${error.message}`;
      at("verdict").hidden = true;
    }
    if (own === asked) answer.setAttribute("aria-busy", "false");
  }

  function show(found) {
    const rejected = found.none_of_these, known = found.probability !== null;
    at("seen").src = found.picture;
    at("best").textContent = rejected ? "None of these" : printable(found.ranked[0].class);
    const nearest = rejected ? `“${printable(found.ranked[0].class)}” would be` : "is";
    at("sure").hidden = !known;
    if (known) {
      at("chance").textContent = `${nearest} right with probability ${found.probability.toFixed(3)}`;
      at("fill").style.width = `${100 * found.probability}%`;
    }
    at("notices").replaceChildren(...found.notices.map((text) => {
      const line = document.createElement("li");
      line.textContent = text;
      return line;
    }));
    at("verdict").className = rejected ? "none" : "";
    at("verdict").hidden = false;
    const rows = found.ranked.slice(0, top).map(row);
    const more = found.ranked.length > rows.length;
    at("title").textContent = more ? `The ${rows.length} most similar of ${found.ranked.length} classes`
      : "All classes, the most similar first";
    list.className = rejected ? "ranked rejected" : "ranked";
    list.replaceChildren(...rows);
  }

  function row(one, number) {
    const made = at("row").content.cloneNode(true).firstElementChild;
    const part = (selector) => made.querySelector(selector);
    part(".pictures").classList.toggle("several", one.pictures.length > 1);
    part(".pictures").replaceChildren(...one.pictures.map((address) => {
      const picture = new Image(105, 105);
      picture.src = address;
      picture.alt = "";
      return picture;
    }));
    part(".rank").textContent = number + 1;
    part("bdi").textContent = part(".name").title = printable(one.class);
    part(".bar i").style.width = `${100 * one.score}%`;
    part(".p").textContent = one.score.toFixed(3);
    part(".of").textContent = one.images > 1 ? `mean of ${one.images}` : "";
    return made;
  }

  function printable(text) {
    return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "\ufffd");
  }

  const cut = at("cut");
  if (cut) {
    const share = 100 * cut.dataset.at;
    cut.style.left = at("tick").style.left = `${share}%`;
    at("tick").style.translate = `-${share}%`;
  }
  blank();
}
